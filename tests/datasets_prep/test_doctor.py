"""The doctor reports every planted defect under its name, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datasets_prep.doctor.check import TRACE_SCHEMA
from datasets_prep.doctor.duplicates import stem
from datasets_prep.draft import Reason
from tests.datasets_prep.doctor_here import (
    Sources,
    Work,
    do_without_ray,
    doctor,
    findings_of,
    spread_here,
    write_plan,
)
from tests.datasets_prep.ill_corpus import EXPECTED, RECORDS

pytestmark = pytest.mark.usefixtures("doctor_here")


def test_every_planted_defect_is_reported_and_nothing_else(
    ill: Sources, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = write_plan(tmp_path, ill)
    assert doctor(plan, tmp_path / "out") == 1
    assert findings_of(tmp_path / "out") == EXPECTED
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


def test_details_name_the_problem_and_its_place(ill: Sources, tmp_path: Path) -> None:
    doctor(write_plan(tmp_path, ill), tmp_path / "out")
    rows = pq.read_table(tmp_path / "out" / "findings.parquet").to_pylist()

    def of(source: str, finding: str) -> list[str]:
        return [r["detail"] for r in rows if (r["source"], r["finding"]) == (source, finding)]

    assert of("qa", "header_frames") == ["lying.avi: its header says 20 frames, 12 are shown"]
    _, hole, cut = of("qa", "media_unreadable")
    assert re.match(r"hole\.mp4: does not decode after frame \d+ ", hole)
    assert re.match(r"cut\.mp4: is cut off, \d+ of \d+ bytes are there$", cut)
    stills, hurt = of("qa", "media_undecodable")
    assert stills.startswith("stills: 00001.jpg")
    assert re.match(r"hurt\.mp4: does not decode after frame \d+ ", hurt)
    copy, again = of("qa", "duplicate_media")
    assert re.match(r"copy\.mp4 has the bytes of /.*/media/b\.mp4$", copy)
    assert re.match(r"again/b\.mp4 has the bytes of /.*/media/b\.mp4$", again)
    assert of("qa", "duplicate_sample") == ["the video and the text of qa/16"]
    assert of("twice/x", "duplicate_key") == ["the key of record 0 of x.json in twice"]
    assert of("twice/x", "duplicate_elsewhere") == ["the video and the text of twice/y/0 in twice"]
    (shared,) = of("qa", "overlap_content")
    assert shared == "the video is shared.mp4 of bench as well, for example in bench/0"
    assert of("bench", "overlap_name") == ["same_name.mp4 of qa has the same name, for example in qa/19"]
    assert of("segment", "empty_target") == ["target 0 has no pixel in any of its 4 annotated frames"]
    assert of("refer", "masks_partly_empty") == ["1 of the 2 masks of its objects are empty"]
    assert "1.5 to 1 seconds ends before it starts" in of("grounding", "span_reversed")[0]


def test_the_distance_of_spans_outside_the_video_is_reported(ill: Sources, tmp_path: Path) -> None:
    """For rejected spans only where clamping would save them, for clamped spans always."""
    doctor(write_plan(tmp_path, ill), tmp_path / "out")
    rows = pq.read_table(tmp_path / "out" / "findings.parquet").to_pylist()
    spans = [r for r in rows if r["finding"].startswith("span_") and r["source"] != "qa"]
    distances = {r["key"]: r["outside_s"] for r in spans}
    assert {key: None if d is None else round(d, 6) for key, d in distances.items()} == {
        "grounding/1": None,
        "grounding/2": None,
        "grounding/3": 0.25,
        "grounding/4": 0.75,
        "grounding/5": None,  # entirely outside the video
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


def test_overlaps_of_training_and_benchmarks_are_listed_by_video(ill: Sources, tmp_path: Path) -> None:
    doctor(write_plan(tmp_path, ill), tmp_path / "out")
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


def test_the_report_does_not_depend_on_the_order_of_work(
    ill: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = write_plan(tmp_path, ill)
    doctor(plan, tmp_path / "one")

    def backwards(
        title: str, pieces: Sequence[Any], work: Work, total: int | None = None
    ) -> Iterator[pa.Table]:
        return spread_here("", list(pieces)[::-1], work, total)

    do_without_ray(monkeypatch, backwards)
    doctor(plan, tmp_path / "other")
    for name in ("findings.parquet", "summary.json", "table.txt"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_decoding_can_be_switched_off(ill: Sources, tmp_path: Path) -> None:
    plan = write_plan(tmp_path, ill[:1], doctor={"decode_frames": 0})
    doctor(plan, tmp_path / "out")
    assert ("qa", "media_undecodable") not in findings_of(tmp_path / "out")
    assert ("qa", "header_frames") in findings_of(tmp_path / "out")


def test_the_trace_of_a_sample_takes_36_bytes() -> None:
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
def test_the_stem_of_a_video_keeps_dots_and_colons(path: str, name: str) -> None:
    assert stem(path) == name
