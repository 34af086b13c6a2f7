"""Whether an artifact still matches its record: its files are hashed again and compared."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pipeline import progress
from pipeline.artifacts.checkpoint import MODEL
from pipeline.artifacts.record import RECORD_NAME, Artifact, load_artifact
from pipeline.artifacts.steps import Kind
from pipeline.errors import StorageError, UserError
from pipeline.storage.hashing import content_sha256
from pipeline.storage.location import Location

_BLOCK = 1 << 22


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The result of hashing again. ``damage`` names what differs from the record; empty: nothing."""

    artifact: Artifact
    files: int
    damage: tuple[str, ...]


def open_artifact(place: Location) -> Artifact:
    """The finished artifact in a folder. Raises UserError if there is none."""
    artifact = load_artifact(place)
    if artifact is None:
        raise UserError(
            place.uri,
            f"holds no finished artifact (no {RECORD_NAME}).",
            "Give an artifact's folder: `ufvideo status PLAN` lists them.",
        )
    return artifact


def verify(place: Location) -> Verdict:
    """Hash an artifact again. Raises UserError for a kind whose digest does not cover its files."""
    artifact = open_artifact(place)
    match artifact.record.kind:
        case Kind.PREPARE:
            return _dataset(artifact)
        case Kind.CORPORA:
            files = [f for f in place.list(recursive=True) if f.name != RECORD_NAME]
            return _whole(artifact, len(files), files_digest(place, files))
        case Kind.INIT | Kind.STAGE:
            weights = (place / MODEL).list(".safetensors")
            return _whole(artifact, len(weights), weights_digest(weights))
    raise UserError(
        place.uri,
        f"is an artifact of kind {artifact.record.kind}, whose digest does not cover its files.",
        "Datasets, demo corpora and checkpoints can be verified.",
    )


def files_digest(root: Location, files: list[Location]) -> str:
    """SHA-256 over the names and contents of files below a folder, in the order of their names."""
    total = hashlib.sha256()
    names = {f.uri[len(root.uri) + 1 :]: f for f in files}
    with progress.track("hashing files", len(names)) as bar:
        for name in sorted(names, key=lambda n: n.split("/")):
            total.update(f"{name}\0{content_sha256(names[name])}\n".encode())
            bar.advance()
    return total.hexdigest()


def weights_digest(weights: list[Location]) -> str:
    """SHA-256 over the names and bytes of weight files."""
    total = hashlib.sha256()
    for file in sorted(weights, key=lambda f: f.name):
        total.update(file.name.encode())
        with file.open_read() as stream:
            while block := stream.read(_BLOCK):
                total.update(block)
    return total.hexdigest()


def _dataset(artifact: Artifact) -> Verdict:
    from pipeline.dataset.manifest import IRREGULARITIES, REJECTS, make_manifest
    from pipeline.dataset.reader import ShardReader

    place = artifact.location
    reader = ShardReader(place)
    manifest = reader.manifest
    damage = []
    files = [file for shard in manifest.shards for file in shard.files]
    with progress.track("hashing shards", len(files)) as bar:
        for file in files:
            if not reader.is_whole(file):
                damage.append(f"{file.name} is missing or altered")
            bar.advance()
    again = make_manifest(manifest.shards, manifest.sources, manifest.rows_per_shard, manifest.bake).digest
    if again != manifest.digest:
        damage.append(f"manifest.json says digest {manifest.digest[:12]}, its content gives {again[:12]}")
    if manifest.digest != artifact.record.digest:
        recorded = artifact.record.digest[:12]
        damage.append(f"manifest.json says digest {manifest.digest[:12]}, {RECORD_NAME} {recorded}")
    irregular = sum(sum(s.irregularities.values()) for s in manifest.sources)
    for name, read, counted in (
        (REJECTS, reader.rejects, sum(s.rejected for s in manifest.sources)),
        (IRREGULARITIES, reader.irregularities, irregular),
    ):
        try:
            listed = read().num_rows
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and StorageError.is_unreadable(error):
                raise StorageError.of((place / name).uri, error) from error
            damage.append(f"{name} cannot be read ({error})")
        else:
            if listed != counted:
                damage.append(f"{name} has {listed} rows, the manifest counts {counted}")
    return Verdict(artifact=artifact, files=len(files), damage=tuple(damage))


def _whole(artifact: Artifact, files: int, digest: str) -> Verdict:
    recorded = artifact.record.digest
    differs = f"its files give digest {digest[:12]}, {RECORD_NAME} {recorded[:12]}"
    damage = () if digest == recorded else (differs,)
    return Verdict(artifact=artifact, files=files, damage=damage)
