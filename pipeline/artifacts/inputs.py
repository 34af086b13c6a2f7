"""Inputs that a plan does not make: annotation files, tokenizers, weights, and other plans' checkpoints."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.artifacts.checkpoint import CONFIG_FILE, outside_artifact, start_config
from pipeline.artifacts.record import InputRef
from pipeline.artifacts.steps import Kind, StepSpec, outside_paths
from pipeline.canonical import digest
from pipeline.errors import UserError
from pipeline.plan.identity import CORPORA, in_corpora, inputs
from pipeline.plan.plan import Plan
from pipeline.storage.credentials import without_credentials
from pipeline.storage.hashing import file_sha256, files_sha256, hash_cache
from pipeline.storage.hub import hub_model, is_plain
from pipeline.storage.location import Location

_PLAIN = (".json", ".jsonl", ".txt", ".csv", ".p")
ANNOTATION_SUFFIXES = (*_PLAIN, *(f"{suffix}.gz" for suffix in _PLAIN), ".parquet")
PICTURES = (".png",)  # label images: a dataset may have a hundred thousand, so only their sizes are compared
_YOUNG = 100_000  # new objects between two runs of the garbage collector; Python's default is 700
MODEL_SUFFIXES = (".safetensors", ".json", ".bin", ".pt", ".txt", ".model", ".jinja")


def storage_root(plan: Plan) -> Location:
    """The storage root as a location."""
    return Location.parse(plan.storage.root, plan.storage.local_cache)


def local_home(plan: Plan) -> Path:
    """The folder on this machine of logs and MLflow's file: the storage root, or ``runs/NAME``."""
    root = storage_root(plan)
    return root.local_path if root.is_local else Path.cwd() / "runs" / plan.name


def log_file(plan: Plan, name: str) -> Path:
    """The log of one step or command on this machine."""
    return local_home(plan) / "logs" / f"{name}.log"


def external_inputs(plan: Plan, spec: StepSpec) -> dict[str, InputRef]:
    """Every outside input of a step with its digest, by the key that names it in the plan.

    Raises UserError for a path that is not there, and for a start checkpoint of another size.
    """
    out: dict[str, InputRef] = {}
    if spec.kind is Kind.PREPARE:
        for source in plan.data.sources:
            for key, path in outside_paths(source).items():
                where = f"data.sources[{source.name}].{key}"
                only = source.files if key == "annotations" else ()
                out[where] = _content(plan, where, path, ANNOTATION_SUFFIXES, only)
    if spec.kind is Kind.INIT:
        paths = {"model.tokenizer.path": plan.model_section.tokenizer.path}
        paths |= {f"model.weights.{k}": v for k, v in plan.model_section.weights.paths.items()}
        for where, text in paths.items():
            if text and (model := hub_model(text)):
                # A revision's content never changes; without one the name stands for whatever is fetched.
                out[where] = InputRef(uri=str(model), fingerprint="", digest=digest(str(model)))
            elif text:
                out[where] = _content(plan, where, text, MODEL_SUFFIXES)
    if spec.kind is Kind.EVALUATE and plan.evaluation and plan.evaluation.judge:
        for key, path in inputs(plan.evaluation.judge).items():
            if not in_corpora(path):
                where = f"evaluation.judge.{key}"
                out[where] = _content(plan, where, path, ANNOTATION_SUFFIXES)
    if spec.external_checkpoint:
        out["checkpoint"] = _checkpoint(plan, spec)
    return out


