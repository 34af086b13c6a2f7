"""``ufvideo new``: what it writes is a plan that can be checked as soon as the data is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.commands.cli import main
from pipeline.commands.new import dividing_seed
from pipeline.plan.data import SelectConfig, Use
from pipeline.plan.load import load_plan
from tests.own_clips import mask_records, names, write_clips

GPU = ("--set", "ray.num_gpus=1", "--set", "ray.num_cpus=8")


def write_records(folder: Path, records: list[dict[str, Any]], name: str = "records.jsonl") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join(map(json.dumps, records)))


def choices(count: int) -> list[dict[str, Any]]:
    options = ["red", "blue"]
    return [{"video": n, "question": "Which?", "options": options, "answer": 0} for n in names(count)]


@pytest.mark.parametrize("toy", [[], ["--toy"]])
def test_without_data_the_check_names_what_is_missing_and_then_passes(
    tmp_path: Path, toy: list[str], capsys: pytest.CaptureFixture[str]
):
    folder = tmp_path / "my data"  # a path with a blank
    assert main(["new", str(folder), *toy]) == 0
    out = capsys.readouterr().out
    assert "Still to come: records in" in out
    assert main(["check", str(folder / "plan.yaml"), *GPU]) == 2
    missing = capsys.readouterr().err
    assert f"{folder}/records.jsonl does not exist" in missing
    assert f"{folder}/videos does not exist" in missing
    write_clips(folder / "videos")
    write_records(folder, choices(5))
    assert main(["check", str(folder / "plan.yaml"), *GPU]) == 0, capsys.readouterr().err
    assert "6 of 6 steps to make" in capsys.readouterr().out


def test_the_default_is_the_released_model_with_adapters_on_one_gpu(tmp_path: Path):
    assert main(["new", str(tmp_path / "x")]) == 0
    plan = load_plan(str(tmp_path / "x" / "plan.yaml"))
    (stage,) = plan.stages
    assert plan.model is not None
    assert plan.model.weights.paths == {"whole": "hf://Hevven/UFVideo-7B"}
    assert plan.model.tokenizer.path == "hf://Hevven/UFVideo-7B"
    assert stage.lora is not None
    assert (stage.layout.workers, stage.layout.use_gpu) == (1, True)
    assert main(["new", str(tmp_path / "toy"), "--toy"]) == 0
    assert not load_plan(str(tmp_path / "toy" / "plan.yaml")).stages[0].layout.use_gpu


def test_a_plan_that_is_there_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "plan.yaml").write_text("mine")
    assert main(["new", str(tmp_path)]) == 2
    assert "exists already. Edit it, or name another folder." in capsys.readouterr().err
    assert (tmp_path / "plan.yaml").read_text() == "mine"
    assert main(["new", str(tmp_path / "plan.yaml")]) == 2
    assert "is not a folder" in capsys.readouterr().err


def test_only_tasks_of_the_records_are_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    one_video = [{"video": "clip-1.mp4", "question": "When?", "spans": [[0, 1]]}]
    wrong = [{"video": "clip-1.mp4", "question": "When?", "spans": "now"}]
    write_records(tmp_path, [*choices(5), *mask_records(), *one_video, *wrong], "records.json")
    (tmp_path / "records.json").write_text(
        json.dumps([json.loads(line) for line in (tmp_path / "records.json").read_text().splitlines()])
    )
    (tmp_path / "masks").mkdir()
    assert main(["new", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "12 records; 5 choice, 5 segment, 1 temporal" in out
    assert "`spans` is 'now', a list of [start, end] in seconds was expected; for example" in out
    assert "temporal: all records are about one video, so none is held out" in out
    plan = load_plan(str(tmp_path / "plan.yaml"))
    held_out = [s for s in plan.data.sources if s.use is Use.BENCHMARK]
    assert [s.name for s in held_out] == ["held_out/choice", "held_out/segment"]
    assert {s.annotations for s in plan.data.sources} == {str(tmp_path / "records.json")}
    assert {s.masks for s in plan.data.sources} == {str(tmp_path / "masks")}
    for source in plan.data.sources:
        assert any(source.select.takes_video(name, plan.seed) for name in names())


def test_records_without_a_scored_task_are_only_trained_on(tmp_path: Path):
    write_records(tmp_path, [{"video": n, "question": "What?", "answer": "A square."} for n in names()])
    assert main(["new", str(tmp_path)]) == 0
    plan = load_plan(str(tmp_path / "plan.yaml"))
    (source,) = plan.data.sources
    assert source.select == SelectConfig()
    assert plan.evaluation is None


def test_the_seed_leaves_videos_on_both_sides_for_every_task():
    many = {f"{n}.mp4" for n in range(500)}
    assert dividing_seed({"choice": many}) == 42
    few = [{f"a{n}.mp4", f"b{n}.mp4"} for n in range(3)]
    seed = dividing_seed({str(n): videos for n, videos in enumerate(few)})
    assert seed != 42
    for videos in few:
        train = {v for v in videos if SelectConfig(videos=(0, 0.8)).takes_video(v, seed)}
        assert len(train) == 1
        assert videos - train == {v for v in videos if SelectConfig(videos=(0.8, 1)).takes_video(v, seed)}


def test_fields_with_other_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_records(tmp_path, [{"path": r.pop("video"), **r} for r in choices(5)])
    assert main(["new", str(tmp_path)]) == 2
    refused = capsys.readouterr().err
    assert "has 5 records, and none can be used. own/0: malformed: `video` is missing" in refused
    assert not (tmp_path / "plan.yaml").exists()
    assert main(["new", str(tmp_path), "--columns", "vido=path"]) == 2
    assert "vido is no field. Did you mean video?" in capsys.readouterr().err
    assert main(["new", str(tmp_path), "--columns", "path"]) == 2
    assert main(["new", str(tmp_path), "--columns", "video=path"]) == 0
    sources = load_plan(str(tmp_path / "plan.yaml")).data.sources
    assert [dict(s.columns) for s in sources] == [{"video": "path"}] * 2
