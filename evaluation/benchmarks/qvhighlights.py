"""QVHighlights: all windows of a video that show a sentence (https://github.com/jayleicn/moment_detr).

A third of the queries have several windows. An answer names one or several; its first one is judged alone
(R1), and all of them together by average precision. Predictions of detectors rank their windows by a
confidence; the windows in a text are ranked by their order.
"""

from __future__ import annotations

from typing import Final

from evaluation.benchmarks import prompts
from evaluation.benchmarks.base import Benchmark
from evaluation.benchmarks.baselines import CONSTANT_WINDOW
from evaluation.benchmarks.judging import part_shown
from evaluation.metrics.aggregate import Metric, Score
from evaluation.metrics.temporal import span_failure
from evaluation.metrics.windows import (
    AP,
    LENGTHS,
    R1,
    THRESHOLDS,
    average_precisions,
    first_window_iou,
    of_length,
)
from evaluation.prediction import Prediction
from pipeline.errors import UserError
from pipeline.plan.benchmarks import PromptStyle
from pipeline.records.sample import Sample, Task, Turn

FIRST_WINDOW: Final = "first window"  # the mean IoU, which later code adds to the authors' numbers


def prompt(sample: Sample, style: PromptStyle) -> tuple[Turn, ...]:
    """The sentence without its full stop. UFVideo was never asked this benchmark: the wording is ours."""
    if style is PromptStyle.PREPARED:
        return prompts.single_turn(prompts.question(sample))
    event = sample.expression.strip().removesuffix(".")
    return prompts.single_turn(
        f"Which parts of the video show this: {event}? Only give the start and end timestamp of each part, "
        "beginning with the one that shows it best."
    )


def score(sample: Sample, prediction: Prediction) -> Score:
    """One query: its first window, and average precision, of all true windows and by their length."""
    if not sample.spans:
        raise UserError(
            sample.key,
            "has no true window, so no answer can be scored.",
            "Use the validation set; the windows of the test set are only on the authors' server.",
        )
    spans = () if prediction.failure else prediction.spans
    made = [(span.start_s, span.end_s) for span in spans]
    confidences = prediction.confidences if spans else ()
    values: dict[str, float] = {}
    for length in ("", *LENGTHS):
        true = [(s.start_s, s.end_s) for s in sample.spans if of_length(s.end_s - s.start_s, length)]
        if not true:
            continue
        of = f" {length}" if length else ""
        iou, precisions = first_window_iou(true, made), average_precisions(true, made, confidences)
        values |= {f"R1@{t}{of}": float(iou >= t) for t in R1}
        values |= {f"mAP@{t}{of}": precisions[THRESHOLDS.index(t)] for t in AP}
        values[f"mAP{of}"] = sum(precisions) / len(precisions)
        values[f"tIoU{of}"] = iou
    refusal = "" if prediction.failure else prediction.refusal
    failure = prediction.failure or (f"no span read: {refusal}" if refusal else span_failure(spans))
    return Score(
        key=sample.key,
        category=sample.category,
        video=sample.video.sha256,
        values=values,
        # A first window that is empty or reversed leaves the others to be judged.
        failures={m: failure for m in values if not spans or not m.startswith("mAP")} if failure else {},
        refusal=refusal,
        clamped=bool(spans) and prediction.clamped,
        truth=_relative(sample),
    )


def _relative(sample: Sample) -> dict[str, float]:
    """True windows as parts of what was shown, and their seconds; nothing where its length is not known."""
    start_s, length_s = part_shown(sample)
    if length_s <= 0:
        return {}
    found: dict[str, float] = {}
    for n, span in enumerate(sample.spans):
        found[f"start {n}"] = (span.start_s - start_s) / length_s
        found[f"end {n}"] = (span.end_s - start_s) / length_s
        found[f"seconds {n}"] = span.end_s - span.start_s
    return found


_FIRST = "the answer's first window, with the true one that it overlaps most"
_RANKED = "the first ten windows by confidence, or in their order; an IoU that equals a threshold counts"


def _metrics(length: str) -> tuple[Metric, ...]:
    """The authors' numbers over all windows, or over queries that have windows of a length and over these."""
    of, name = (f" {length}", f", {length}") if length else ("", "")
    least, most = LENGTHS.get(length, (0, 0))
    only = f"; true windows over {least:g} and up to {most:g} s alone" if length else ""
    main = not length
    return (
        *(
            Metric(
                name=f"R1@{t}{name}",
                measure=f"R1@{t}{of}",
                main=main,
                rule=f"{_FIRST}: share of queries with an IoU of {t} or more{only}",
            )
            for t in R1
        ),
        *(
            Metric(
                name=f"mAP@{t}{name}",
                measure=f"mAP@{t}{of}",
                main=main,
                rule=f"average precision at an IoU of {t}; {_RANKED}; mean over queries{only}",
            )
            for t in AP
        ),
        Metric(
            name=f"mAP{name}",
            measure=f"mAP{of}",
            main=main,
            rule=f"average precision, mean over IoU thresholds from 0.5 to 0.95 in steps of 0.05; {_RANKED}; "
            f"mean over queries{only}",
        ),
        Metric(
            name=f"mIoU{name}",
            measure=f"tIoU{of}",
            main=False,
            protocol=FIRST_WINDOW,
            rule=f"{_FIRST}: mean IoU over queries{only}",
        ),
    )


QVHIGHLIGHTS = Benchmark(
    name="qvhighlights",
    title="QVHighlights",
    about="QVHighlights: all windows that show a sentence",
    times=True,
    several_spans=True,
    accepts=(Task.TEMPORAL,),
    baseline=CONSTANT_WINDOW,
    formats=("qvhighlights",),
    prompt=prompt,
    score=score,
    metrics=tuple(metric for length in ("", *LENGTHS) for metric in _metrics(length)),
    footnote="QVHighlights: R1@x judges the first window of an answer, mAP the first ten; an IoU that equals "
    "the threshold counts. An answer without a window has 0 in both.",
)
