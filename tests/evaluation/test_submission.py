"""Benchmarks whose truth is hidden: answered and submitted, but never scored."""

from __future__ import annotations

import io
import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hidden_bench import (
    HEIGHT,
    NAMES,
    WIDTH,
    answer,
    content,
    mask_of,
    prepared_reader,
    store_answers,
    write_outside_checkpoint,
    write_sources,
)
from PIL import Image

from evaluation.run import evaluate, report
from pipeline.artifacts.record import Artifact
from pipeline.artifacts.survey import survey
from pipeline.dataset.reader import ShardReader
from pipeline.errors import UserError
from pipeline.jobs.mlflow_store import history
from pipeline.jobs.runner import print_result
from pipeline.jobs.sender import send_now
from pipeline.jobs.step import build, make_context
from pipeline.plan.plan import Plan
from pipeline.records.sample import Sample


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hidden")
    write_sources(folder)
    write_outside_checkpoint(folder / "checkpoint")
    return folder


@pytest.fixture(scope="module")
def plan(home: Path) -> Plan:
    return Plan.model_validate(content(home))


@pytest.fixture(scope="module")
def reader(home: Path, plan: Plan) -> ShardReader:
    return prepared_reader(home, plan)


@pytest.fixture(scope="module")
def samples(plan: Plan, reader: ShardReader) -> dict[str, Sample]:
    return dict(store_answers(plan, reader))


@pytest.fixture(scope="module")
def evaluated(plan: Plan, samples: dict[str, Sample]) -> Artifact:
    return run(plan)


def run(plan: Plan) -> Artifact:
    name = next(spec.name for spec in survey(plan).specs if spec.name.startswith("evaluate"))
    return build(make_context(plan, name), evaluate)


def archive(made: Artifact, entry: str) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO((made.location / "submissions" / f"{entry}.zip").read_bytes()))


def plan_with_answers(home: Path, tmp_path: Path, reader: ShardReader, answer_to: Any, **entry: Any) -> Plan:
    """The plan of the same benchmarks with other answers, in its own storage root."""
    raw = content(home, **entry)
    raw["storage"]["root"] = str(tmp_path / "runs")
    plan = Plan.model_validate(raw)
    from tiny_bench import finished

    finished(plan, "prepare", home / "data", reader.manifest.digest)
    store_answers(plan, reader, answer_to)
    return plan


@pytest.mark.parametrize("entry", NAMES)
def test_the_archive_has_the_files_that_its_server_expects(
    evaluated: Artifact, samples: dict[str, Sample], entry: str
) -> None:
    """Names, sizes, values and pixels of every mask, against a list of names written by hand."""
    zipped = archive(evaluated, entry)
    assert zipped.namelist() == NAMES[entry], "in the order of the names, frames in that of the source"
    for name in zipped.namelist():
        picture = Image.open(io.BytesIO(zipped.read(name)))
        assert (picture.format, picture.mode, picture.size) == ("PNG", "L", (WIDTH, HEIGHT))
        video, expression, frame = name.removeprefix("Annotations/").removesuffix(".png").split("/")
        sample = samples[f"{entry}/{video}/{expression}"]
        number = [still.removesuffix(".jpg") for still in sample.video.frames].index(frame)
        assert (np.asarray(picture) == 255 * mask_of(sample, number)).all()


def test_equal_answers_give_equal_bytes(
    home: Path, tmp_path: Path, reader: ShardReader, evaluated: Artifact
) -> None:
    """Also if the store has them in other parts, in another order."""
    plan = plan_with_answers(home, tmp_path, reader, answer)
    parts = sorted((tmp_path / "runs" / "answers").rglob("*.parquet"))
    assert len(parts) > 2
    again = run(plan)
    for entry in NAMES:
        place = f"submissions/{entry}.zip"
        assert (again.location / place).read_bytes() == (evaluated.location / place).read_bytes()
    dates = {info.date_time for entry in NAMES for info in archive(again, entry).infolist()}
    assert dates == {(1980, 1, 1, 0, 0, 0)}


def test_record_and_metrics_describe_the_archive(evaluated: Artifact) -> None:
    import hashlib

    written = json.loads((evaluated.location / "metrics.json").read_bytes())
    for entry, (videos, expressions) in (("mevis_valid", (2, 3)), ("ytvos_valid", (2, 3))):
        counts = written["benchmarks"][entry]
        assert counts == evaluated.record.summary["benchmarks"][entry]
        assert counts["state"].startswith("not scored here")
        made = counts["submission"]
        data = (evaluated.location / made["file"]).read_bytes()
        assert made["sha256"] == hashlib.sha256(data).hexdigest()
        assert (made["videos"], made["expressions"]) == (videos, expressions)
        assert made["masks"] == len(NAMES[entry])
        assert (made["empty"], made["surplus"], made["complete"]) == ({}, 0, False)
        rows = [row for row in written["metrics"] if row["benchmark"] == entry]
        assert {row["metric"] for row in rows} == {"J", "F", "J&F"}
        assert all(row["value"] is None and row["description"].startswith("not scored here") for row in rows)
        assert all((row["samples"], row["failures"]) == (3, 0) for row in rows)


def test_no_score_is_logged_or_stored(plan: Plan, evaluated: Artifact) -> None:
    assert pq.read_table(io.BytesIO((evaluated.location / "scores.parquet").read_bytes())).num_rows == 0
    send_now(plan)
    logged = history(plan, evaluated.record.fingerprint)
    assert not [name for name in logged if name.startswith(tuple(NAMES))]


