"""The doctor finds every planted defect under its name, and nothing else; what it makes of tolerances."""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from datasets_prep import run
from datasets_prep.doctor import __main__ as command
from datasets_prep.doctor import examine as work
from datasets_prep.doctor.check import TRACE_SCHEMA
from datasets_prep.doctor.like import stem
from datasets_prep.doctor.words import WORDS
from datasets_prep.draft import Reason
from pipeline.config.doctor import OWN_TOLERANCE, DoctorConfig, Finding
from pipeline.config.load import load_plan
from pipeline.errors import UserError
from pipeline.plan import fingerprints, steps
from tests.datasets_prep.ill_corpus import EXPECTED, RECORDS, talk, write_ill_corpus

REPO = Path(__file__).resolve().parents[2]
Work = Callable[[Any], pa.Table]


def spread_here(
    title: str, pieces: Sequence[Any], work: Work, total: int | None = None
) -> Iterator[pa.Table]:
    """What Ray does, in this process: every piece of work travels as bytes."""
    for piece in pieces:
        yield work(pickle.loads(pickle.dumps(piece)))


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "spread", spread_here)
    monkeypatch.setattr(work, "spread", spread_here)
    monkeypatch.setattr(work, "share", lambda value: lambda: value)
    monkeypatch.setattr(command, "connect", lambda config: nullcontext())


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return write_ill_corpus(tmp_path_factory.mktemp("ill"))


def write_plan(folder: Path, sources: list[dict[str, Any]], **more: Any) -> Path:
    plan = {
        "name": "ill",
        "storage": {"root": str(folder / "store")},
        "ray": {"num_cpus": 2, "object_store_mb": 150},
        "data": {"sources": sources, "rows_per_shard": 5},  # several chunks of a file
        "model": {"preset": "toy"},
    }
    path = folder / "ill.yaml"
    path.write_text(yaml.safe_dump(plan | more))
    return path


def told(out: Path) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for row in pq.read_table(out / "findings.parquet").to_pylist():
        found.setdefault((row["source"], row["finding"]), []).append(row["key"].rpartition("/")[2])
    return found


