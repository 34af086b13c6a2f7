"""How benchmarks ask. The one place for their wording, so that scoring and asking cannot drift apart.

Published wording: the inference scripts of UFVideo (https://github.com/Hevven/UFVideo).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from evaluation.metrics.choice import letter
from pipeline.errors import UserError
from pipeline.plan.evaluation import PromptStyle
from pipeline.records.sample import REGION, Role, Sample, Turn

_BARE_REGION = re.compile(r"(?<!\[)" + re.escape(REGION) + r"(?!\])")


def question(sample: Sample) -> str:
    """The first user turn, as the prepared sample holds it."""
    turn = next((t for t in sample.turns if t.role is Role.USER), None)
    if turn is None:
        raise ValueError(f"{sample.key}: a benchmark sample needs a question")
    return turn.text


def asked(text: str) -> tuple[Turn, ...]:
    """A prompt of one question."""
    return (Turn(role=Role.USER, text=text),)


def llava_video_options(text: str, choices: Sequence[str]) -> str:
    """Options as in LLaVA-Video-178K's multiple-choice part; the answer there is ``B. blue.``."""
    lines = [f"{letter(i)}. {choice.rstrip('. ')}." for i, choice in enumerate(choices)]
    end = "Please provide your answer by stating the letter followed by the full option."
    return "\n".join([text, "Options:", *lines, end])


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
    return asked(text)


def mvbench(sample: Sample, style: PromptStyle) -> tuple[Turn, ...]:
    """Question, options in brackets on lines of their own, and the demand for a letter."""
    if style is PromptStyle.PREPARED:
        return with_options(sample)
    if style is PromptStyle.LLAVA_VIDEO:
        return asked(llava_video_options(question(sample), sample.choices))
    options = "\n".join(f"({letter(i)}) {choice}" for i, choice in enumerate(sample.choices))
    end = "Answer with the option's letter from the given choices directly and only give the best option."
    return asked(f"Question: {question(sample)}\nOptions:\n{options}\n{end}")


def videorefer_bench_q(sample: Sample, style: PromptStyle) -> tuple[Turn, ...]:
    """Regions in brackets, options in one line."""
    if style is PromptStyle.PREPARED:
        return with_options(sample)
    if style is PromptStyle.LLAVA_VIDEO:
        return asked(llava_video_options(question(sample), sample.choices))
    options = " ".join(f"({letter(i)}) {choice}" for i, choice in enumerate(sample.choices))
    text = _BARE_REGION.sub(f"[{REGION}]", question(sample))
    return asked(f"{text} {options} Answer with the option's letter from the given choices directly.")


def mevis(sample: Sample, style: PromptStyle) -> tuple[Turn, ...]:
    """The expression in lower case. UFVideo puts the answer into the prompt too; here the model answers."""
    if style is PromptStyle.PREPARED:
        return asked(question(sample))
    return asked(f"Please segment the {sample.expression.lower()} in this image.")


def charades_sta(sample: Sample, style: PromptStyle) -> tuple[Turn, ...]:
    """The sentence in lower case without its full stop, in the published (ungrammatical) question."""
    if style is PromptStyle.PREPARED:
        return asked(question(sample))
    event = sample.expression.lower().strip().removesuffix(".")
    return asked(f"When is {event} occur in the video? Only give the start and end timestamp.")


def as_prepared(sample: Sample, style: PromptStyle) -> tuple[Turn, ...]:
    """The question as the benchmark's own record holds it."""
    return asked(question(sample))
