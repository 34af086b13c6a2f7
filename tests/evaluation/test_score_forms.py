"""`ufvideo score`: files of predictions as other code writes them, odd and hostile ones too."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.score.__main__ import main
from pipeline.records import masks

CHARADES = "VID1 1.0 5.0##a person sits.\nVID1 6.0 9.0##a person stands.\nVID2 0.0 4.0##a person runs.\n"
QUERIES = (("VID1", "a person sits."), ("VID1", "a person stands."), ("VID2", "a person runs."))
SPANS = ((1.0, 5.0), (6.0, 9.0), (0.0, 4.0))
Run = Callable[[str | bytes], dict[str, Any]]


def records(**more: Any) -> list[dict[str, Any]]:
    """A right prediction of every query."""
    return [
        {"video": video, "caption": query, "pred": f"{start} - {end} seconds", **more}
        for (video, query), (start, end) in zip(QUERIES, SPANS, strict=True)
    ]


def lines(rows: Sequence[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


@pytest.fixture
def charades(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Scores the content of a file."""
    truth = tmp_path / "charades_sta_test.txt"
    truth.write_text(CHARADES)

    def run(content: str | bytes) -> dict[str, Any]:
        place = tmp_path / "predictions.json"
        place.write_bytes(content if isinstance(content, bytes) else content.encode())
        rc = main(["charades_sta", "--truth", str(truth), "--predictions", str(place), "--json"])
        printed = capsys.readouterr()
        if rc:
            return {"rc": rc, "error": printed.err}
        found = json.loads(printed.out)
        found["values"] = {row["metric"]: row["value"] for row in found["metrics"] if not row["category"]}
        return found

    return run


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("\ufeff" + lines(records()), id="byte order mark"),
        pytest.param(lines(records()).replace("\n", "\r\n"), id="lines of Windows"),
        pytest.param(lines(records(note="a\u2028b\x85c")), id="a line separator in a text"),
        pytest.param(lines(records()).encode("utf-16"), id="UTF-16"),
    ],
)
def test_a_text_file_is_read_in_any_unicode_form(charades: Run, content: str | bytes) -> None:
    assert charades(content)["values"]["R@0.7"] == 1.0


def test_files_packed_with_gzip_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, folder = tmp_path / "charades_sta_test.txt", tmp_path / "ranks"
    truth.write_text(CHARADES)
    folder.mkdir()
    packed = gzip.compress(lines(records()).encode())
    for place in (tmp_path / "answers.jsonl.gz", tmp_path / "answers.json", folder / "rank0.json.gz"):
        place.write_bytes(packed)  # its content decides
        named = folder if place.parent == folder else place
        assert main(["charades_sta", "--truth", str(truth), "--predictions", str(named), "--json"]) == 0
        values = {row["metric"]: row["value"] for row in json.loads(capsys.readouterr().out)["metrics"]}
        assert values["R@0.7"] == 1.0, place
    for content, problem in (
        (packed[:-12], "cannot be unpacked"),
        (gzip.compress(b" " * 150_000_000, 9), "would unpack to more than 100,000,000 bytes"),
    ):
        place.write_bytes(content)
        assert main(["charades_sta", "--truth", str(truth), "--predictions", str(place)]) == 2
        assert problem in " ".join(capsys.readouterr().err.split())


def test_a_file_that_is_not_unicode_is_refused_by_its_line(charades: Run) -> None:
    found = charades(lines(records(note="ü")).encode("cp1252"))
    assert found["rc"] == 2
    assert "line 1" in found["error"]
    assert "UTF-8" in found["error"]


@pytest.mark.parametrize(
    "truth", [{"timestamp": [1.0, 5.0]}, {"start": 1.0, "end": 5.0}, {"answer": "1 - 5 seconds"}]
)
def test_the_truth_in_a_record_is_not_taken_for_its_prediction(charades: Run, truth: dict[str, Any]) -> None:
    rows = [{**row, **truth, "pred": "100 - 101 seconds"} for row in records()]
    found = charades(json.dumps(rows))
    assert found["values"]["tIoU"] == 0.0
    assert found["read_from"] == {"pred": 3}


def test_the_output_says_from_which_field_answers_come(charades: Run) -> None:
    rows = [{"image_id": v, "caption": q, "timestamp": s} for (v, q), s in zip(QUERIES, SPANS, strict=True)]
    assert charades(json.dumps(rows))["read_from"] == {"timestamp": 3}


