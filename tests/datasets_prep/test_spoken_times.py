"""Every time in a conversation is kept in seconds and bins, in questions and answers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from datasets_prep.draft import RejectError
from datasets_prep.passes.finish import finish
from datasets_prep.passes.validate import check
from datasets_prep.sources import Files, reader_of
from pipeline.dataset.arrow import to_table
from pipeline.dataset.sample_rows import from_table
from pipeline.plan.data import SourceConfig
from pipeline.records.sample import Sample, Task, TimeSpan, VideoRef
from pipeline.times import temporal

VIDEO = VideoRef(
    path="v.mp4", num_frames=20, fps=10, duration_s=2.0, duration_source="stream", height=4, width=6
)


def prepared_sample(tmp_path: Path, fmt: str, *texts: str, **row: Any) -> Sample:
    turns = [{"from": ("human", "gpt")[i % 2], "value": t} for i, t in enumerate(texts)]
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"video": "v.mp4", "conversations": turns, **row}]))
    config = SourceConfig.model_validate(
        {"name": "s", "format": fmt, "annotations": str(path), "media": ("m",)}
    )
    reader = reader_of(config.format)
    (record,) = reader.records(config, Files(annotations=path))
    (draft,) = reader.convert(record, config, 1)
    sample = finish(draft, config, VIDEO, 1).sample
    check(sample, config.use, 2)
    (back,) = from_table(to_table([sample]))
    assert back == sample
    return sample


def span(start_s: float, end_s: float, start_bin: int, end_bin: int) -> TimeSpan:
    return TimeSpan(
        start_s=pytest.approx(start_s),  # type: ignore[arg-type]
        end_s=pytest.approx(end_s),  # type: ignore[arg-type]
        start_bin=start_bin,
        end_bin=end_bin,
    )


def test_st_align_keeps_the_span_of_the_question(tmp_path: Path) -> None:
    """Temporal referring: the span is in the question, the answer is text."""
    variables = {"temporal_input_locations": [0.25, 0.5], "temporal_output_locations": [0.75]}
    sample = prepared_sample(
        tmp_path,
        "st_align",
        "<video>\nWhat happens in {<TEMP-INPUT><TEMP-INPUT>}?",
        "It runs. Starts in <TEMP-OUTPUT>.",
        variables=variables,
    )
    assert sample.task is Task.TEMPORAL
    assert sample.spans == ()
    assert sample.question_spans == (span(0.5, 1.0, 25, 50),)
    assert sample.instants == (span(1.5, 1.5, 74, 74),)
    assert sample.turns[1].text == "It runs. Starts in <TEMP-074>."


def test_seconds_are_relative_to_the_video_and_bins_to_the_clip(tmp_path: Path) -> None:
    variables = {"temporal_input_locations": [0.5, 1.0], "temporal_output_locations": [0.5]}
    sample = prepared_sample(
        tmp_path,
        "st_align",
        "What happens in {<TEMP-INPUT><TEMP-INPUT>}?",
        "Starts in <TEMP-OUTPUT>.",
        variables=variables,
        meta={"split": [10, 19]},
    )
    assert sample.question_spans == (span(1.5, 2.0, 50, 99),)
    assert sample.instants == (span(1.5, 1.5, 50, 50),)


def test_time_stamps_of_question_and_answer_are_kept_separately(tmp_path: Path) -> None:
    sample = prepared_sample(
        tmp_path, "time_stamp", "After <TIME_STAMP>?", "<TIME_STAMP>", tgt=[0.0, 0.5, 1.0, 2.0]
    )
    assert sample.question_spans == (span(0.0, 0.5, 0, 25),)
    assert sample.spans == (span(1.0, 2.0, 50, 99),)


def test_bins_that_the_text_already_holds_become_seconds(tmp_path: Path) -> None:
    sample = prepared_sample(
        tmp_path,
        "llava_video",
        "What is in {<TEMP-000><TEMP-050>}?",
        "A dog in {<TEMP-010><TEMP-020>}, from <TEMP-015> on.",
    )
    assert sample.question_spans == (span(0.0, 100 / 99, 0, 50),)
    assert sample.spans == (span(20 / 99, 40 / 99, 10, 20),)
    assert sample.instants == (span(30 / 99, 30 / 99, 15, 15),)
    with pytest.raises(RejectError, match="span_outside"):
        prepared_sample(tmp_path, "llava_video", "What is at <TEMP-120>?", "A dog.")


def test_options_may_be_times(tmp_path: Path) -> None:
    question = "When?\nA. {<TEMP-000><TEMP-050>}\nB. at <TEMP-060>"
    sample = prepared_sample(tmp_path, "llava_video", question, "B. at <TEMP-060>")
    assert (sample.task, sample.answer_index) == (Task.CHOICE, 1)
    assert sample.choices == ("{<TEMP-000><TEMP-050>}", "at <TEMP-060>")
    assert sample.turns[0].text == question


@pytest.mark.parametrize("lost", ["spans", "question_spans", "instants"])
def test_a_sample_that_lost_a_time_is_refused(tmp_path: Path, lost: str) -> None:
    sample = prepared_sample(
        tmp_path, "llava_video", "In {<TEMP-000><TEMP-050>} and at <TEMP-060>?", "{<TEMP-010><TEMP-020>}"
    )
    with pytest.raises(RejectError, match="span_count"):
        check(replace(sample, **{lost: ()}), "train", 2)  # type: ignore[arg-type]


def test_spans_have_bins_relative_to_the_clip_and_are_within_it() -> None:
    assert temporal.span(0.5, 1.0, 2.0, clip_start_s=10) == span(10.5, 11.0, 25, 50)
    for bad in ((1.0, 0.5), (0.5, 2.5), (-1.0, 0.5)):
        with pytest.raises(ValueError, match=r"before|outside"):
            temporal.span(*bad, 2.0)
