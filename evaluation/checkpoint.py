"""The checkpoint that a step scores: an artifact, or a model beside its tokenizer, here or on the hub."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.artifacts.checkpoint import CONFIG_FILE, MODEL, TOKENIZER
from pipeline.canonical import plain
from pipeline.errors import UserError
from pipeline.jobs.step import StepContext
from pipeline.storage import hub
from pipeline.storage.location import Location

_COMMIT = 40  # characters; the digest of a folder has 64


@dataclass(frozen=True, kw_only=True)
class ScoredCheckpoint:
    """Where the weights are, in plain values, since it is sent to actors on other machines.

    Answers are stored under ``digest``: the record's digest for an artifact, the commit for a model on the
    hub, the hash of its files for a folder. ``sizes`` are those of the model, None if they are not known.
    """

    uri: str
    digest: str
    folder: Location | None  # None: of the hub
    is_artifact: bool
    sizes: Mapping[str, Any] | None

    @classmethod
    def in_folder(cls, folder: Location, digest: str = "") -> ScoredCheckpoint:
        """A folder with a model and its tokenizer, as an artifact has them."""
        try:
            sizes = json.loads((folder / MODEL / CONFIG_FILE).read_bytes()).get("model")
        except (FileNotFoundError, ValueError):
            sizes = None
        return cls(uri=folder.uri, digest=digest, folder=folder, is_artifact=True, sizes=sizes)

    @classmethod
    def at(cls, context: StepContext) -> ScoredCheckpoint:
        """The checkpoint of an evaluation step. Raises UserError if there is none.

        A model that was not made by a plan is fetched here, because its digest is that of its content.
        """
        if context.checkpoint is not None:
            return cls.in_folder(context.checkpoint.location, context.checkpoint.record.digest)
        place = context.spec.external_checkpoint
        if not place:
            raise UserError(
                context.spec.subject, "holds no checkpoint.", "Name a checkpoint artifact, a stage, or init."
            )
        from evaluation.predict.source import find_source

        cache = context.plan.storage.local_cache
        found = find_source(place, cache)
        folder = None if hub.is_plain(place) else Location.parse(place, cache)
        uri = found.uri
        if folder is None and len(found.digest) == _COMMIT:  # actors fetch this very commit
            uri = f"{found.uri.partition('@')[0]}@{found.digest}"
        return cls(uri=uri, digest=found.digest, folder=folder, is_artifact=False, sizes=plain(found.config))

    def fetch(self) -> tuple[Path, Path]:
        """The folders of model and tokenizer on this machine."""
        if self.folder is None:
            model = hub.hub_model(self.uri)
            assert model is not None, "the name was read when the step began"
            path = hub.fetch(model, hub.MODEL_FILES).path
            return path, path
        path = self.folder.fetch_dir(hold=True)
        return (path / MODEL, path / TOKENIZER) if self.is_artifact else (path, path)