@pytest.mark.parametrize("end", ["NaN", "Infinity", "1" + "0" * 400])
def test_a_time_that_is_not_finite_fails_its_sample_alone(charades: Run, end: str) -> None:
    video, query = QUERIES[0]
    good = {"VID2": {QUERIES[2][1]: {"start": 0.0, "end": 4.0}}}
    content = json.dumps({video: {query: {"start": 1.0, "end": "END"}}, **good}).replace('"END"', end)
    found = charades(content)
    assert found["values"]["tIoU"] == pytest.approx(1 / 3)
    assert found["problems"]["failures"] == 2  # this one, and the sample without a prediction


@pytest.mark.parametrize("ends", [("1.0", "5"), ("0:01", "0:05")])
def test_times_may_be_written_as_text(charades: Run, ends: tuple[str, str]) -> None:
    video, query = QUERIES[0]
    found = charades(json.dumps({video: {query: {"start": ends[0], "end": ends[1]}}}))
    assert found["values"]["tIoU"] == pytest.approx(1 / 3)


def test_a_null_answer_fails_its_sample_alone(charades: Run) -> None:
    rows = records()
    rows[1]["pred"] = None
    found = charades(lines(rows))
    assert found["values"]["tIoU"] == pytest.approx(2 / 3)
    assert found["problems"]["failures"] == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ("[]", "holds no prediction"),
        ("", "holds no pred"),
    ],
)
def test_a_file_without_usable_content_is_refused(charades: Run, content: str, said: str) -> None:
    found = charades(content)
    assert found["rc"] == 2
    assert said in found["error"]


def test_a_running_number_is_not_taken_for_the_id_of_a_sample(charades: Run) -> None:
    rows = [{"id": n, **row} for n, row in enumerate(records()[1:])]  # the first query was not asked
    found = charades(lines(rows))
    assert found["values"]["tIoU"] == pytest.approx(2 / 3)
    assert found["problems"]["predictions with the id of another sample than their video and words"] == 2


