"""A model's answer as spans of its video: the clock, the rules, and the reasons why a time is not read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tiny_bench import make_plan, write_dataset

from evaluation.answer_store import Answered, AnswerStore
from evaluation.asking import entry_items
from evaluation.prediction import Prediction
from evaluation.scoring import score_slice, scored_prediction, slices
from evaluation.spans import DEFAULT_RULES, SpanRules, read_spans
from pipeline.dataset.reader import ShardReader
from pipeline.records.sample import Sample, Task, TimeSpan, VideoRef
from pipeline.storage.location import Location
from pipeline.times import temporal
from pipeline.times.parser import Refusal
from pipeline.times.temporal import Outside
from pipeline.times.text import Form

STARTS = (0.0, 1.0, 2.0, 6.0, 7.0, 8.0)


def time_sample(clip: TimeSpan | None = None, starts_s: tuple[float, ...] = ()) -> Sample:
    """About ten seconds of video; six frames, or twenty even ones."""
    video = VideoRef(
        path="a.mp4", num_frames=len(starts_s) or 20, fps=2.0, duration_s=10.0, frame_starts_s=starts_s,
        height=4, width=6,
    )  # fmt: skip
    return Sample(key="s/0", dataset="s", task=Task.TEMPORAL, video=video, turns=(), clip=clip)


def seconds(text: str, sample: Sample, rules: SpanRules = DEFAULT_RULES) -> list[tuple[float, float]]:
    return [(s.start_s, s.end_s) for s in read_spans(text, sample, rules).spans]


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=4))
@example([(99, 99)])
@settings(deadline=None)
def test_time_tokens_are_read_as_by_the_codec_of_training(bins: list[tuple[int, int]]) -> None:
    """The spans, bins and floats of time tokens are exactly those of the codec."""
    text = "It is " + ", then ".join("{" + temporal.token(a) + temporal.token(b) + "}" for a, b in bins) + "."
    clip = temporal.span(2.0, 8.5, 10.0)
    plain = temporal.read(text)
    assert plain == bins
    kept = plain[: next((i for i, (a, b) in enumerate(plain) if b < a), len(plain))]
    expected = [
        TimeSpan(
            start_s=2.0 + temporal.to_seconds(a, 6.5),
            end_s=2.0 + temporal.to_seconds(b, 6.5),
            start_bin=a,
            end_bin=b,
        )
        for a, b in kept
    ]
    assert list(read_spans(text, time_sample(clip)).spans) == expected


@pytest.mark.parametrize(
    "text",
    [
        "2.5 to 5 seconds",
        "0:02.5 - 0:05",
        "25% to 50%",
        "frames 5 to 9",
        "{'start': '2.5s', 'end': '5s'}",
        "[2.5, 5] seconds",
        "(2.5, 5.0)s",
        "[25, 50]%",
    ],
)
def test_every_form_of_a_time_gives_the_same_span(text: str) -> None:
    assert seconds(text, time_sample()) == [pytest.approx((2.5, 5.0))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("In the clip (0-5s) he falls at 1-3s", (5.0, 7.0)),
        ("from 1 second to the end", (5.0, 9.0)),
        ("from the beginning until 3 s", (4.0, 7.0)),
        ("frame 2 to the end of the clip", (5.0, 9.0)),
    ],
)
def test_beginning_and_end_are_those_of_the_shown_clip(text: str, expected: tuple[float, float]) -> None:
    assert seconds(text, time_sample(temporal.span(4.0, 9.0, 10.0))) == [pytest.approx(expected)]


@pytest.mark.parametrize("text", ["1 to 3 seconds", "0:01 - 0:03", "20% to 60%", "frames 2 to 5"])
def test_times_are_relative_to_the_start_of_the_clip(text: str) -> None:
    clip = temporal.span(4.0, 9.0, 10.0)
    assert seconds(text, time_sample(clip)) == [pytest.approx((5.0, 7.0))]
    assert read_spans("1 to 6 seconds", time_sample(clip)).refusal == Refusal.OUTSIDE


def test_frame_numbers_follow_time_stamps_at_a_variable_frame_rate() -> None:
    assert seconds("frames 2 to 3", time_sample(starts_s=STARTS)) == [pytest.approx((2.0, 7.0))]
    clip = temporal.span(3.0, 9.0, 10.0)  # shows frame 2 until 6 s, then 3, 4 and 5
    assert seconds("frames 1 to 2", time_sample(clip, STARTS)) == [pytest.approx((6.0, 8.0))]
    assert read_spans("frames 2 to 9", time_sample(starts_s=STARTS)).refusal == Refusal.OUTSIDE


def test_numbers_without_a_unit_need_a_rule() -> None:
    assert read_spans("[1.5, 3.0]", time_sample()).refusal == Refusal.NO_UNIT
    assert seconds("[1.5, 3.0]", time_sample(), SpanRules(bare=Form.SECONDS)) == [(1.5, 3.0)]
    assert seconds("0.25 to 0.5", time_sample(), SpanRules(bare=Form.FRACTIONS)) == [(2.5, 5.0)]
    assert seconds("4 to 5", time_sample(), SpanRules(bare=Form.FRAMES)) == [(2.0, 3.0)]


def test_times_outside_are_refused_or_cut_and_reported() -> None:
    clamp = SpanRules(outside=Outside.CLAMP)
    assert read_spans("8 s to 12 s", time_sample()).refusal == Refusal.OUTSIDE
    cut = read_spans("8 s to 12 s, then 1 s to 2 s", time_sample(), clamp)
    assert [(s.start_s, s.end_s) for s in cut.spans] == [(8.0, 10.0), (1.0, 2.0)]
    assert cut.clamped
    assert not read_spans(
        "1 s to 2 s, then 8 s to 12 s", time_sample(), clamp
    ).clamped  # the second is not scored
    assert read_spans("11 s to 12 s", time_sample(), clamp).refusal == Refusal.OUTSIDE


def test_the_first_span_is_the_answer_even_if_it_cannot_be_read() -> None:
    """A token past bin 99 can be spelled out of ordinary characters: a wrong answer, not an error."""
    for text in ("{<TEMP-120><TEMP-130>}", "{<TEMP-120><TEMP-130>} or {<TEMP-010><TEMP-099>}"):
        read = read_spans(text, time_sample())
        assert (read.spans, read.refusal) == ((), Refusal.BAD_TOKEN)
        assert "<TEMP-120>" in read.detail
    (span,) = read_spans("{<TEMP-010><TEMP-099>} or {<TEMP-120><TEMP-130>}", time_sample()).spans
    assert (span.start_bin, span.end_bin, span.end_s) == (10, 99, 10.0)
    assert read_spans("{<TEMP-047><TEMP-012>}", time_sample()).refusal == Refusal.REVERSED


@given(st.text(alphabet="<>TEMP-0123456789{}[]():. ,tosecfram%", max_size=80))
@settings(max_examples=300, deadline=None)
def test_every_text_gives_spans_or_a_reason(text: str) -> None:
    for clip in (None, temporal.span(4.0, 9.0, 10.0)):
        read = read_spans(text, time_sample(clip, STARTS), SpanRules(bare=Form.FRAMES))
        assert bool(read.spans) != bool(read.refusal)
        start_s, end_s = (4.0, 9.0) if clip else (0.0, 10.0)
        assert all(start_s - 1e-6 <= s.start_s <= s.end_s <= end_s + 1e-6 for s in read.spans)


def test_answers_are_read_by_the_rules_of_the_plan_when_they_are_scored(tmp_path: Path) -> None:
    """So a changed rule needs no new answers: the store has the model's text."""
    config = make_plan(tmp_path).evaluation
    assert config is not None
    reader = ShardReader(write_dataset(tmp_path))
    store = AnswerStore.at(Location.parse(tmp_path), {})
    bench = next(b for b in config.benchmarks if b.source == "bench/charades")
    items = entry_items(reader, bench, 1)
    predictions = [Prediction(key=item.key, source=item.source, text="0.5 to 7") for item in items]
    places = store.write(
        bench.source,
        [Answered(question=i.question, prediction=p) for i, p in zip(items, predictions, strict=True)],
    )
    for more in ({}, {"bare_times": Form.SECONDS, "outside_times": Outside.CLAMP}):
        entry = bench.model_copy(update=more)
        assert [i.name for i in entry_items(reader, entry, 1)] == list(places)
        (part,) = slices(entry, items, [places[i.name] for i in items])
        scores = score_slice(reader, store, part).scores
        if more:
            assert {(s.refusal, s.clamped, s.values["tIoU"]) for s in scores} == {("", True, 1.0)}
        else:
            assert {s.refusal for s in scores} == {str(Refusal.NO_UNIT)}
            read = scored_prediction(predictions[0], reader.sample(bench.source, 0), entry)
            assert read.refusal_detail.startswith("0.5 to 7")
