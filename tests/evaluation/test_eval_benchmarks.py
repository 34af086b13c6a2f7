"""Benchmarks on whole samples: what they ask, what answers earn, how scores fold."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError
from tiny_bench import FRAMES, HEIGHT, SOURCES, WIDTH, flawless, sample, square, track

from evaluation.benchmarks import BENCHMARKS
from evaluation.metrics.aggregate import Metric, Over, Score, fold, rows
from evaluation.prediction import Prediction
from pipeline.config.evaluation import BenchmarkConfig, BenchmarkFamily, PromptStyle
from pipeline.errors import UserError
from pipeline.schema import masks, temporal
from pipeline.schema.sample import MaskTrack, Sample, TimeSpan


def prediction(sample_: Sample, text: str = "", **more: object) -> Prediction:
    spans = tuple(
        TimeSpan(start_s=2 * a / 99, end_s=2 * b / 99, start_bin=a, end_bin=b) for a, b in temporal.read(text)
    )
    return Prediction(key=sample_.key, source=sample_.dataset, checkpoint="c", text=text, spans=spans, **more)  # type: ignore[arg-type]


def score(sample_: Sample, made: Prediction) -> Score:
    return BENCHMARKS[BenchmarkFamily(SOURCES[sample_.dataset])].score(sample_, made)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("number", [0, 1])
def test_a_flawless_answer_earns_full_marks(source: str, number: int) -> None:
    truth = sample(source, number)
    text, tracks = flawless(truth)
    found = score(truth, prediction(truth, text, masks=tracks))
    assert found.failure is None
    assert found.values, source
    for measure, value in found.values.items():
        assert value == pytest.approx(1, abs=0.02), measure  # spans are off by up to half a bin


@pytest.mark.parametrize("source", SOURCES)
def test_a_failed_sample_is_scored_and_counted(source: str) -> None:
    truth = sample(source, 1)
    found = score(truth, prediction(truth, failure="not readable: x.mp4"))
    assert found.failure == "not readable: x.mp4"
    assert set(found.values) == set(score(truth, prediction(truth, "x")).values)
    empty_frames = 0.25 if source == "bench/mevis" else 0.0  # 4 of 16 frames are empty, and rightly so
    for measure, value in found.values.items():
        assert value == (empty_frames if measure in ("J", "F", "J&F") else 0.0), measure


def test_an_answer_without_an_option_is_a_failure_yet_the_published_rule_takes_c() -> None:
    truth = sample("bench/mvbench", 2)  # its answer is C
    found = score(truth, prediction(truth, "no idea"))
    assert found.failure == "no option in the answer"
    assert found.values["accuracy"] == 0
    assert found.values["accuracy published"] == 1


def test_missing_frames_and_wrong_sizes_count_as_empty() -> None:
    truth = sample("bench/mevis", 0)
    half = track(0, range(FRAMES // 2))
    found = score(truth, prediction(truth, "[SEG]", masks=(half,)))
    assert found.failure == "no mask on 8 of 16 frames"
    assert found.values["J"] == 0.5
    small = MaskTrack(height=24, width=32, frames=(5,), counts=(masks.empty(24, 32),))
    found = score(truth, prediction(truth, "[SEG]", masks=(small,)))
    assert found.failure == "masks of 24x32 for frames of 48x64"
    assert found.values["J"] == 0.25


def test_masks_pair_in_order_and_surplus_or_missing_ones_are_failures() -> None:
    one = sample("bench/ufvideo", 0)
    right = one.targets[0]
    counts = tuple(masks.encode(square(3, f)) for f in right.frames)
    other = MaskTrack(height=HEIGHT, width=WIDTH, frames=right.frames, counts=counts)
    two = replace(one, targets=(right, other))
    assert score(two, prediction(two, masks=(right, other))).values["J"] == 1
    assert score(two, prediction(two, masks=(other, right))).values["J"] < 0.5
    missing = score(two, prediction(two, masks=(right,)))
    assert (missing.failure, missing.values["J"]) == ("1 masks for 2 targets", 0.5)
    surplus = score(one, prediction(one, masks=(right, other)))
    assert (surplus.failure, surplus.values["J"]) == ("2 masks for 1 target", 1)


def test_hidden_truth_is_a_users_mistake() -> None:
    truth = replace(sample("bench/mevis", 0), targets=())
    with pytest.raises(UserError, match="no truth"):
        score(truth, prediction(truth))


def test_the_rule_of_the_benchmark_and_the_published_one_differ() -> None:
    """A short flawless expression and a long failed one: 1/2 by expression, 1/13 by frame with an object."""
    long = sample("bench/mevis", 0)
    short = replace(long, targets=(track(0, range(5, 6)),))
    scores = [score(long, prediction(long)), score(short, prediction(short, masks=short.targets))]
    by_expression = fold(Metric(name="", of="J&F"), scores)
    pooled = fold(Metric(name="", of="J&F shown", over=Over.WEIGHTS), scores)
    assert by_expression == pytest.approx((0.25 + 1) / 2)
    assert pooled == pytest.approx(1 / 13)


def test_means_over_samples_and_over_categories() -> None:
    scores = [
        Score(key=str(i), values={"a": float(i == 0)}, category="x" if i < 1 else "y") for i in range(4)
    ]
    assert fold(Metric(name="", of="a"), scores) == 0.25
    assert fold(Metric(name="", of="a", over=Over.CATEGORIES), scores) == 0.5
    assert fold(Metric(name="", of="b"), scores) is None


def test_a_failed_sample_stays_in_every_denominator() -> None:
    good, bad = Score(key="g", values={"a": 1.0}), Score(key="b", values={"a": 0.0}, failures={"a": "gone"})
    [row] = rows("bench", (Metric(name="A", of="a"),), [good, bad, bad])
    assert (row.value, row.samples, row.failures) == (pytest.approx(1 / 3), 3, 2)


def test_a_measure_counts_only_samples_that_it_applies_to() -> None:
    four = [sample("bench/ufvideo", n) for n in range(4)]
    scores = [score(s, prediction(s, flawless(s)[0], masks=s.targets)) for s in four]
    found = rows("b", BENCHMARKS[BenchmarkFamily.UFVIDEO_BENCH].metrics, scores)
    tiou = {r.category: r.samples for r in found if r.metric == "tIoU"}
    assert tiou == {"": 2, "PixHQA": 0, "PixTRQA": 2}


def test_published_wording() -> None:
    text = {
        source: BENCHMARKS[BenchmarkFamily(family)].prompt(sample(source, 0), PromptStyle.PUBLISHED)[0].text
        for source, family in SOURCES.items()
    }
    assert text["bench/mvbench"].startswith(
        "Question: What colour is it?\nOptions:\n(A) Red.\n(B) Green.\n(C) Blue.\nAnswer"
    )
    assert "What colour is [<region>]? (A) Red. (B) Green." in text["bench/refer"]
    assert text["bench/mevis"] == "Please segment the red square in this image."
    assert "When is the square moves occur in the video?" in text["bench/charades"]
    assert text["bench/ufvideo"] == sample("bench/ufvideo", 0).turns[0].text


def test_other_styles() -> None:
    choice = (
        BENCHMARKS[BenchmarkFamily.MVBENCH]
        .prompt(sample("bench/mvbench", 0), PromptStyle.LLAVA_VIDEO)[0]
        .text
    )
    assert choice.splitlines()[:4] == ["What colour is it?", "Options:", "A. Red.", "B. Green."]
    assert choice.endswith("Please provide your answer by stating the letter followed by the full option.")
    mevis = BENCHMARKS[BenchmarkFamily.MEVIS].prompt(sample("bench/mevis", 0), PromptStyle.PREPARED)
    assert mevis[0].text == "Segment the square."
    with pytest.raises(ValidationError, match="does not suit"):
        BenchmarkConfig(source="s", family=BenchmarkFamily.MEVIS, style=PromptStyle.LLAVA_VIDEO)


@pytest.mark.parametrize("source", SOURCES)
def test_a_prompt_never_holds_the_answer(source: str) -> None:
    prompt = BENCHMARKS[BenchmarkFamily(SOURCES[source])].prompt
    one = sample(source, 1)
    other = replace(one, turns=one.turns[:1], targets=(), spans=(), answer_index=-1)
    for style in PromptStyle:
        if style is PromptStyle.PREPARED and one.choices:
            continue  # asks bare questions without their options: test_prepared_choice
        assert prompt(one, style) == prompt(other, style)


def test_prepared_choice() -> None:
    prompt = BENCHMARKS[BenchmarkFamily.MVBENCH].prompt
    bare = sample("bench/mvbench", 0)
    with pytest.raises(ValueError, match="does not name the option"):
        prompt(bare, PromptStyle.PREPARED)
    text = "What?\nOptions:\n" + "\n".join(
        f"{letter}. {c}" for letter, c in zip("ABC", bare.choices, strict=True)
    )
    written = replace(bare, turns=(bare.turns[0]._replace(text=text),))
    assert prompt(written, PromptStyle.PREPARED)[0].text == text
