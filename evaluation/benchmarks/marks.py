"""What the benchmarks with free text share: which text a judge marks, and the means of its marks.

An answer without text is not shown to the judge. It is a failure, and if others are judged it gets
the score of a useless answer, 0 in every dimension.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from evaluation.benchmarks.judging import Judgement
from evaluation.judge.rubric import DIMENSIONS, JudgeTexts
from evaluation.metrics.aggregate import JUDGED, Metric, Unit
from evaluation.prediction import Prediction
from pipeline.records.sample import SEG
from pipeline.thoughts import answer_part

AVERAGE, WITHOUT_TIME = "SAvg", "SAvg without T"
MEASURES: Final = (*(d.short for d in DIMENSIONS), AVERAGE, WITHOUT_TIME)
TEMPORAL: Final = "TD"
_SPACES = re.compile(r"\s+")


def answer_text(text: str) -> str:
    """A text in one line, without thoughts and mask tokens."""
    found = answer_part(text)
    return _SPACES.sub(" ", text[found.start : found.stop].replace(SEG, " ")).strip()


def judge_texts(prediction: Prediction, question: str, reference: str, answer: str) -> JudgeTexts | None:
    """The texts that a judge marks; None for an answer without text."""
    if prediction.failure or not answer:
        return None
    return JudgeTexts(question=question, reference=reference, answer=answer)


def without_text(prediction: Prediction, answer: str) -> Judgement:
    """Why an answer is not shown to the judge; nothing for one with text."""
    failure = prediction.failure or ("" if answer else "no text in the answer")
    failures = dict.fromkeys(MEASURES, failure) if failure else {}
    return Judgement(values={}, weights={}, failures=failures)


def measures(marks: Mapping[str, float]) -> dict[str, float]:
    """Every measure of one answer, 0 to 5, from its marks by dimension."""
    three = [mark for name, mark in marks.items() if name != TEMPORAL]
    return {
        **{name: float(mark) for name, mark in marks.items()},
        AVERAGE: sum(marks.values()) / len(marks),
        WITHOUT_TIME: sum(three) / len(three),
    }


def mark_metrics(average: str, what: str, *, dimensions: bool) -> tuple[Metric, ...]:
    """The means of a judge's marks over ``what``; ``dimensions``: the four are headlines too.

    Every judged answer has all four marks, so the mean of the answers' averages is the average of the
    dimensions' means, which is what was published.
    """
    each = tuple(
        Metric(
            name=d.short,
            measure=d.short,
            main=dimensions,
            protocol=JUDGED,
            unit=Unit.MARK,
            rule=f"{d.title}, 0 to 5; mean over {what}",
        )
        for d in DIMENSIONS
    )
    means = tuple(
        Metric(
            name=name,
            measure=measure,
            main=main,
            protocol=JUDGED,
            unit=Unit.MARK,
            rule=f"average of the {number} marks, 0 to 5; mean over {what}",
        )
        for name, measure, number, main in (
            (average, AVERAGE, "four", True),
            (f"{average} without T", WITHOUT_TIME, "three without Temporal Description", not dimensions),
        )
    )
    return (*each, *means) if dimensions else (*means, *each)
