"""Reuse of sources: where an earlier dataset has the same shards of a source, they are copied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.artifacts.inputs import external_inputs
from pipeline.artifacts.record import Artifact
from pipeline.artifacts.steps import REVISION, Kind, StepSpec
from pipeline.canonical import digest
from pipeline.dataset.manifest import MANIFEST, ShardEntry, SourceEntry
from pipeline.dataset.reader import ShardReader
from pipeline.errors import StorageError, UserError
from pipeline.plan.data import PrepConfig, SourceConfig
from pipeline.plan.identity import SHARDS, identity, input_fields
from pipeline.plan.plan import Plan
from pipeline.records.version import SCHEMA_VERSION
from pipeline.storage.location import Location


@dataclass(frozen=True, kw_only=True)
class ReusedSource:
    """A source of an earlier dataset."""

    entry: SourceEntry
    shards: tuple[ShardEntry, ...]
    rejects: pa.Table
    irregularities: pa.Table


def annotation_digests(plan: Plan, spec: StepSpec, inputs: Mapping[str, Artifact]) -> dict[str, str]:
    """A digest of each source's annotations: of its files, or of the demo corpora that contain them."""
    outside = external_inputs(plan, spec)
    corpora = inputs["corpora"].record.digest if "corpora" in inputs else ""
    found = {}
    for source in plan.data.sources:
        keys = [f"data.sources[{source.name}].{key}" for key in input_fields(SourceConfig)]
        found[source.name] = digest([corpora, *(outside[k].digest if k in outside else "" for k in keys)])
    return found


def source_identity(source: SourceConfig, config: PrepConfig, seed: int, annotations: str, media: str) -> str:
    """A digest of what decides the bytes of a source's shards: the content of its media, not their place.

    ``annotations`` and ``media`` are digests of the annotation files and of the results of probing.
    """
    settings = [identity(source, SHARDS), identity(config, SHARDS), seed]
    return digest([settings, REVISION[Kind.PREPARE], SCHEMA_VERSION, annotations, media])


def reuse_sources(out: Location, identities: Mapping[str, str]) -> dict[str, ReusedSource]:
    """Copy into ``out`` the shards of sources that a dataset beside it has with the same identity.

    A source with a shard whose bytes differ from its manifest is not reused.
    """
    found: dict[str, ReusedSource] = {}
    for reader in _datasets(out):
        for entry in reader.manifest.sources:
            if entry.name in found or not entry.identity or identities.get(entry.name) != entry.identity:
                continue
            shards = tuple(s for s in reader.manifest.shards if s.source == entry.name)
            files = [file for shard in shards for file in shard.files]
            if not all(reader.is_whole(file) for file in files):
                continue
            for file in files:
                (reader.location / file.name).copy_to(out / file.name)
            rejects = reader.rejects()
            own = rejects.filter(pc.equal(rejects["source"], entry.name))
            irregular = reader.irregularities()
            irregular = irregular.filter(pc.equal(irregular["source"], entry.name))
            found[entry.name] = ReusedSource(
                entry=entry, shards=shards, rejects=own, irregularities=irregular
            )
    return found


def _datasets(out: Location) -> Iterator[ShardReader]:
    beside: Sequence[Location] = Location.parse(out.uri.rpartition("/")[0], out.cache).list()
    for place in beside:
        if place.uri == out.uri or not (place / MANIFEST).exists():
            continue
        try:
            yield ShardReader(place)
        except StorageError:
            raise
        except UserError:  # of another schema version
            continue
