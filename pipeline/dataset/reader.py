"""Reads a prepared dataset: any sample by source and row, the tables beside the samples, and the frames."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, groupby
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.dataset.arrow import SAMPLE_SCHEMA, check_schema
from pipeline.dataset.baked import FRAMES, BakedFootage, FramesEntry, FramesReader
from pipeline.dataset.key_rows import KeyRows
from pipeline.dataset.manifest import IRREGULARITIES, REJECTS, ShardEntry, has_bytes_of, read_manifest
from pipeline.dataset.open_files import OpenFiles
from pipeline.dataset.sample_rows import from_table
from pipeline.errors import UserError
from pipeline.media.footage import Footage, VideoFootage
from pipeline.media.same_video import MissingVideoError, VerifyVideos, whole_sha256
from pipeline.records.sample import Sample
from pipeline.storage.location import Location

_AT_ONCE = 512  # samples that are converted together
_SMALL_BYTES = 4 * 2**20  # a shard that is read at once where all its samples are wanted


class ShardReader:
    """Random access to the samples of a dataset by (source, row), local or on S3.

    Rows of a source count from 0 through its shards, in the order of its annotation files. Safe to share
    between threads; it pickles as its location, so each process opens its own files. Remote shards are
    fetched whole into the local cache when first touched. With ``columns`` samples have those only, and the
    others are never read. ``verify`` says how videos are compared with those that were prepared.
    """

    def __init__(
        self,
        location: Location,
        columns: Sequence[str] | None = None,
        verify: VerifyVideos = VerifyVideos.HEAD,
    ) -> None:
        self.location = location
        self._verify = verify
        self._columns = list(columns) if columns else None
        self.manifest = read_manifest(location)
        self._shards: dict[str, list[ShardEntry]] = {s.name: [] for s in self.manifest.sources}
        for shard in self.manifest.shards:
            self._shards[shard.source].append(shard)
        self._ends = {name: list(accumulate(s.rows for s in shards)) for name, shards in self._shards.items()}
        self._files = OpenFiles(location, check_schema, columns)
        self._lock = threading.RLock()
        self._frames = FramesReader(location)
        self._rows: dict[str, KeyRows] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.location, self._columns, self._verify)

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources, in the order of the plan."""
        return tuple(self._shards)

    def count(self, source: str) -> int:
        """Number of samples of a source."""
        self.manifest.source(source)
        return self._ends[source][-1] if self._ends[source] else 0

    def sample(self, source: str, row: int) -> Sample:
        """One sample. Raises IndexError for a row that is not there."""
        if not 0 <= row < self.count(source):
            raise IndexError(f"row {row} of {source}, which has {self.count(source)}")
        at = bisect_right(self._ends[source], row)
        shard = self._shards[source][at]
        inside = row - (self._ends[source][at] - shard.rows)
        with self._lock:
            found = self._files.row(shard.name, inside)
        return from_table(found)[0]

    def samples(self, source: str, rows: Sequence[int]) -> Iterator[Sample]:
        """Many samples, in the order of ``rows``: much faster than one by one. Raises as ``sample`` does."""
        count = self.count(source)
        for row in rows:
            if not 0 <= row < count:
                raise IndexError(f"row {row} of {source}, which has {count}")
        ends = self._ends[source]
        for at, run in groupby(rows, lambda row: bisect_right(ends, row)):
            shard = self._shards[source][at]
            first = ends[at] - shard.rows
            inside = [row - first for row in run]
            if shard.bytes <= _SMALL_BYTES and inside == list(range(shard.rows)):
                with self._lock:
                    table = self._files.whole(shard.name)
                yield from from_table(table)
                continue
            for start in range(0, len(inside), _AT_ONCE):
                with self._lock:
                    tables = list(self._files.rows(shard.name, inside[start : start + _AT_ONCE]))
                for table in tables:
                    yield from from_table(table)

    def keys(self, source: str) -> list[str]:
        """Keys of all samples of a source, in row order."""
        return self.columns(source, ["key"])["key"].to_pylist()

    def columns(self, source: str, names: Sequence[str]) -> pa.Table:
        """Some columns of all samples of a source, in row order; nothing else is read."""
        self.manifest.source(source)
        schema = pa.schema([SAMPLE_SCHEMA.field(name) for name in names])
        with self._lock:
            parts = [
                self._files.get(s.name).read(columns=list(names)).select(names) for s in self._shards[source]
            ]
        return pa.concat_tables([p.cast(schema) for p in parts]) if parts else schema.empty_table()

    def roots(self, source: str) -> list[Location]:
        """The media folders of a source."""
        every = (*self.manifest.links_to, *(uri for source in self.manifest.sources for uri in source.media))
        return [
            replace(Location.parse(uri, self.location.cache), links_to=every)
            for uri in self.manifest.source(source).media
        ]

    def media(self, sample: Sample) -> Location:
        """Where a sample's video, or its folder of frames, is now. Raises MissingVideoError if it is gone."""
        roots = self.roots(sample.dataset)
        places = [root.join(sample.video.path) for root in roots]
        if len(places) == 1:
            return places[0]
        for place in places:
            if place.exists():
                return place
        raise MissingVideoError(
            sample.video.path,
            f"is in none of {', '.join(r.uri for r in roots)}.",
            "Put the media back, or prepare again.",
        )

    def media_place(self, sample: Sample) -> str:
        """Where a sample's media should be, for messages: nothing is read."""
        if self.manifest.bake is not None:
            return (self.location / FRAMES).uri
        return " or ".join(f"{uri}/{sample.video.path}" for uri in self.manifest.source(sample.dataset).media)

    def baked_footage(self, sample: Sample) -> BakedFootage | None:
        """The frames that were baked for a sample; None where the dataset has none and the video is needed.

        Raises UserError for a sample of another dataset.
        """
        if self.manifest.bake is None:
            return None
        try:
            shard = self._shard_of(sample.dataset, sample.key)
        except KeyError:
            shard = None
        if shard is None or shard.frames is None:
            raise UserError(
                self.location.uri,
                f"has no baked frames of {sample.key}.",
                "Its manifest was altered, or the sample is of another dataset: prepare it again.",
            )
        return BakedFootage(self._frames, shard.frames.name, sample.video)

    def footage(self, sample: Sample) -> Footage:
        """The frames of a sample's video: those that were baked, else the video's own, fetched if remote.

        Raises MissingVideoError where the video is needed and gone, UserError where frames that should be
        baked are not there.
        """
        if (baked := self.baked_footage(sample)) is not None:
            return baked
        place, gone = self.media(sample), "is gone since the data was prepared."
        try:
            path = place.fetch_dir() if sample.video.frames else place.fetch()
        except FileNotFoundError:
            raise MissingVideoError(place.uri, gone, "Put the video back, or prepare again.") from None
        if not path.exists():
            raise MissingVideoError(place.uri, gone, "Put the video back, or prepare again.")
        return VideoFootage(path, sample.video, self._verify)

    def read_whole(self, sample: Sample) -> tuple[str, str]:
        """Read every byte that a sample's frames come from: its SHA-256 as it is now, and as it was prepared.

        The second is empty where it is not recorded. A remote file is fetched again, since a copy of it may
        be damaged. Raises as ``footage`` does, and OSError where storage does not give all bytes.
        """
        if (baked := self.baked_footage(sample)) is not None:
            recorded = self._shard_of(sample.dataset, sample.key).frames
            return self._frames.file_sha256(baked.name), recorded.sha256 if recorded else ""
        place, stills = self.media(sample), sample.video.frames
        path = place.fetch_dir() if stills else place.fetch(again=True)
        return whole_sha256(path, stills), sample.video.sha256

    def refuse_other_frames(self, num_frames: int) -> None:
        """Raise UserError where frames are baked for models that look at another number of frames."""
        bake = self.manifest.bake
        if bake is not None and bake.frames != num_frames:
            raise UserError(
                self.location.uri,
                f"holds frames for models that look at {bake.frames} of a video; this one looks at "
                f"{num_frames}, which are others.",
                f"Prepare the data with data.bake.frames: {num_frames}, or without data.bake.",
            )

    def _shard_of(self, source: str, key: str) -> ShardEntry:
        """The shard that holds a sample. Raises KeyError if none does."""
        with self._lock:
            if source not in self._rows:
                keys = self.keys(source) if source in self._shards else []
                self._rows[source] = KeyRows(keys)
            return self._shards[source][bisect_right(self._ends[source], self._rows[source][key])]

    def rejects(self) -> pa.Table:
        """The rejects table, REJECT_SCHEMA."""
        return pq.read_table((self.location / REJECTS).fetch())

    def irregularities(self) -> pa.Table:
        """What is irregular about samples, IRREGULAR_SCHEMA: one row for each sample and irregularity."""
        return pq.read_table((self.location / IRREGULARITIES).fetch())

    def verify(self) -> None:
        """Hash every file. Raises UserError for the first one whose bytes are not the manifest's."""
        for file in (file for shard in self.manifest.shards for file in shard.files):
            if not self.is_whole(file):
                place = self.location / file.name
                raise UserError(place.uri, "is missing or altered.", "Prepare the dataset again.")

    def is_whole(self, file: ShardEntry | FramesEntry) -> bool:
        """Whether a shard, or the file of its frames, has the bytes that the manifest says."""
        return has_bytes_of(file, self.location)
