"""The paths that a plan names, each with its key."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.plan.identity import inputs
from pipeline.plan.plan import Plan

Key = tuple[str | int, ...]


def storage_paths(plan: Plan) -> Iterator[tuple[Key, str]]:
    """Where the plan's own results go."""
    yield ("storage", "root"), plan.storage.root
    if plan.tracking.uri and plan.tracking.uri.startswith("sqlite:///"):
        yield ("tracking", "uri"), plan.tracking.uri.removeprefix("sqlite:///")


def input_paths(plan: Plan) -> Iterator[tuple[Key, str]]:
    """Annotations, tokenizer, weights and the judge's files, those in the demo corpora and on the hub too."""
    for i, source in enumerate(plan.data.sources):
        for field, path in inputs(source).items():
            yield ("data", "sources", i, field), path
    if plan.evaluation and plan.evaluation.judge:
        for field, path in inputs(plan.evaluation.judge).items():
            yield ("evaluation", "judge", field), path
    if plan.model:
        if plan.model.tokenizer.path:
            yield ("model", "tokenizer", "path"), plan.model.tokenizer.path
        for key, path in plan.model.weights.paths.items():
            yield ("model", "weights", key), path


def media_paths(plan: Plan) -> Iterator[tuple[Key, str]]:
    """The folders of videos."""
    for i, source in enumerate(plan.data.sources):
        for j, path in enumerate(source.media):
            yield ("data", "sources", i, "media", j), path


def checkpoint_paths(plan: Plan) -> Iterator[tuple[Key, str]]:
    """Checkpoints that another plan made."""
    for i, stage in enumerate(plan.stages):
        if "/" in stage.start_from:
            yield ("stages", i, "start_from"), stage.start_from
    for i, checkpoint in enumerate(plan.evaluation.checkpoints if plan.evaluation else ()):
        if "/" in checkpoint:
            yield ("evaluation", "checkpoints", i), checkpoint
