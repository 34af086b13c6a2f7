"""Benchmarks on whole samples: prompts, scores of answers, and averages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError
from tiny_bench import FRAMES, HEIGHT, SOURCES, WIDTH, flawless, sample, square, track

from evaluation.benchmarks import benchmark_of
from evaluation.metrics.aggregate import Metric, Over, Score, average, rows
from evaluation.prediction import Prediction
from evaluation.scores import summary, write_scores
from evaluation.spans import DEFAULT_RULES, AnswerSpans, SpanRules, read_spans
from pipeline.dataset.manifest import SourceEntry
from pipeline.errors import UserError
from pipeline.plan.benchmarks import PromptStyle
from pipeline.plan.evaluation import BenchmarkConfig
from pipeline.records import masks
from pipeline.records.sample import MaskTrack, Sample
from pipeline.storage.location import Location
from pipeline.times.temporal import Outside
from pipeline.times.text import Form


def prediction(
    sample_: Sample, text: str = "", rules: SpanRules = DEFAULT_RULES, **more: object
) -> Prediction:
    read = read_spans(text, sample_, rules) if "failure" not in more else AnswerSpans()
    fields = {"spans": read.spans, "refusal": read.refusal, "clamped": read.clamped, **more}
    return Prediction(key=sample_.key, source=sample_.dataset, text=text, **fields)  # type: ignore[arg-type]


def entry(source: str) -> SourceEntry:
    counts = {"read": 10, "kept": 10, "rejected": 0, "not_selected": 0, "rejects": {}}
    return SourceEntry.model_validate({"name": source, "use": "benchmark", "media": ("m",), **counts})


def score(sample_: Sample, made: Prediction) -> Score:
    return benchmark_of(SOURCES[sample_.dataset]).score(sample_, made)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("number", [0, 1])
def test_a_flawless_answer_earns_full_marks(source: str, number: int) -> None:
    truth = sample(source, number)
    text, tracks = flawless(truth)
    found = score(truth, prediction(truth, text, masks=tracks))
    assert found.failure is None
    assert found.values or benchmark_of(SOURCES[source]).judged, source
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


@pytest.mark.parametrize(
    ("text", "tiou"),
    [
        ("From 0.5 s to 2 s.", 1.0),
        ("It is there from 0:01 until 0:02.", 2 / 3),
        ("25% to 100%", 1.0),
        ("in frames 4 to 15", 1.0),
        ("{<TEMP-025><TEMP-099>}", 0.99),
        ("0.5 to 2", 0.0),
        ("I cannot tell.", 0.0),
    ],
)
def test_times_are_scored_in_every_readable_form(text: str, tiou: float) -> None:
    truth = sample("bench/charades", 0)  # 0.5 s to 2 s of 2 s, 16 frames
    found = score(truth, prediction(truth, text))
    assert found.values["tIoU"] == pytest.approx(tiou, abs=0.01)
    assert (found.failure is None) == (tiou > 0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("I cannot tell.", "no time in the text"),
        ("At 0:01.", "one time only"),
        ("0.5 to 2", "ambiguous: bare numbers, and no default unit given"),
        ("2 s to 1 s", "the span ends before it starts"),
        ("1 s to 3 s", "outside the video"),
        ("{<TEMP-120><TEMP-130>}", "not a time token of this model"),
    ],
)
@pytest.mark.parametrize(("source", "number"), [("bench/charades", 0), ("bench/ufvideo", 1)])
def test_reasons_for_unread_times_are_counted(source: str, number: int, text: str, reason: str) -> None:
    truth = sample(source, number)
    found = score(truth, prediction(truth, text, masks=truth.targets))
    assert found.failures["tIoU"] == f"no span read: {reason}"
    assert found.refusal == reason
    family = SOURCES[source]
    counts = summary(
        [BenchmarkConfig(source=source, family=family)],
        {source: [found, found]},
        {source: entry(source)},
        {},
        {source: "asked"},
        {source: "scored"},
    )
    assert counts[source]["no_time_read"] == {reason: 2}


def test_no_unread_time_is_counted_for_mask_questions_and_unreadable_videos() -> None:
    words = sample("bench/ufvideo", 0)  # masks only
    assert score(words, prediction(words, "It is [SEG].", masks=words.targets)).refusal == ""
    truth = sample("bench/charades", 0)
    broke = prediction(truth, "No.", failure="not readable: x.mp4", refusal="no time in the text")
    found = score(truth, broke)  # its frames broke after the model had answered
    assert (found.refusal, found.failure) == ("", "not readable: x.mp4")


def test_the_plan_sets_how_bare_numbers_and_times_outside_the_video_are_read(tmp_path: Path) -> None:
    truth = sample("bench/charades", 0)
    bare = score(truth, prediction(truth, "0.5 to 2", SpanRules(bare=Form.SECONDS)))
    assert (bare.values["tIoU"], bare.failure, bare.clamped) == (1.0, None, False)
    cut = score(truth, prediction(truth, "0.5 s to 3 s", SpanRules(outside=Outside.CLAMP)))
    assert (cut.values["tIoU"], cut.failure, cut.clamped) == (1.0, None, True)
    nowhere = score(truth, prediction(truth, "3 s to 4 s", SpanRules(outside=Outside.CLAMP)))
    assert (nowhere.refusal, nowhere.clamped) == ("outside the video", False)
    source = truth.dataset
    config = BenchmarkConfig(source=source, family="charades_sta")
    counts = summary(
        [config], {source: [bare, cut, nowhere]}, {source: entry(source)}, {}, {source: ""}, {source: ""}
    )
    assert counts[source]["clamped"] == 1
    write_scores(Location.parse(tmp_path), {source: [bare, cut, nowhere]})
    rows_ = pq.read_table(tmp_path / "scores.parquet").to_pylist()
    assert [r["clamped"] for r in rows_ if r["measure"] == "tIoU"] == [False, True, False]


def test_rules_for_times_are_refused_for_benchmarks_without_times() -> None:
    good = BenchmarkConfig.model_validate(
        {"source": "s", "family": "charades_sta", "bare_times": "seconds", "outside_times": "clamp"}
    )
    assert (good.bare_times, good.outside_times) == (Form.SECONDS, Outside.CLAMP)
    for more in ({"bare_times": "seconds"}, {"outside_times": "clamp"}):
        with pytest.raises(ValidationError, match="asks for no time"):
            BenchmarkConfig.model_validate({"source": "s", "family": "mevis", **more})
    with pytest.raises(ValidationError, match="not bare numbers"):
        BenchmarkConfig.model_validate({"source": "s", "family": "charades_sta", "bare_times": "clock"})


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


def test_scoring_a_sample_without_truth_is_a_user_error() -> None:
    truth = replace(sample("bench/mevis", 0), targets=())
    with pytest.raises(UserError, match="no truth"):
        score(truth, prediction(truth))


def test_the_standard_mean_of_masks_and_the_published_one_differ() -> None:
    """A short flawless expression and a long failed one: 1/2 by expression, 1/13 by frame with an object."""
    long = sample("bench/mevis", 0)
    short = replace(long, targets=(track(0, range(5, 6)),))
    scores = [score(long, prediction(long)), score(short, prediction(short, masks=short.targets))]
    by_expression = average(Metric(name="", measure="J&F"), scores)
    pooled = average(Metric(name="", measure="J&F shown", over=Over.WEIGHTS), scores)
    assert by_expression == pytest.approx((0.25 + 1) / 2)
    assert pooled == pytest.approx(1 / 13)


def test_means_are_over_samples_or_over_categories() -> None:
    scores = [
        Score(key=str(i), values={"a": float(i == 0)}, category="x" if i < 1 else "y") for i in range(4)
    ]
    assert average(Metric(name="", measure="a"), scores) == 0.25
    assert average(Metric(name="", measure="a", over=Over.CATEGORIES), scores) == 0.5
    assert average(Metric(name="", measure="b"), scores) is None


def test_a_failed_sample_stays_in_every_denominator() -> None:
    good, bad = Score(key="g", values={"a": 1.0}), Score(key="b", values={"a": 0.0}, failures={"a": "gone"})
    [row] = rows("bench", (Metric(name="A", measure="a"),), [good, bad, bad])
    assert (row.value, row.samples, row.failures) == (pytest.approx(1 / 3), 3, 2)


def test_a_measure_counts_only_samples_that_it_applies_to() -> None:
    four = [sample("bench/ufvideo", n) for n in range(4)]
    scores = [score(s, prediction(s, flawless(s)[0], masks=s.targets)) for s in four]
    found = rows("b", benchmark_of("ufvideo_bench").metrics, scores)
    tiou = {r.category: r.samples for r in found if r.metric == "tIoU"}
    assert tiou == {"": 2, "PixHQA": 0, "PixTRQA": 2}


def test_prompts_have_the_published_wording() -> None:
    text = {
        source: benchmark_of(family).prompt(sample(source, 0), PromptStyle.PUBLISHED)[0].text
        for source, family in SOURCES.items()
    }
    assert text["bench/mvbench"].startswith(
        "Question: What colour is it?\nOptions:\n(A) Red.\n(B) Green.\n(C) Blue.\nAnswer"
    )
    assert "What colour is [<region>]? (A) Red. (B) Green." in text["bench/refer"]
    assert text["bench/mevis"] == "Please segment the red square in this image."
    assert "When is the square moves occur in the video?" in text["bench/charades"]
    assert text["bench/ufvideo"] == sample("bench/ufvideo", 0).turns[0].text


def test_prompts_of_other_styles_have_their_own_wording() -> None:
    choice = benchmark_of("mvbench").prompt(sample("bench/mvbench", 0), PromptStyle.LLAVA_VIDEO)[0].text
    assert choice.splitlines()[:4] == ["What colour is it?", "Options:", "A. Red.", "B. Green."]
    assert choice.endswith("Please provide your answer by stating the letter followed by the full option.")
    mevis = benchmark_of("mevis").prompt(sample("bench/mevis", 0), PromptStyle.PREPARED)
    assert mevis[0].text == "Segment the square."
    with pytest.raises(ValidationError, match="does not suit"):
        BenchmarkConfig(source="s", family="mevis", style=PromptStyle.LLAVA_VIDEO)


@pytest.mark.parametrize("source", SOURCES)
def test_a_prompt_never_holds_the_answer(source: str) -> None:
    prompt = benchmark_of(SOURCES[source]).prompt
    one = replace(sample(source, 1), reference="a judge compares with this")
    other = replace(one, turns=one.turns[:1], targets=(), spans=(), answer_index=-1, reference="")
    for style in PromptStyle:
        if style is PromptStyle.PREPARED and one.choices:
            continue  # these samples' own questions do not name their options
        assert prompt(one, style) == prompt(other, style)


def test_a_prepared_choice_question_must_name_its_options() -> None:
    prompt = benchmark_of("mvbench").prompt
    bare = sample("bench/mvbench", 0)
    with pytest.raises(UserError, match="does not name the option"):
        prompt(bare, PromptStyle.PREPARED)
    text = "What?\nOptions:\n" + "\n".join(
        f"{letter}. {c}" for letter, c in zip("ABC", bare.choices, strict=True)
    )
    written = replace(bare, turns=(bare.turns[0]._replace(text=text),))
    assert prompt(written, PromptStyle.PREPARED)[0].text == text


def test_charades_is_scored_with_the_raw_truth_and_with_the_clipped_one() -> None:
    truth = sample("bench/charades", 0)  # 2 s long
    late = replace(truth, spans=(replace(truth.spans[0], start_s=1.0, end_s=3.0),))
    found = score(late, prediction(late, "From 1 s to 2 s."))
    assert found.values["tIoU"] == 0.5
    assert (found.values["R@0.5"], found.values["R@0.5 or equal"]) == (0.0, 1.0)
    assert (found.values["tIoU cut"], found.values["R@0.7 cut"]) == (1.0, 1.0)
    protocols = {m.measure: m.protocol for m in benchmark_of("charades_sta").metrics}
    assert protocols["tIoU"] == "standard"
    assert protocols["R@0.7 cut"] == "clipped"
    assert protocols["R@0.7 or equal"] == "inclusive"
