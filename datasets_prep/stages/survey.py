"""The first look at the annotations: which media they name, and the lots of sources that keep a part."""

from __future__ import annotations

import pyarrow as pa

from datasets_prep.draft import Media
from datasets_prep.sources.json_file import Chunk
from datasets_prep.stages.read import media_of_chunk, name_media, read_chunk
from datasets_prep.stages.select import lot
from datasets_prep.stages.units import ReadUnit

# One row for each distinct medium of a chunk (``record`` is -1), and for sources that keep a part of their
# samples one row for each draft, with the medium that it names.
SURVEY_SCHEMA = pa.schema(
    [
        ("chunk", pa.int32()),
        ("record", pa.int64()),
        ("part", pa.int32()),
        ("lot", pa.uint64()),
        ("media_id", pa.binary(16)),
        ("media", pa.string()),
    ]
)


def survey_chunk(number: int, unit: ReadUnit, chunk: Chunk, seed: int) -> pa.Table:
    """SURVEY_SCHEMA rows of the chunk that the plan numbers ``number``."""
    texts: dict[bytes, str] = {}

    def name(media: Media) -> bytes:
        named = name_media(media, unit.source)
        texts[named.id] = named.text
        return named.id

    drafts: list[tuple[int, int, int, bytes]] = []
    if unit.source.select.count is None:
        for media in media_of_chunk(unit, chunk, seed):
            name(media)
    else:
        for read in read_chunk(unit, chunk, seed):
            if read.draft is not None:
                drafts.append((read.record, read.part, lot(seed, read.key), name(read.draft.media)))
    columns = list(zip(*drafts, strict=True)) or [(), (), (), ()]
    count = len(drafts) + len(texts)
    return pa.table(
        [
            pa.array([number] * count, pa.int32()),
            pa.array([*columns[0], *[-1] * len(texts)], pa.int64()),
            pa.array([*columns[1], *[0] * len(texts)], pa.int32()),
            pa.array([*columns[2], *[0] * len(texts)], pa.uint64()),
            pa.array([*columns[3], *texts], pa.binary(16)),
            pa.array([*[None] * len(drafts), *texts.values()], pa.string()),
        ],
        schema=SURVEY_SCHEMA,
    )
