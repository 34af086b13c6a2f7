"""Plain dialogues by column: a fast path for the rows of which the large lists consist.

A dialogue has no time or mask to resolve, so it needs neither draft nor sample, only a valid video. Records
that may be anything else take the ordinary path, and both paths give the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from datasets_prep.draft import Media
from datasets_prep.sources import Record, reader_of
from datasets_prep.sources.bases.reader import Dialogue, ReadsDialogues
from pipeline.dataset.arrow import dialogue_table, to_table
from pipeline.plan.data import ALL_VIDEOS, SourceConfig
from pipeline.records.sample import Sample

Numbered = tuple[int, Record]


@dataclass(kw_only=True)
class DialogueColumns:
    """Dialogues of some records, with their numbers in the file, their keys and videos."""

    numbers: list[int] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    dialogues: list[Dialogue] = field(default_factory=list)
    videos: list[int] = field(default_factory=list)  # rows of the table of media
    not_selected: int = 0  # number of further dialogues that the plan does not select


def has_dialogues(source: SourceConfig) -> bool:
    """Whether plain dialogues can be told apart; ``keep_types`` and ``select.videos`` need the drafts."""
    chosen = source.keep_types or source.select.videos != ALL_VIDEOS
    return isinstance(reader_of(source.format), ReadsDialogues) and not chosen


def part(
    records: Iterable[Numbered],
    source: SourceConfig,
    selected: Callable[[str], bool],
    videos: Callable[[Iterable[Media]], Sequence[int | None]],
) -> tuple[DialogueColumns, list[Numbered]]:
    """The dialogues among some records, and the others.

    ``selected`` says of a key whether the sample is selected. ``videos`` gives for each medium the row of its
    video, None if no sample of it can be kept.
    """
    reader = reader_of(source.format)
    assert isinstance(reader, ReadsDialogues), "only a reader that has_dialogues names is asked"
    columns = DialogueColumns()
    looked: list[tuple[int, Record, Dialogue | None]] = []
    for number, record in records:
        dialogue = None if record.left_out else reader.dialogue(record, source)
        if dialogue is not None and not selected(record.key):
            columns.not_selected += 1
        else:
            looked.append((number, record, dialogue))
    found = iter(videos(dialogue.media for _, _, dialogue in looked if dialogue is not None))
    others: list[Numbered] = []
    for number, record, dialogue in looked:
        video = None if dialogue is None else next(found)
        if dialogue is None or video is None:
            others.append((number, record))
            continue
        columns.numbers.append(number)
        columns.keys.append(record.key)
        columns.dialogues.append(dialogue)
        columns.videos.append(video)
    return columns, others


def rows(
    dataset: str,
    columns: DialogueColumns,
    column: Callable[[Sequence[int]], pa.StructArray],
    samples: Sequence[Sample],
    numbers: Sequence[int],
) -> pa.Table:
    """The dialogues and the samples of the other records, by their numbers, in file order.

    ``column`` makes the column of the dialogues' videos.
    """
    if not columns.keys:
        return to_table(samples)
    table = dialogue_table(
        dataset,
        keys=columns.keys,
        videos=column(columns.videos),
        texts=[dialogue.texts for dialogue in columns.dialogues],
        categories=[dialogue.category for dialogue in columns.dialogues],
        choices=[dialogue.choices for dialogue in columns.dialogues],
        answer_indices=[dialogue.answer_index for dialogue in columns.dialogues],
    )
    if not samples:
        return table
    order = np.argsort([*columns.numbers, *numbers], kind="stable")
    return pa.concat_tables([table, to_table(samples)]).take(pa.array(order))
