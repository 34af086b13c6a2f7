"""Writes and reads a prepared dataset: Parquet shards, a rejects table, and a manifest that is written last.

``docs/data-format.md`` describes the files. Samples lie alone in ``data/``, and no other file is called
``*.parquet``: tools read every such file of a folder as a part of one table, and so find the samples and
nothing else. Baked frames lie in ``frames/``, see ``baked``.
"""

from __future__ import annotations

import hashlib
import io
import json
import threading
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, ValidationError, model_serializer

from pipeline.canonical import plain
from pipeline.dataset.arrow import SAMPLE_SCHEMA, SCHEMA_VERSION, check_schema, from_row, value_bytes
from pipeline.dataset.baked import FRAMES, BakedFootage, FramesEntry, FramesReader
from pipeline.dataset.key_rows import KeyRows
from pipeline.dataset.open_files import OpenFiles, Recent
from pipeline.errors import UserError
from pipeline.media.footage import Footage, VideoFootage
from pipeline.media.same_video import VerifyVideos
from pipeline.plan.data import BakeConfig, Use, file_stem
from pipeline.records.irregularity import Irregularity
from pipeline.records.sample import Sample
from pipeline.storage.hashing import content_sha256
from pipeline.storage.location import Location

MANIFEST = "manifest.json"
SHARDS = "data"  # the folder of the samples, and of nothing else
REJECTS = "rejects.pq"
IRREGULARITIES = "irregularities.pq"  # what is irregular about samples
SELECTED = "selected.pq"  # the keys of sources that keep a part of their samples
# Reading one sample means reading its row group, so it holds few rows with masks and many of plain text.
_GROUP_BYTES = 512 << 10
_GROUP_ROWS = (16, 512)  # at least, at most
_CACHED_GROUPS = 64

