"""plans/evaluate.yaml: the paper's table for a checkpoint from outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.artifacts.steps import Kind, steps
from pipeline.commands.cli import main
from pipeline.commands.hidden_truth import hidden_entries
from pipeline.commands.plan_paths import checkpoint_paths, input_paths
from pipeline.plan.load import load_plan

PLAN = Path(__file__).resolve().parents[2] / "plans" / "evaluate.yaml"


def test_the_plan_needs_no_model_section_and_has_no_training_step() -> None:
    plan = load_plan(str(PLAN))
    assert plan.model is None
    assert [spec.kind for spec in steps(plan)] == [Kind.PREPARE, Kind.EVALUATE, Kind.REPORT]
    assert plan.evaluation is not None
    entries = [bench.entry for bench in plan.evaluation.benchmarks]
    assert sorted(entries) == sorted(source.name for source in plan.data.sources), (
        "each source is a benchmark"
    )
    assert set(hidden_entries(plan)) == {"mevis_valid", "ref_youtube_vos_valid"}


def test_check_reports_exactly_the_missing_paths(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(PLAN)]) == 2
    plan, lines = load_plan(str(PLAN)), capsys.readouterr().err.splitlines()
    missing = [*input_paths(plan), *checkpoint_paths(plan)]
    assert f"{len(missing)} problems:" in lines[0]
    assert len(lines) == 1 + len(missing)
    for (_, path), line in zip(missing, lines[1:], strict=True):
        assert path in line
        assert "does not exist" in line or "is not there" in line


def test_with_all_paths_the_plan_is_valid_and_hidden_truth_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = tmp_path / "evaluate.yaml"
    here.write_text(PLAN.read_text().replace("/shared/ufvideo", str(tmp_path)))
    plan = load_plan(str(here))
    for _, path in input_paths(plan):
        place = Path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.suffix:
            place.write_text("{}")
        else:
            place.mkdir()
    for _, path in checkpoint_paths(plan):
        Path(path).mkdir(parents=True)
        (Path(path) / "config.json").write_text("{}")
    assert main(["check", str(here)]) == 0
    printed = capsys.readouterr().out
    assert "3 of 3 steps to make" in printed
    hidden = [line for line in printed.splitlines() if "its truth is hidden" in line]
    assert [line.partition(":")[0] for line in hidden] == ["mevis_valid", "ref_youtube_vos_valid"]
    assert "submissions/mevis_valid.zip" in hidden[0]
    unjudged = [line for line in printed.splitlines() if "judged columns" in line]
    assert [line.partition(":")[0] for line in unjudged] == [
        "videorefer_bench_d/single", "videorefer_bench_d/multi",
        "ufvideo_bench/pixrqa", "ufvideo_bench/pixhqa", "ufvideo_bench/pixtrqa",
    ]  # fmt: skip
    assert "(SC, AD, TD, HD, Avg, Avg without T)" in unjudged[0]
    assert 'will say "not judged"; set evaluation.judge' in unjudged[0]
    assert main(["check", str(here), "--set", 'evaluation.judge={"endpoint": null}']) == 0
    assert "judged columns" not in capsys.readouterr().out
    assert "void" not in printed
    assert main(["check", str(here), "--set", "data.sources.6.void=false"]) == 0
    assert (
        "ref_davis17_valid: its annotators' runs are scored with void as background"
        in capsys.readouterr().out
    )


def test_a_hidden_truth_that_no_server_scores_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from evaluation.benchmarks.mevis import MEVIS

    monkeypatch.setattr(type(MEVIS), "submits", property(lambda family: False))
    assert main(["check", str(PLAN)]) == 2
    printed = capsys.readouterr().err
    assert "mevis_valid has no masks, so mevis cannot score it, and no server takes its answers" in printed


def test_a_benchmark_with_masks_beside_its_annotations_has_no_hidden_truth(tmp_path: Path) -> None:
    sets = [f"data.sources.4.annotations={tmp_path}"]
    assert load_plan(str(PLAN), sets).data.sources[4].name == "mevis_valid"
    assert "mevis_valid" in hidden_entries(load_plan(str(PLAN), sets))
    (tmp_path / "mask_dict.json").write_text("{}")
    assert "mevis_valid" not in hidden_entries(load_plan(str(PLAN), sets))
