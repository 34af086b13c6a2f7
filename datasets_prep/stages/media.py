"""What probing said of every medium, as a table that workers share and look things up in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from datasets_prep.stages.job import Found
from pipeline.fingerprint import digest
from pipeline.schema.arrow import SAMPLE_SCHEMA
from pipeline.schema.sample import VideoRef

MEDIA_SCHEMA = pa.schema(
    [
        ("media_id", pa.binary(16)),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("video", SAMPLE_SCHEMA.field("video").type),
    ]
)


class MediaTable:
    """MEDIA_SCHEMA rows, found by their ids. ``table`` must be sorted by them, so that a worker need not."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        column = self.table["media_id"].combine_chunks()
        ids = np.frombuffer(column.buffers()[1] or b"", ">u8").reshape(-1, 2) if len(column) else None
        # The first half of an id finds its row but for a collision, which has room in what follows it.
        self._heads_N = np.zeros(0, np.uint64) if ids is None else ids[: len(column), 0].astype(np.uint64)
        self._ids = column

    def __len__(self) -> int:
        return len(self._heads_N)

    def find(self, ids: Sequence[bytes]) -> list[Found]:
        """What is known of each id. Raises KeyError for one that nobody probed."""
        if not ids:
            return []
        part = self.table.take(pa.array(self.rows(ids)))
        videos = part["video"].combine_chunks()
        columns = [videos.field(name).to_pylist() for name in VideoRef.__slots__]
        for at in map(VideoRef.__slots__.index, ("frames", "frame_starts_s")):
            columns[at] = [tuple(values or ()) for values in columns[at]]
        reasons, details = part["reason"].to_pylist(), part["detail"].to_pylist()
        out = []
        for values, there, reason, detail in zip(
            zip(*columns, strict=True), videos.is_valid().to_pylist(), reasons, details, strict=True
        ):
            video = VideoRef(**dict(zip(VideoRef.__slots__, values, strict=True))) if there else None
            out.append(Found(video, reason, detail))
        return out

    def rows(self, ids: Sequence[bytes]) -> np.ndarray:
        """The row of each id, int64. Raises KeyError for one that nobody probed."""
        heads = np.frombuffer(b"".join(i[:8] for i in ids), ">u8").astype(np.uint64)
        rows = np.searchsorted(self._heads_N, heads)
        for at, wanted in enumerate(ids):
            while rows[at] < len(self._ids) and self._ids[int(rows[at])].as_py() != wanted:
                rows[at] += 1
            if rows[at] == len(self._ids):
                raise KeyError(wanted.hex())
        return rows

    def digest_of(self, ids: Iterable[bytes]) -> str:
        """A digest of what is known of some media, where they lie aside."""
        named = sorted(set(ids))
        said = [
            [i.hex(), f.reason, f.video.path if f.video else "", f.video.sha256 if f.video else ""]
            for i, f in zip(named, self.find(named), strict=True)
        ]
        return digest(said)

    def with_rows(self, more: Sequence[pa.Table]) -> MediaTable:
        """This table and further rows."""
        return media_table([self.table, *more]) if more else self


def media_table(tables: Sequence[pa.Table] = ()) -> MediaTable:
    """The table of rows in any order."""
    rows = pa.concat_tables([MEDIA_SCHEMA.empty_table(), *tables])
    return MediaTable(rows.sort_by("media_id").combine_chunks())
