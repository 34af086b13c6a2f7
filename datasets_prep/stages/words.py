"""Dialogues in words, by column: the short way for what the large lists consist of.

A dialogue has no time, mask or option to resolve, so it needs neither draft nor sample, only a valid video.
What is not surely one goes the ordinary way, and both ways give the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from datasets_prep.draft import Media
from datasets_prep.sources import READERS, Record
from datasets_prep.sources.reader import Dialogue, ReadsDialogues
from pipeline.config.data import SourceConfig
from pipeline.schema.arrow import to_table, words_table
from pipeline.schema.sample import Sample, VideoRef

Numbered = tuple[int, Record]


class Words(NamedTuple):
    """Dialogues of some records, with their numbers in the file, their keys and videos."""

    numbers: list[int]
    keys: list[str]
    dialogues: list[Dialogue]
    videos: list[VideoRef]


def part(
    records: Iterable[Numbered],
    source: SourceConfig,
    videos: Callable[[Iterable[Media]], Sequence[VideoRef | None]],
) -> tuple[Words, list[Numbered]]:
    """The dialogues among some records, and the others.

    ``videos`` gives of each medium the video, None if no sample of it can be kept.
    """
    reader = READERS[source.format]
    words = Words([], [], [], [])
    if not isinstance(reader, ReadsDialogues) or source.keep_types:
        return words, list(records)
    looked = [(*item, None if item[1].left_out else reader.dialogue(item[1], source)) for item in records]
    found = iter(videos(dialogue.media for _, _, dialogue in looked if dialogue is not None))
    others: list[Numbered] = []
    for number, record, dialogue in looked:
        video = None if dialogue is None else next(found)
        if dialogue is None or video is None:
            others.append((number, record))
            continue
        words.numbers.append(number)
        words.keys.append(record.key)
        words.dialogues.append(dialogue)
        words.videos.append(video)
    return words, others


def rows(
    dataset: str, words: Words, chosen: Sequence[bool], samples: Sequence[Sample], numbers: Sequence[int]
) -> pa.Table:
    """The chosen dialogues and the samples of the other records, by their numbers, in file order."""
    at = [i for i, yes in enumerate(chosen) if yes]
    if not at:
        return to_table(samples)
    table = words_table(
        dataset,
        keys=[words.keys[i] for i in at],
        videos=[words.videos[i] for i in at],
        texts=[words.dialogues[i].texts for i in at],
        categories=[words.dialogues[i].category for i in at],
    )
    if not samples:
        return table
    order = np.argsort([*(words.numbers[i] for i in at), *numbers], kind="stable")
    return pa.concat_tables([table, to_table(samples)]).take(pa.array(order))