@pytest.mark.usefixtures("no_ray")
def test_every_planted_defect_is_found_and_nothing_else(
    corpus: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = write_plan(tmp_path, corpus)
    assert command.main(["--plan", str(plan), "--out", str(tmp_path / "out")]) == 1
    assert told(tmp_path / "out") == EXPECTED
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert {s["name"]: s["records"] for s in summary["sources"]} == RECORDS
    reasons = {str(reason) for reason in Reason}
    for row in pq.read_table(tmp_path / "out" / "findings.parquet").to_pylist():
        kept = row["finding"] not in reasons or row["source"] == "twice/x"  # prepare keeps the second key
        assert row["severity"] == ("warning" if kept else "reject")
        assert row["key"].startswith(f"{row['source']}/")
        assert row["file"]
        assert row["detail"]
    rejected = {s["name"]: s["rejected"] for s in summary["sources"]}
    assert all(s["samples"] == s["records"] - rejected[s["name"]] for s in summary["sources"])
    table = capsys.readouterr().out
    assert "twice/x" in table
    assert "nothing found in twice" in table


@pytest.mark.usefixtures("no_ray")
def test_details_say_what_and_where(corpus: list[dict[str, Any]], tmp_path: Path) -> None:
    command.main(["--plan", str(write_plan(tmp_path, corpus)), "--out", str(tmp_path / "out")])
    rows = pq.read_table(tmp_path / "out" / "findings.parquet").to_pylist()

    def of(source: str, finding: str) -> list[str]:
        return [r["detail"] for r in rows if (r["source"], r["finding"]) == (source, finding)]

    assert of("qa", "header_frames") == ["lying.avi: its header says 20 frames, 12 are shown"]
    hole, stills = of("qa", "media_undecodable")
    assert re.match(r"hole\.mp4: .*do not decode", hole)
    assert stills.startswith("stills: 00001.jpg")
    copy, again = of("qa", "duplicate_media")
    assert re.search(r"/media/copy\.mp4 has the bytes of .*/media/b\.mp4$", copy)
    assert re.search(r"/media/again/b\.mp4 has the bytes of .*/media/b\.mp4$", again)
    assert of("qa", "duplicate_sample") == ["the video and the text of qa/16"]
    assert of("twice/x", "duplicate_key") == ["the key of record 0 of x.json in twice"]
    assert of("twice/x", "duplicate_elsewhere") == ["the video and the text of twice/y/0 in twice"]
    (shared,) = of("qa", "overlap_content")
    assert shared == "the video is shared.mp4 of bench as well, for example in bench/0"
    assert of("bench", "overlap_name") == ["same_name.mp4 of qa has the same name, for example in qa/19"]
    assert of("segment", "empty_target") == ["target 0 has no pixel in any of its 4 annotated frames"]
    assert of("refer", "masks_partly_empty") == ["1 of the 2 masks of its objects are empty"]
    assert "1.5 to 1 seconds ends before it starts" in of("grounding", "span_reversed")[0]


@pytest.mark.usefixtures("no_ray")
def test_how_far_outside_spans_are(corpus: list[dict[str, Any]], tmp_path: Path) -> None:
    """Of refused spans those that clamping would save, of clamped ones all."""
    command.main(["--plan", str(write_plan(tmp_path, corpus)), "--out", str(tmp_path / "out")])
    rows = pq.read_table(tmp_path / "out" / "findings.parquet").to_pylist()
    spans = [r for r in rows if r["finding"].startswith("span_") and r["source"] != "qa"]
    distances = {r["key"]: r["outside_s"] for r in spans}
    assert {key: None if d is None else round(d, 6) for key, d in distances.items()} == {
        "grounding/1": None,
        "grounding/2": None,
        "grounding/3": 0.25,
        "grounding/4": 0.75,
        "grounding/5": None,  # nothing of it lies in the video
        "clamped/1": 0.5,
        "clamped/2": 0.1,
        "clamped/3": 0.2,
        "clamped/4": None,
    }
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    found = {(s["name"], r["finding"]): r["outside"] for s in summary["sources"] for r in s["rows"]}
    assert found["grounding", "span_outside"] == pytest.approx({"records": 2, "median_s": 0.5, "max_s": 0.75})
    assert found["clamped", "span_clamped"] == pytest.approx({"records": 3, "median_s": 0.2, "max_s": 0.5})
    table = (tmp_path / "out" / "table.txt").read_text()
    assert "grounding: times of 2 records would be saved by clamping, outside by a median of 0.50 s" in table


@pytest.mark.usefixtures("no_ray")
def test_overlap_by_video(corpus: list[dict[str, Any]], tmp_path: Path) -> None:
    command.main(["--plan", str(write_plan(tmp_path, corpus)), "--out", str(tmp_path / "out")])
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    content, name = summary["overlaps"]
    assert content == {
        "finding": "overlap_content",
        "train_video": "shared.mp4",
        "benchmark_video": "shared.mp4",
        "train": {"qa": 1},
        "benchmark": {"bench": 2},
        "train_key": "qa/18",
        "benchmark_key": "bench/0",
    }
    assert (name["train_video"], name["benchmark_video"]) == ("same_name.mp4", "same_name.webm")
    page = (tmp_path / "out" / "doctor.html").read_text()
    assert "same_name.webm" in page


@pytest.mark.usefixtures("no_ray")
def test_the_order_of_work_does_not_show(
    corpus: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = write_plan(tmp_path, corpus)
    command.main(["--plan", str(plan), "--out", str(tmp_path / "one")])

    def backwards(
        title: str, pieces: Sequence[Any], work: Work, total: int | None = None
    ) -> Iterator[pa.Table]:
        return spread_here("", list(pieces)[::-1], work, total)

    monkeypatch.setattr(run, "spread", backwards)
    monkeypatch.setattr(work, "spread", backwards)
    command.main(["--plan", str(plan), "--out", str(tmp_path / "other")])
    for name in ("findings.parquet", "summary.json", "table.txt"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


@pytest.mark.usefixtures("no_ray")
def test_tolerances_decide(
    corpus: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def doctor(sources: list[dict[str, Any]], *sets: str) -> int:
        plan = write_plan(tmp_path, sources)
        more = [word for item in sets for word in ("--set", item)]
        return command.main(["--plan", str(plan), "--out", str(tmp_path / "out"), *more])

    refer = [s for s in corpus if s["name"] == "refer"]
    assert doctor(refer) == 1
    assert doctor(refer, "doctor.tolerance=0.22") == 1  # two of nine have a mask of the wrong size
    assert doctor(refer, "doctor.tolerance=0.23") == 0
    assert doctor(refer, "doctor.tolerance=0.12") == 1
    assert doctor(refer, "doctor.tolerance=0.12", "doctor.allow.mask_size=0.5") == 0
    assert "The plan puts up with all of it." in capsys.readouterr().out
    # Some masks are empty in any set of videos; that is shown, and fails nothing until a plan says so.
    assert doctor(refer, "doctor.tolerance=0.23", "doctor.allow.masks_partly_empty=0") == 1
    assert doctor(refer, "doctor.tolerance=1", "data.max_reject_share=0.7") == 0
    assert doctor(refer, "doctor.tolerance=1", "data.max_reject_share=0.6") == 1
    assert "66.7% would be" in " ".join(capsys.readouterr().out.split())
    boxes = [s for s in corpus if s["name"] == "boxes"]
    assert doctor(boxes, "doctor.tolerance=0.5") == 0  # one of two: the share itself is allowed
    assert doctor(boxes, "doctor.tolerance=0.49") == 1
    overlap = [s for s in corpus if s["name"] in ("qa", "bench")]
    assert doctor(overlap, "doctor.tolerance=1") == 1
    assert doctor(overlap, "doctor.tolerance=1", "doctor.allow.overlap_content=1") == 0
    bench = [s for s in corpus if s["name"] == "bench"]
    assert doctor(bench) == 0
    assert "nothing found in bench" in capsys.readouterr().out


@pytest.mark.usefixtures("no_ray")
def test_a_source_without_a_sample_is_too_much(tmp_path: Path, corpus: list[dict[str, Any]]) -> None:
    (tmp_path / "none.json").write_text("[]")
    (tmp_path / "lost.json").write_text(json.dumps([{"video": "x.mp4"}]))
    for name in ("none", "lost"):
        source = corpus[0] | {"name": name, "annotations": str(tmp_path / f"{name}.json")}
        plan = write_plan(tmp_path, [source], doctor={"tolerance": 1})
        assert command.main(["--plan", str(plan), "--out", str(tmp_path / name)]) == 1
        assert "would become a sample" in (tmp_path / name / "table.txt").read_text()
        assert "would become a sample" in (tmp_path / name / "doctor.html").read_text()


@pytest.mark.usefixtures("no_ray")
def test_a_page_stands_alone_and_escapes_what_it_shows(tmp_path: Path, corpus: list[dict[str, Any]]) -> None:
    row = {"video": "<b>.mp4", "conversations": talk("Q?", "A.")}
    (tmp_path / "odd.json").write_text(json.dumps([row]))
    source = corpus[0] | {"name": "odd", "annotations": str(tmp_path / "odd.json")}
    command.main(["--plan", str(write_plan(tmp_path, [source])), "--out", str(tmp_path / "out")])
    page = (tmp_path / "out" / "doctor.html").read_text()
    assert "&lt;b&gt;.mp4 lies in none of" in page
    assert "<b>.mp4" not in page
    assert not re.search(r"(?:src|href)=\"(?!#)", page)
    assert "http" not in page


@pytest.mark.usefixtures("no_ray")
def test_users_mistakes(
    corpus: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, out = write_plan(tmp_path, corpus), tmp_path / "out"
    assert command.main(["--plan", str(plan), "--out", str(out), "--set", "doctor.allow.media_mising=0"]) == 2
    assert "unknown finding media_mising. Did you mean media_missing?" in capsys.readouterr().err
    cut = tmp_path / "cut.json"
    cut.write_text('[{"video": ')
    sets = ["--set", f"data.sources.0.annotations={cut}"]
    assert command.main(["--plan", str(plan), "--out", str(out), *sets]) == 2
    assert "cut.json: is not whole JSON" in capsys.readouterr().err
    assert not (out / "summary.json").exists()


@pytest.mark.usefixtures("no_ray")
def test_a_report_is_whole_or_not_there(
    corpus: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, out = write_plan(tmp_path, corpus), tmp_path / "out"
    command.main(["--plan", str(plan), "--out", str(out)])
    monkeypatch.setattr("datasets_prep.doctor.write.text", lambda summary: 1 / 0)
    assert command.main(["--plan", str(plan), "--out", str(out)]) == 1
    assert not (out / "summary.json").exists()


def test_decoding_can_be_left_out(corpus: list[dict[str, Any]], tmp_path: Path, no_ray: None) -> None:
    plan = write_plan(tmp_path, corpus[:1], doctor={"decode_frames": 0})
    command.main(["--plan", str(plan), "--out", str(tmp_path / "out")])
    assert ("qa", "media_undecodable") not in told(tmp_path / "out")
    assert ("qa", "header_frames") in told(tmp_path / "out")


# ----------------------------------------------------------------------------------------------- plan


def test_the_doctor_bears_on_no_fingerprint(corpus: list[dict[str, Any]], tmp_path: Path) -> None:
    path = str(write_plan(tmp_path, corpus))
    plain = load_plan(path)
    other = load_plan(path, ["doctor.tolerance=0.5", "doctor.allow.turns=1", "doctor.decode_frames=9"])
    assert plain.doctor != other.doctor
    assert fingerprints(steps(plain), {}) == fingerprints(steps(other), {})


def test_every_finding_has_a_name_words_and_a_place_in_the_guide() -> None:
    assert {str(reason) for reason in Reason} <= {str(finding) for finding in Finding}
    assert set(WORDS) == set(Finding)
    guide = (REPO / "docs" / "doctor.md").read_text()
    assert [f for f in Finding if f"`{f}`" not in guide] == []


def test_tolerances_of_single_findings() -> None:
    config = DoctorConfig.model_validate({"tolerance": 0.2, "allow": {"overlap_name": 0.1}})
    assert config.tolerance_of(Finding.TURNS) == 0.2
    assert config.tolerance_of(Finding.OVERLAP_CONTENT) == OWN_TOLERANCE[Finding.OVERLAP_CONTENT] == 0
    assert config.tolerance_of(Finding.OVERLAP_NAME) == 0.1
    with pytest.raises(ValueError, match="less than or equal to 1"):
        DoctorConfig.model_validate({"allow": {"turns": 5}})


def test_what_comes_back_of_a_sample_is_a_few_bytes() -> None:
    assert sum(field.type.bit_width for field in TRACE_SCHEMA) // 8 == 36


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/b/RW587.mp4", "RW587"),
        ("rLlzmcp3J6s_0:01:09.633_0:01:14.333.mp4", "rLlzmcp3J6s_0:01:09.633_0:01:14.333"),
        ("35034348999@N01_6060447507_dc1a90b8ef.MOV", "35034348999@N01_6060447507_dc1a90b8ef"),
        ("JPEGImages/v1.2", "v1.2"),
        ("folder/", "folder"),
    ],
)
def test_names_of_videos(path: str, name: str) -> None:
    assert stem(path) == name


# ------------------------------------------------------------------------------------------- command


def ufvideo(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "UFVIDEO_"))}
    environment = kept | {"PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
        timeout=280,
    )


def test_corpora_that_are_not_made_yet(plan_file: Path) -> None:
    done = ufvideo("doctor", str(plan_file), cwd=REPO)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert f"ufvideo run {plan_file} --until corpora" in done.stderr
    assert done.stdout == ""


def test_the_real_command(corpus: list[dict[str, Any]], tmp_path: Path) -> None:
    """As a Ray job: the same findings, the table, where the report lies, exit code 1."""
    plan = write_plan(tmp_path, corpus)
    done = ufvideo("doctor", str(plan), cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "checking records: " in done.stdout
    (out,) = (tmp_path / "store" / "doctor").iterdir()
    assert told(out) == EXPECTED
    assert f"Findings: {out}/findings.parquet" in done.stdout
    assert f"Page:     {out}/doctor.html" in done.stdout
    assert f"then ufvideo doctor {plan}" in done.stdout
    assert (out / "table.txt").read_text().strip() in done.stdout


def test_a_relative_folder_for_the_report_is_refused_on_a_cluster(
    corpus: list[dict[str, Any]], tmp_path: Path
) -> None:
    from pipeline.doctor import doctor

    plan = load_plan(str(write_plan(tmp_path, corpus)), ["ray.dashboard=http://127.0.0.1:9"])
    with pytest.raises(UserError, match="--out: here: is relative"):
        doctor(plan, "ill.yaml", "here")
