"""The results of probing every medium, in a table that workers share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.canonical import digest
from pipeline.dataset.arrow import SAMPLE_SCHEMA
from pipeline.records.irregularity import Irregular, Irregularity
from pipeline.records.sample import VideoRef

MEDIA_SCHEMA = pa.schema(
    [
        ("media_id", pa.binary(16)),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("video", SAMPLE_SCHEMA.field("video").type),
        # Irregularities of the medium, which concern every sample that names it; mostly none.
        ("irregular", pa.list_(pa.struct([("irregularity", pa.string()), ("detail", pa.string())]))),
    ]
)


_MOST_KNOWN = 1 << 16


class ProbedMedia(NamedTuple):
    """The result of probing a medium: a video, or why there is none. ``row`` is its row in the table."""

    video: VideoRef | None
    reason: str
    detail: str
    row: int
    irregular: tuple[Irregular, ...] = ()


class MediaTable:
    """MEDIA_SCHEMA rows by their ids. ``table`` must be sorted by id, so that no worker has to sort it."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self._videos = self.table["video"].combine_chunks()
        ids = b"".join(self.table["media_id"].combine_chunks().to_pylist())
        self._ids_N2 = np.frombuffer(ids, ">u8").reshape(-1, 2).astype(np.uint64)
        irregular = self.table["irregular"].combine_chunks()
        rows = pc.indices_nonzero(pc.fill_null(pc.list_value_length(irregular), 0)).to_pylist()
        self.irregular = {
            row: tuple(Irregular(Irregularity(i["irregularity"]), i["detail"]) for i in there)
            for row, there in zip(rows, irregular.take(pa.array(rows, pa.int64())).to_pylist(), strict=True)
        }
        """Irregularities by row, for media that have any."""
        self._known: dict[int, ProbedMedia] = {}  # by row, so that all samples of a video share one object

    def __len__(self) -> int:
        return len(self._ids_N2)

    def find(self, ids: Sequence[bytes]) -> list[ProbedMedia]:
        """The result for each id. Raises KeyError for one that was not probed."""
        rows = self.rows(ids).tolist()
        new = sorted({row for row in rows if row not in self._known})
        if len(self._known) + len(new) > _MOST_KNOWN:
            self._known, new = {}, sorted(set(rows))
        self._known.update(zip(new, self._read(new), strict=True))
        return [self._known[row] for row in rows]

    def videos(self, rows: Sequence[int]) -> pa.StructArray:
        """The videos of some rows, which must have one, as a column of SAMPLE_SCHEMA."""
        return self._videos.take(pa.array(rows, pa.int64()))

    def _read(self, rows: Sequence[int]) -> list[ProbedMedia]:
        if not rows:
            return []
        part = self.table.take(pa.array(rows))
        videos = self.videos(rows)
        columns = [videos.field(name).to_pylist() for name in VideoRef.__slots__]
        for at in map(VideoRef.__slots__.index, ("frames", "frame_starts_s")):
            columns[at] = [tuple(values or ()) for values in columns[at]]
        reasons, details = part["reason"].to_pylist(), part["detail"].to_pylist()
        out = []
        for row, values, there, reason, detail in zip(
            rows, zip(*columns, strict=True), videos.is_valid().to_pylist(), reasons, details, strict=True
        ):
            video = VideoRef(**dict(zip(VideoRef.__slots__, values, strict=True))) if there else None
            out.append(ProbedMedia(video, reason, detail, row, self.irregular.get(row, ())))
        return out

    def rows(self, ids: Sequence[bytes]) -> np.ndarray:
        """The row of each id, int64. Raises KeyError for one that was not probed."""
        ids_M2 = np.frombuffer(b"".join(ids), ">u8").reshape(-1, 2).astype(np.uint64)
        # The first half of an id finds its row; ids that share it follow each other.
        rows_M = np.searchsorted(self._ids_N2[:, 0], ids_M2[:, 0])
        left_L = np.arange(len(ids))
        while len(left_L):
            beyond_L = rows_M[left_L] >= len(self)
            if beyond_L.any():
                raise KeyError(ids[int(left_L[beyond_L][0])].hex())
            left_L = left_L[(self._ids_N2[rows_M[left_L]] != ids_M2[left_L]).any(1)]
            rows_M[left_L] += 1
        return rows_M

    def digest_of(self, ids: Iterable[bytes]) -> str:
        """A digest of the results for some media, independent of where they are."""
        named = sorted(set(ids))
        results: list[list[Any]] = []
        for name, found in zip(named, self.find(named), strict=True):
            video = [found.video.path, found.video.sha256] if found.video else ["", ""]
            results.append([name.hex(), found.reason, *video, found.irregular])
        return digest(results)

    def with_rows(self, more: Sequence[pa.Table]) -> MediaTable:
        """This table and further rows."""
        return media_table([self.table, *more]) if more else self


def media_table(tables: Sequence[pa.Table] = ()) -> MediaTable:
    """The table of rows in any order."""
    rows = pa.concat_tables([MEDIA_SCHEMA.empty_table(), *tables])
    return MediaTable(rows.sort_by("media_id").combine_chunks())