def test_the_table_and_the_page_say_not_scored_here(
    plan: Plan, evaluated: Artifact, capsys: pytest.CaptureFixture[str]
) -> None:
    made = build(make_context(plan, "report"), report)
    text = (made.location / "table.txt").read_text()
    for entry in NAMES:
        line = next(line for line in text.splitlines() if line.strip().startswith(entry))
        assert "not scored here" in line
        assert "0.0" not in line
    assert "submissions/ytvos_valid.zip of each evaluation is for it" in " ".join(text.split())
    page = (made.location / "report.html").read_text()
    stored = re.findall(r'class="sample">(.*?)</script>', page, re.S)
    html = " ".join(" ".join(json.loads(one)["html"] for one in stored).split())
    assert '<span class="verdict flat"><span aria-hidden="true">–</span> not scored here</span>' in html
    assert "Truth:</strong> hidden" in html
    assert "1 predicted mask" in page
    print_result(survey(plan), "plan.yaml")
    printed = capsys.readouterr().out
    assert (
        f"{evaluated.location.uri}/submissions/mevis_valid.zip (2 videos, 3 expressions, not complete)"
        in printed
    )
    assert "competitions/29139" in printed


def faulty_answer(sample: Sample) -> Any:
    """A good answer, but one failure of each kind for some samples."""
    made = answer(sample)
    track = made.masks[0]
    if sample.key == "mevis_valid/0a1b/10":
        return replace(made, masks=(), text="I see none.")
    if sample.key == "mevis_valid/ff/2":
        return replace(made, masks=(replace(track, frames=track.frames[:1], counts=track.counts[:1]),))
    if sample.key == "ytvos_valid/v1/0":
        return replace(made, masks=(replace(track, height=WIDTH, width=HEIGHT),))
    if sample.key == "ytvos_valid/v1/1":
        return replace(made, masks=(track, track))
    return made


def test_an_answer_without_masks_is_named_and_nothing_is_written(
    home: Path, tmp_path: Path, reader: ShardReader, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = plan_with_answers(home, tmp_path, reader, faulty_answer)
    with pytest.raises(UserError) as caught:
        run(plan)
    text = str(caught.value)
    assert "mevis_valid/0a1b/10: no [SEG] in the answer" in text
    assert "mevis_valid/ff/2: no mask on 1 of 2 frames" in text
    assert "ytvos_valid/v1/0: masks of 30x20 for frames of 20x30" in text
    assert "v1/1" not in text, "of several masks the first counts"
    assert "empty_masks: true" in text
    assert not list((tmp_path / "runs").rglob("*.zip"))
    printed = capsys.readouterr().out
    assert (
        "ytvos_valid: 2 videos, 3 expressions, not a complete submission. Refer-YouTube-VOS valid has"
        in printed
    )


def test_empty_masks_are_written_if_the_plan_allows_them_and_counted(
    home: Path, tmp_path: Path, reader: ShardReader
) -> None:
    made = run(plan_with_answers(home, tmp_path, reader, faulty_answer, empty_masks=True))
    counts = made.record.summary["benchmarks"]
    assert counts["mevis_valid"]["submission"]["empty"] == {
        "no [SEG] in the answer": 1,
        "no mask on 1 of 2 frames": 1,
    }
    assert counts["mevis_valid"]["failures"] == counts["mevis_valid"]["submission"]["empty"]
    assert counts["ytvos_valid"]["submission"]["surplus"] == 1
    zipped = archive(made, "mevis_valid")
    assert sorted(zipped.namelist()) == sorted(NAMES["mevis_valid"])
    for name in zipped.namelist():
        shows = np.asarray(Image.open(io.BytesIO(zipped.read(name)))).any()
        assert shows == name.startswith("0a1b/0/")


def test_a_video_that_cannot_be_read_is_named(home: Path, tmp_path: Path, reader: ShardReader) -> None:
    """Only samples of the missing video have no answer yet, so no model is loaded."""
    gone = home / "mevis_valid" / "JPEGImages" / "ff"
    plan = plan_with_answers(home, tmp_path, reader, lambda s: None if "/ff/" in s.key else answer(s))
    gone.rename(gone.with_name("away"))
    try:
        with pytest.raises(UserError, match=r"mevis_valid/ff/2: the video cannot be read: is in none of"):
            run(plan)
        made = run(
            plan_with_answers(
                home,
                tmp_path / "b",
                reader,
                lambda s: None if "/ff/" in s.key else answer(s),
                empty_masks=True,
            )
        )
    finally:
        gone.with_name("away").rename(gone)
    empty = made.record.summary["benchmarks"]["mevis_valid"]["submission"]["empty"]
    assert sum(empty.values()) == 1
    assert made.record.summary["unreadable"] == 1, "so the next run retries it"


def test_a_limited_run_writes_no_archive(home: Path, tmp_path: Path, reader: ShardReader) -> None:
    made = run(plan_with_answers(home, tmp_path, reader, answer, limit=2))
    counts = made.record.summary["benchmarks"]["mevis_valid"]
    assert counts["submission"] is None
    assert "2 chosen expressions are a trial" in counts["no_submission"]
    assert not (made.location / "submissions").exists()


def test_a_rejected_record_is_reported_before_any_question_is_asked(home: Path, tmp_path: Path) -> None:
    write_sources(tmp_path)
    (tmp_path / "mevis_valid" / "JPEGImages" / "ff" / "00007.jpg").unlink()
    raw = content(tmp_path)
    raw["evaluation"]["checkpoints"] = [str(home / "checkpoint")]
    plan = Plan.model_validate(raw)
    prepared_reader(tmp_path, plan)
    with pytest.raises(UserError, match=r"mevis_valid/ff/2 was rejected in preparation .*00007"):
        run(plan)
