"""The survey of annotations: which media they name, and samples' ranks in sources that keep a part."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from datasets_prep.passes.chunks import ReadUnit
from datasets_prep.passes.read import media_of_chunks, name_media, read_chunk
from datasets_prep.passes.select import rank
from datasets_prep.sources.json.json_file import Chunk

# One row for each distinct medium of some chunks (``record`` is -1, ``chunk`` the first of them), and for
# sources that keep a part of their samples one row for each draft, with the medium that it names.
SURVEY_SCHEMA = pa.schema(
    [
        ("chunk", pa.int32()),
        ("record", pa.int64()),
        ("part", pa.int32()),
        ("rank", pa.uint64()),
        ("media_id", pa.binary(16)),
        ("media", pa.string()),
    ]
)


def survey_chunks(chunks: Sequence[tuple[int, Chunk]], unit: ReadUnit, seed: int) -> pa.Table:
    """SURVEY_SCHEMA rows of some chunks of a file, each chunk with its number in the plan."""
    texts: dict[bytes, str] = {}
    drafts: list[tuple[int, int, int, int, bytes]] = []
    if unit.source.select.count is None:
        texts |= media_of_chunks(unit, (chunk for _, chunk in chunks), seed)
    else:
        for number, chunk in chunks:
            for read in read_chunk(unit, chunk, seed):
                if read.draft is not None:
                    named = name_media(read.draft.media, unit.source)
                    texts[named.id] = named.text
                    drafts.append((number, read.record, read.part, rank(seed, read.key), named.id))
    columns = list(zip(*drafts, strict=True)) or [(), (), (), (), ()]
    return pa.table(
        [
            pa.array([*columns[0], *[chunks[0][0]] * len(texts)], pa.int32()),
            pa.array([*columns[1], *[-1] * len(texts)], pa.int64()),
            pa.array([*columns[2], *[0] * len(texts)], pa.int32()),
            pa.array([*columns[3], *[0] * len(texts)], pa.uint64()),
            pa.array([*columns[4], *texts], pa.binary(16)),
            pa.array([*[None] * len(drafts), *texts.values()], pa.string()),
        ],
        schema=SURVEY_SCHEMA,
    )
