"""Makes the question and the answer of a segmentation sample from an expression that names objects."""

from __future__ import annotations

import re

from datasets_prep.draft import Draft, DraftTrack, DraftTurn, Media
from datasets_prep.sources.bases.reader import Record
from pipeline.draw import draw
from pipeline.plan.data import SourceConfig
from pipeline.records.sample import SEG, Role, Task

QUESTIONS = ("Can you segment the {expression} in this video?",)
ANSWERS = (f"Sure, {SEG}.",)
_BLANK = re.compile(r"\{(\w+)\}")


def pick(templates: tuple[str, ...], seed: int, key: str, purpose: str) -> str:
    """One of the templates, drawn from (seed, key)."""
    return templates[draw(purpose, seed, key) % len(templates)]


def fill(template: str, **values: str) -> str:
    """A template with each ``{name}`` replaced by its value; braces in values are left alone."""
    return _BLANK.sub(lambda found: values.get(found[1], found[0]), template)


def segment(
    record: Record,
    source: SourceConfig,
    seed: int,
    *,
    expression: str,
    media: Media,
    target: DraftTrack | None,
    questions: tuple[str, ...] = QUESTIONS,
    frame_size: tuple[int, int] | None = None,
    category: str = "",
    kind: str = "",
    masks_end: int | None = None,
    void: DraftTrack | None = None,
) -> Draft:
    """The draft of one expression. ``target`` is None where the ground truth is hidden: no answer then.

    Question and answer are drawn from the plan's templates, else from ``questions`` and ANSWERS, by (seed,
    key). ``kind`` is the type for ``keep_types``.
    """
    question = pick(source.question_templates or questions, seed, record.key, "question")
    answer = pick(source.answer_templates or ANSWERS, seed, record.key, "answer")
    turns = [DraftTurn(role=Role.USER, text=question.replace("{expression}", expression))]
    if target is not None:
        turns.append(DraftTurn(role=Role.ASSISTANT, text=answer.replace("{expression}", expression)))
    return Draft(
        key=record.key,
        task=Task.SEGMENT,
        media=media,
        turns=tuple(turns),
        targets=() if target is None else (target,),
        void=void,
        frame_size=frame_size,
        expression=expression,
        category=category,
        type=kind,
        masks_end=masks_end,
    )