IRREGULAR_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("source", "key", "irregularity", "detail", "file")]
)
SELECTED_SCHEMA = pa.schema([("source", pa.string()), ("key", pa.string()), ("rank", pa.uint64())])
REJECT_SCHEMA = pa.schema([(name, pa.string()) for name in ("source", "key", "reason", "detail", "file")])


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Bakeable(_Frozen):
    """Leaves unset keys for frames and links out of the JSON, so that older manifests keep their bytes."""

    @model_serializer(mode="wrap")
    def _without_unset(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        said = serialize(self)
        return {k: v for k, v in said.items() if v or k not in ("frames", "bake", "links_to")}


class ShardEntry(_Bakeable):
    """One Parquet file of samples, and that of their frames, where these are baked."""

    name: str
    source: str
    rows: int
    bytes: int
    sha256: str
    frames: FramesEntry | None = None

    @property
    def files(self) -> tuple[ShardEntry | FramesEntry, ...]:
        """Each file with its bytes and digest."""
        return (self,) if self.frames is None else (self, self.frames)


class SourceEntry(_Frozen):
    """What became of a source: ``read`` = ``kept`` + ``rejected`` + ``not_selected``, always."""

    name: str
    use: Use
    read: int
    kept: int
    planned: int | None = None  # samples that the plan asks for by ``select.count``; None: all that are valid
    rejected: int
    not_selected: int  # valid, but left out by ``select`` or ``keep_types`` of the plan
    irregularities: dict[str, int] = {}  # kept samples by what is irregular about them, see ``Irregularity``
    rejects: dict[str, int]  # by reason
    identity: str = ""  # digest of settings, annotations and media: equal ones mean equal shards
    media: tuple[str, ...]  # media roots in the order in which they are tried; a place, so not in the digest

    @property
    def clamped(self) -> int:
        """Kept samples with a time that was clamped to its video, as the plan allows."""
        return self.irregularities.get(Irregularity.SPAN_CLAMPED, 0)


class Manifest(_Bakeable):
    """What a dataset consists of. If the file exists, the dataset is complete."""

    schema_version: int
    digest: str
    rows_per_shard: int
    sources: tuple[SourceEntry, ...]
    shards: tuple[ShardEntry, ...]
    links_to: tuple[str, ...] = ()  # further folders into which links may lead; places, so not in the digest
    bake: BakeConfig | None = None  # which frames lie beside the shards; None: the videos are needed

    def source(self, name: str) -> SourceEntry:
        """The entry of one source. Raises UserError for another name."""
        for entry in self.sources:
            if entry.name == name:
                return entry
        raise UserError(
            name, "is not a source of this dataset.", f"It has {', '.join(s.name for s in self.sources)}."
        )


def make_manifest(
    shards: Sequence[ShardEntry],
    sources: Sequence[SourceEntry],
    rows_per_shard: int,
    bake: BakeConfig | None = None,
) -> Manifest:
    """The manifest with the dataset's digest, which covers schema version, shards and counts, but no places.

    With baked frames it also covers their files and settings.
    """
    counts = [s.model_dump(mode="json", exclude={"media", "identity", "planned"}) for s in sources]
    identity = [SCHEMA_VERSION, [[f.name, f.sha256] for s in shards for f in s.files], counts]
    if bake is not None:
        identity.append(plain(bake))
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return Manifest(
        schema_version=SCHEMA_VERSION,
        digest=digest,
        rows_per_shard=rows_per_shard,
        sources=tuple(sources),
        shards=tuple(shards),
        bake=bake,
    )


def has_bytes_of(file: ShardEntry | FramesEntry, folder: Location) -> bool:
    """Whether a file of a dataset exists and has the SHA-256 of its entry."""
    place = folder / file.name
    return place.exists() and content_sha256(place) == file.sha256


def shard_name(source: str, number: int) -> str:
    """``a/b``, 3 -> ``data/a__b-00003.parquet``."""
    return f"{SHARDS}/{file_stem(source)}-{number:05d}.parquet"


def write_shard(out: Location, source: str, number: int, table: pa.Table) -> ShardEntry:
    """Write rows of SAMPLE_SCHEMA as one shard in one atomic act. The same rows give the same bytes."""
    assert table.schema.equals(SAMPLE_SCHEMA), "a shard holds rows of the sample schema"
    name = shard_name(source, number)
    content = parquet_bytes(table.replace_schema_metadata(SAMPLE_SCHEMA.metadata))
    (out / name).write_bytes(content)
    return ShardEntry(
        name=name,
        source=source,
        rows=table.num_rows,
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def parquet_bytes(table: pa.Table) -> bytes:
    """Parquet of a table, with every setting that could vary fixed."""
    # The chunks of a table shape the pages of the file, so they must not depend on how it was made.
    table = table.combine_chunks()
    buffer = io.BytesIO()
    pq.write_table(
        table,
        buffer,
        row_group_size=_rows_per_group(table),
        compression="zstd",
        compression_level=3,
        version="2.6",
        data_page_version="1.0",
        use_dictionary=["dataset", "task", "category"] if "dataset" in table.column_names else False,
    )
    return buffer.getvalue()


def _rows_per_group(table: pa.Table) -> int:
    """A multiple of 16 that depends only on the size of the rows' values: equal rows, equal groups."""
    fit = _GROUP_BYTES * table.num_rows // max(sum(map(value_bytes, table.columns)), 1)
    return min(max(fit // 16 * 16, _GROUP_ROWS[0]), _GROUP_ROWS[1])


def write_manifest(out: Location, manifest: Manifest) -> None:
    """Make the dataset present: remove files of an earlier attempt that are not in it, then write it."""
    keep = {(out / file.name).uri for shard in manifest.shards for file in shard.files}
    for folder in (SHARDS, FRAMES):
        for place in (out / folder).list(recursive=True):
            if place.uri not in keep:
                place.delete()
    (out / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n")


def read_manifest(location: Location) -> Manifest:
    """Open a dataset. Raises UserError when there is none, or it is of another schema version."""
    place = location / MANIFEST
    try:
        data = json.loads(place.read_bytes())
        version = data["schema_version"]
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            place.uri, "does not exist.", "Prepare the dataset first: `ufvideo run PLAN`."
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(place.uri, f"is not a manifest ({error}).", "Prepare the dataset again.") from None
    if version != SCHEMA_VERSION:
        raise UserError(
            place.uri,
            f"is of schema version {version}, this code reads version {SCHEMA_VERSION}.",
            "Prepare the dataset again with this version: `ufvideo run PLAN` makes it under a new name.",
        )
    try:
        return Manifest.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(
            place.uri, f"has a bad field {where}: {first['msg']}.", "Prepare the dataset again."
        ) from None


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
        self._files = OpenFiles(location, check_schema)
        self._groups: Recent[tuple[str, int], pa.Table] = Recent(_CACHED_GROUPS)
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
        # All row groups of a shard but the last have one size.
        group, at = divmod(inside, self._group_rows(shard.name))
        return from_row(self._group(shard.name, group).slice(at, 1).to_pylist()[0])

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

    def media(self, sample: Sample) -> Location:
        """Where a sample's video, or its folder of frames, lies now. Raises UserError if it is gone."""
        every = (*self.manifest.links_to, *(uri for source in self.manifest.sources for uri in source.media))
        roots = [
            replace(Location.parse(uri, self.location.cache), links_to=every)
            for uri in self.manifest.source(sample.dataset).media
        ]
        places = [root.join(sample.video.path) for root in roots]
        if len(places) == 1:
            return places[0]
        for place in places:
            if place.exists():
                return place
        raise UserError(
            sample.video.path,
            f"lies in none of {', '.join(r.uri for r in roots)}.",
            "Put the media back, or prepare again.",
        )

    def baked(self, sample: Sample) -> BakedFootage | None:
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

        Raises UserError where the video is needed and gone, or frames that should be baked are not there.
        """
        if (baked := self.baked(sample)) is not None:
            return baked
        place, gone = self.media(sample), "is gone since the data was prepared."
        try:
            path = place.fetch_dir() if sample.video.frames else place.fetch()
        except FileNotFoundError:
            raise UserError(place.uri, gone, "Put the video back, or prepare again.") from None
        if not path.exists():
            raise UserError(place.uri, gone, "Put the video back, or prepare again.")
        return VideoFootage(path, sample.video, self._verify)

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

    def _group_rows(self, name: str) -> int:
        with self._lock:
            return self._files.get(name).metadata.row_group(0).num_rows

    def _group(self, name: str, number: int) -> pa.Table:
        def read() -> pa.Table:
            return self._files.get(name).read_row_group(number, columns=self._columns)

        with self._lock:
            return self._groups.get((name, number), read)
