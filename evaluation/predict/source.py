"""Where the model that is asked comes from: an artifact of a plan, or weights beside their tokenizer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline import progress
from pipeline.artifacts.checkpoint import MODEL, TOKENIZER
from pipeline.artifacts.record import RECORD_NAME, Artifact, load_artifact
from pipeline.artifacts.steps import Kind
from pipeline.canonical import digest
from pipeline.errors import UserError
from pipeline.plan.model import ModelConfig
from pipeline.storage import hub
from pipeline.storage.cache import Cache
from pipeline.storage.credentials import without_credentials
from pipeline.storage.hashing import content_sha256, file_sha256
from pipeline.storage.location import Location
from training.model.tokenizer import holds_tokenizer
from training.model.weights.checkpoints import CONFIG_FILE
from training.model.weights.pretrained import stored_sizes
from training.model.weights.tensor_files import weight_files

_BESIDE = (".json", ".txt", ".model", ".jinja")
"""Files that an answer depends on beside the weights: sizes, tokenizer, chat template."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Folders on this machine, and which model they hold."""

    model: Path
    tokenizer: Path
    config: ModelConfig
    uri: str
    """without credentials"""
    digest: str
    """of an artifact: its record's; of a model of the hub: its commit; else over the content of its files"""


def find_source(place: str | Path, cache: Cache | None = None) -> Source:
    """What is at a place: a stage's or init's artifact, a folder with weights and tokenizer in the published
    layout or this project's (the released model, an export), or such a model of the hub.

    A folder is local or on S3 and is fetched, into ``cache``; weights are not loaded. Raises UserError if
    there is no model.
    """
    # A Path is never a name on the hub.
    named = hub.hub_model(place) if isinstance(place, str) else None
    if named:
        found = hub.fetch(named, hub.MODEL_FILES)
        return _model(found.path, str(named), found.commit)
    folder = Location.parse(place, cache)
    made = load_artifact(folder)
    if made is None:
        if (folder / CONFIG_FILE).exists():
            return _model(folder.fetch_dir(hold=True), without_credentials(folder.uri), None)
        raise _nothing(folder)
    return _artifact(made)


def _artifact(made: Artifact) -> Source:
    place = made.location
    if made.record.kind not in (Kind.INIT, Kind.STAGE):
        raise UserError(
            place.uri,
            f"is an artifact of kind {made.record.kind}, which holds no model.",
            "Give the folder of a training stage, or of init.",
        )
    folder = place.fetch_dir(hold=True)
    return Source(
        model=folder / MODEL,
        tokenizer=folder / TOKENIZER,
        config=stored_sizes(folder / MODEL),
        uri=without_credentials(place.uri),
        digest=made.record.digest,
    )


def _model(folder: Path, uri: str, commit: str | None) -> Source:
    config = stored_sizes(folder)
    if not holds_tokenizer(folder):
        raise UserError(
            uri,
            "holds a model, but no tokenizer.",
            "Give the folder of its artifact, or save the tokenizer beside the weights.",
        )
    return Source(model=folder, tokenizer=folder, config=config, uri=uri, digest=commit or _content(folder))


def _content(folder: Path) -> str:
    """SHA-256 over names and content of the files that an answer depends on.

    For a 7B model these are 17 GB, so the hashes are kept in the cache folder.
    """
    files = sorted({*weight_files(folder), *(f for f in folder.iterdir() if f.suffix in _BESIDE)})
    hashes = {}
    with progress.track("hash", len(files)) as bar:
        for file in files:
            hashes[file.relative_to(folder).as_posix()] = _hashed(Location.parse(file))
            bar.advance()
    return digest(hashes)


def _hashed(file: Location) -> str:
    try:
        return file_sha256(file, file.cache_dir() / "sha256")
    except OSError:  # a cache folder that cannot be written, or the file itself, which then raises again
        return content_sha256(file)


def _nothing(place: Location) -> UserError:
    below = [f for f in place.list() if f.is_dir() and (f / RECORD_NAME).exists()]
    if below:
        return UserError(
            place.uri,
            f"is not a checkpoint itself, but {' and '.join(f.name for f in below[:3])} in it may be.",
            f"Give {below[0].uri}.",
        )
    return UserError(
        place.uri,
        f"is not a finished checkpoint (it holds no {RECORD_NAME}), nor a model (it holds no {CONFIG_FILE}).",
        "Give the folder of a stage's artifact or of init (`ufvideo status PLAN` says what is there), a "
        "folder with weights and their tokenizer, or a model of the hub as hf://org/name.",
    )