def _checkpoint(plan: Plan, spec: StepSpec) -> InputRef:
    """A checkpoint of another plan; for an evaluation also a model that was not made by a plan."""
    place = spec.external_checkpoint
    made = outside_artifact(place, plan.storage.local_cache)
    if made is not None:
        if made.record.kind not in (Kind.INIT, Kind.STAGE):
            raise UserError(
                f"{spec.name}: {place}",
                f"is an artifact of kind {made.record.kind}, which holds no model.",
                "Give the folder of a training stage, or of init.",
            )
        if spec.kind is Kind.STAGE:
            start_config(made.location, plan.model_section.resolved, spec.subject)
        return made.ref
    if spec.kind is Kind.EVALUATE:
        if is_plain(place):
            # As for the weights of init: without a revision the name stands for whatever is fetched.
            return InputRef(uri=str(hub_model(place)), fingerprint="", digest=digest(str(hub_model(place))))
        if (Location.parse(place, plan.storage.local_cache) / CONFIG_FILE).exists():
            return _content(plan, f"{spec.name}: {place}", place, MODEL_SUFFIXES)
    raise UserError(
        f"{spec.name}: {place}",
        "is not a finished checkpoint artifact.",
        "Give the folder that holds its record.json (relative to where you run the command).",
    )


LINKS = "data.allow_links_to"  # not the name of a source, which has no full stop


def media_places(plan: Plan, spec: StepSpec, corpora: Location) -> dict[str, tuple[str, ...]]:
    """The media folders of each source, resolved, and those of ``allow_links_to`` under ``LINKS``.

    Empty for every step but the one that writes them into the dataset.

    A dataset names its videos by these folders, so it is made again when they change. They are not part of
    its fingerprint: if the videos are unchanged its digest is the same, and no later step is repeated.
    """
    if spec.kind is not Kind.PREPARE:
        return {}

    def place(path: str) -> str:
        if in_corpora(path):
            return (corpora / path.removeprefix(CORPORA).lstrip("/")).uri
        return Location.parse(path, plan.storage.local_cache).uri

    places = {source.name: tuple(map(place, source.media)) for source in plan.data.sources}
    if plan.data.allow_links_to:
        places[LINKS] = tuple(map(place, plan.data.allow_links_to))
    return places


def _content(
    plan: Plan, where: str, path: str, suffixes: Sequence[str], patterns: Sequence[str] = ()
) -> InputRef:
    place = Location.parse(path, plan.storage.local_cache)
    if not place.exists():
        raise UserError(where, f"{path} does not exist.", "Correct the path, or put the file there.")
    remembered = hash_cache(storage_root(plan))
    if not place.is_dir():
        return InputRef(
            uri=without_credentials(place.uri), fingerprint="", digest=file_sha256(place, remembered)
        )
    with _rare_collections():
        folder_digest = _folder_digest(where, place, suffixes, patterns, remembered)
    return InputRef(uri=without_credentials(place.uri), fingerprint="", digest=folder_digest)


def _folder_digest(
    where: str, place: Location, suffixes: Sequence[str], patterns: Sequence[str], remembered: Path
) -> str:
    """Digest of a folder's listing, and of the content of the files that are read for their text or weights.

    Hashing the videos beside them would read terabytes; their digests are in the shards.
    """
    files = (
        [(f.uri[len(place.uri) + 1 :], stat) for p in patterns for f, stat in place.glob_entries(p)]
        if patterns
        else place.files()
    )
    suffixes = tuple(suffixes)
    sized = PICTURES if suffixes == ANNOTATION_SUFFIXES else ()
    for name, stat in files:
        if not stat.key and name.endswith((*suffixes, *sized)):
            raise UserError(where, f"{place.uri}/{name} is a broken link.", "Correct the link, or remove it.")
    read = [file for file in files if file[0].endswith(suffixes)]
    hashes = iter(files_sha256(place, read, remembered))
    contents = [
        next(hashes) if name.endswith(suffixes) else stat.size if name.endswith(sized) else None
        for name, stat in files
    ]
    listing = [name for name, _ in files]
    return digest([listing, contents])


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Run Python's garbage collector rarely inside, because it scans a growing listing again and again."""
    young, *older = gc.get_threshold()
    gc.set_threshold(max(young, _YOUNG), *older)
    try:
        yield
    finally:
        gc.set_threshold(young, *older)