def test_an_expression_number_alone_names_no_sample(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Records with a running id: "0" is an expression of both videos."""
    rle = {"size": [8, 8], "counts": masks.encode(np.eye(8, dtype=np.uint8))}
    videos = {
        video: {"expressions": {str(e): {"exp": f"thing {e}", "obj_id": [0], "anno_id": [0]} for e in (0, 1)},
                "frames": ["00000"]}
        for video in ("v1", "v2")
    }  # fmt: skip
    (tmp_path / "meta_expressions.json").write_text(json.dumps({"videos": videos}))
    (tmp_path / "mask_dict.json").write_text(json.dumps({"0": [rle]}))
    rows = [
        {"id": n, "video": video, "exp_id": e, "segmentations": [rle]}
        for n, (video, e) in enumerate((v, e) for v in ("v2", "v1") for e in ("1", "0"))
    ]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    arguments = ["mevis", "--truth", str(tmp_path), "--predictions", str(tmp_path / "rows.json"), "--json"]
    assert main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert not any(found["problems"].values()), found["problems"]


CHOICES = ("red", "blue", "green")


@pytest.fixture
def mvbench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Scores answers to four questions, the last two of which have the same words."""
    folder = tmp_path / "json"
    folder.mkdir()
    questions = ("What is left?", "What is right?", "What happens?", "What happens?")
    truth = [
        {"video": f"{n}.mp4", "question": asked, "candidates": CHOICES, "answer": CHOICES[n % 3]}
        for n, asked in enumerate(questions)
    ]
    (folder / "action_sequence.json").write_text(json.dumps([{**r, "start": 1.0, "end": 2.0} for r in truth]))

    def run(answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        place = tmp_path / "answers.jsonl"
        place.write_text(lines(answers))
        rc = main(["mvbench", "--truth", str(folder), "--predictions", str(place), "--json"])
        printed = capsys.readouterr()
        if rc:
            return {"rc": rc, "error": printed.err}
        found = json.loads(printed.out)
        problems = {kind: count for kind, count in found["problems"].items() if count}
        return {"value": found["metrics"][0]["value"], "problems": problems, "read_from": found["read_from"]}

    run.truth = truth  # type: ignore[attr-defined]
    return run


def test_a_record_whose_own_answer_cannot_be_read_is_not_read_from_its_truth(mvbench: Any) -> None:
    found = mvbench([{**row, "start": 1.0, "end": 2.0, "pred": {"choice": "A"}} for row in mvbench.truth])
    assert found["rc"] == 2
    found = mvbench([{**row, "pred": None} for row in mvbench.truth])
    assert found == {"value": 0.0, "problems": {"failures": 4}, "read_from": {"pred": 4}}


def test_an_option_may_be_a_number(mvbench: Any) -> None:
    rows = [{**row, "start": 1.0, "end": 2.0, "pred": float(n % 3)} for n, row in enumerate(mvbench.truth)]
    assert mvbench(rows) == {"value": 1.0, "problems": {}, "read_from": {"pred": 4}}


def test_answers_of_the_released_code_are_found_by_task_and_video(mvbench: Any) -> None:
    rows = [{"vid": f"{n}.mp4", "task_type": "Action Sequence", "pred": n % 3, "gt": 0} for n in (3, 1, 0, 2)]
    assert mvbench(rows) == {"value": 1.0, "problems": {}, "read_from": {"pred": 4}}


def test_an_answer_to_one_of_several_videos_is_given_to_none(mvbench: Any) -> None:
    asked = {"task_type": "Action Sequence", "pred": "(A)"}
    found = mvbench([{**asked, "question": "What is left?"}, {**asked, "question": "What happens?"}])
    assert found["value"] == 0.25
    assert found["problems"] == {
        "samples without a prediction": 3, "predictions that fit samples of several videos": 1, "failures": 3
    }  # fmt: skip
    found = mvbench([{**asked, "question": "What happens?"}])
    assert (found["rc"], "fit samples of several videos" in found["error"]) == (2, True)


def test_every_number_has_a_fingerprint_of_its_data_and_its_rules(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth, made, other = tmp_path / "truth.txt", tmp_path / "made.jsonl", tmp_path / "other.jsonl"
    truth.write_text(CHARADES)
    made.write_text(lines(records()))
    other.write_text(lines(records(note="other bytes")))

    def fingerprints(predictions: Path, *more: str) -> set[str]:
        places = ["--truth", str(truth), "--predictions", str(predictions)]
        assert main(["charades_sta", *places, "--json", *more]) == 0
        rows = json.loads(capsys.readouterr().out)["metrics"]
        found = {row["fingerprint"] for row in rows}
        assert len(found) == len(rows)
        assert all(len(one) == 12 for one in found)
        return found

    usual = fingerprints(made)
    assert fingerprints(made) == usual
    assert fingerprints(made, "--protocol", "inclusive") < usual
    assert not fingerprints(other) & usual
    assert not fingerprints(made, "--bare-times", "seconds") & usual
    assert not fingerprints(made, "--clamp-times") & usual


@pytest.mark.parametrize(
    ("missing", "said"),
    [("truth.txt", "Correct --truth."), ("made.jsonl", "Correct --predictions."), ("out", "is a file")],
)
def test_a_wrong_place_is_told_by_its_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], missing: str, said: str
) -> None:
    (tmp_path / "truth.txt").write_text(CHARADES)
    (tmp_path / "made.jsonl").write_text(lines(records()))
    out = tmp_path / "out"
    if missing == "out":
        out.write_text("a file")
    else:
        (tmp_path / missing).unlink()
    places = ["--truth", str(tmp_path / "truth.txt"), "--predictions", str(tmp_path / "made.jsonl")]
    assert main(["charades_sta", *places, "--out", str(out)]) == 2
    assert said in capsys.readouterr().err


def test_truth_of_which_no_metric_counts_a_sample_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """MeViS has no kinds of expressions, by which ReVOS takes its means."""
    rle = {"size": [8, 8], "counts": masks.encode(np.eye(8, dtype=np.uint8))}
    videos = {"v": {"expressions": {"0": {"exp": "it", "obj_id": [0], "anno_id": [0]}}, "frames": ["0"]}}
    (tmp_path / "meta_expressions.json").write_text(json.dumps({"videos": videos}))
    (tmp_path / "mask_dict.json").write_text(json.dumps({"0": [rle]}))
    (tmp_path / "made.json").write_text(json.dumps({"v": {"0": [rle]}}))
    places = ["--truth", str(tmp_path), "--predictions", str(tmp_path / "made.json")]
    assert main(["revos", *places]) == 2
    assert "count in no metric of ReVOS" in capsys.readouterr().err
    assert main(["mvbench", *places]) == 2
    said = capsys.readouterr().err
    assert "Check --truth" in said
    assert "`annotations`" not in said
