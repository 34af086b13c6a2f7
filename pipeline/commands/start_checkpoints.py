"""Stages that start from the checkpoint of another plan: its digest, and the data it was trained on."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.artifacts.checkpoint import outside_artifact
from pipeline.artifacts.record import Artifact, ArtifactRecord
from pipeline.artifacts.steps import Kind
from pipeline.plan.plan import Plan

_DIGITS = 12


def start_lines(plan: Plan, dataset: Artifact | None) -> Iterator[str]:
    """A line on each such stage. ``dataset``: this plan's, None before it is prepared.

    Stages that start within the plan have its data by construction.
    """
    for stage in plan.stages:
        if "/" not in stage.start_from:
            continue
        start = outside_artifact(stage.start_from, plan.storage.local_cache)
        if start is not None:
            record = start.record
            yield (
                f"{stage.name}: starts from {record.digest[:_DIGITS]}, which step {record.step} made "
                f"{record.created}, {_data(record, dataset)}."
            )


def _data(record: ArtifactRecord, dataset: Artifact | None) -> str:
    data = record.inputs.get("prepare")
    if record.kind != Kind.STAGE or data is None:
        return "untrained"
    trained = f"trained on dataset {data.digest[:_DIGITS]}"
    if dataset is None:
        return f"{trained}; this plan's dataset is not prepared yet"
    if dataset.record.digest == data.digest:
        return f"{trained}, which is this plan's"
    return f"{trained}: ANOTHER than this plan's, {dataset.record.digest[:_DIGITS]}"
