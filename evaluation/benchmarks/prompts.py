"""Code shared by the prompts of several benchmarks; the wording of each is in its own module.

Published wording: the inference scripts of UFVideo (https://github.com/Hevven/UFVideo).
"""

from __future__ import annotations

from pipeline.errors import UserError
from pipeline.plan.benchmarks import PromptStyle
from pipeline.records.sample import Role, Sample, Turn


def question(sample: Sample) -> str:
    """The first user turn, as the prepared sample holds it."""
    turn = next((t for t in sample.turns if t.role is Role.USER), None)
    if turn is None:
        raise ValueError(f"{sample.key}: a benchmark sample needs a question")
    return turn.text


def single_turn(text: str) -> tuple[Turn, ...]:
    """A prompt of one question."""
    return (Turn(role=Role.USER, text=text),)


def with_options(sample: Sample) -> tuple[Turn, ...]:
    """The prepared question of a sample whose source writes the options into it."""
    text = question(sample)
    missing = [choice for choice in sample.choices if choice.rstrip(". ") not in text]
    if missing:
        raise UserError(
            f"{sample.dataset}, sample {sample.key}",
            f"style prepared asks the question as it was prepared, but that does not name the option "
            f"{missing[0]!r}.",
            "Choose style published or llava_video.",
        )
    return single_turn(text)


def as_prepared(sample: Sample, style: PromptStyle) -> tuple[Turn, ...]:
    """The question as the benchmark's own record holds it."""
    return single_turn(question(sample))
