"""The manifest of a prepared dataset, which is written last, and the names of the dataset's files.

``docs/data-format.md`` describes the files. Samples are alone in ``data/``, and no other file is called
``*.parquet``: tools read every such file of a folder as a part of one table, and so find the samples and
nothing else. Baked frames are in ``frames/``, see ``baked``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, ValidationError, model_serializer

from pipeline.canonical import plain
from pipeline.dataset.arrow import SCHEMA_VERSION
from pipeline.dataset.baked import FRAMES, FramesEntry
from pipeline.errors import UserError
from pipeline.plan.data import BakeConfig, Use, file_stem
from pipeline.records.irregularity import Irregularity
from pipeline.storage.hashing import content_sha256
from pipeline.storage.location import Location

MANIFEST = "manifest.json"
SHARDS = "data"  # the folder of the samples, and of nothing else
REJECTS = "rejects.pq"
IRREGULARITIES = "irregularities.pq"  # what is irregular about samples
SELECTED = "selected.pq"  # the keys of sources that keep a part of their samples


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Bakeable(_Frozen):
    """Leaves unset keys for frames and links out of the JSON, so that older manifests keep their bytes."""

    @model_serializer(mode="wrap")
    def _without_unset(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = serialize(self)
        return {k: v for k, v in fields.items() if v or k not in ("frames", "bake", "links_to")}


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
    bake: BakeConfig | None = None  # which frames are stored beside the shards; None: the videos are needed

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
