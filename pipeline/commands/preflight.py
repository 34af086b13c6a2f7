"""Refusals before anything starts: what a cluster elsewhere could not read, or would lose."""

from __future__ import annotations

import os

from pipeline.errors import UserError
from pipeline.jobs.cluster import in_job
from pipeline.jobs.tracking import tracking_uri
from pipeline.plan.identity import in_corpora, inputs
from pipeline.plan.plan import Plan
from pipeline.storage.hub import is_plain


def preflight(plan: Plan) -> None:
    """Refuse what cannot work where the plan is to run; for every command that validates a plan."""
    refuse_unreachable(plan)
    tracking_uri(plan)


def refuse_unreachable(plan: Plan, out: str | None = None) -> None:
    """A cluster elsewhere cannot use paths that are relative to this machine's working folder.

    ``out`` is a folder that the command line names.
    """
    if not plan.ray.elsewhere or in_job():
        return
    for where, text in (_paths(plan) | ({"--out": out} if out else {})).items():
        from_hub = where.startswith("model.") and is_plain(text)
        if "://" not in text and not os.path.isabs(text) and not in_corpora(text) and not from_hub:
            raise UserError(
                f"{where}: {text}",
                "is relative to this machine's working folder, but the plan runs on a cluster.",
                "Use s3://bucket/prefix, or an absolute path that all its machines share"
                + ("; for a model of the hub hf://org/name." if where.startswith("model.") else "."),
            )


def _paths(plan: Plan) -> dict[str, str]:
    """Every path of the plan that a step reads or writes, by its key."""
    paths: dict[str, str | None] = {"storage.root": plan.storage.root}
    for source in plan.data.sources:
        where = f"data.sources[{source.name}]"
        paths |= {f"{where}.{key}": path for key, path in inputs(source).items()}
        paths |= {f"{where}.media[{i}]": root for i, root in enumerate(source.media)}
    paths["model.tokenizer.path"] = plan.model.tokenizer.path
    paths |= {f"model.weights.{k}": v for k, v in plan.model.weights.paths.items()}
    paths |= {f"stages[{s.name}].start_from": s.start_from for s in plan.stages if "/" in s.start_from}
    for i, checkpoint in enumerate(plan.evaluation.checkpoints if plan.evaluation else ()):
        if "/" in checkpoint:
            paths[f"evaluation.checkpoints[{i}]"] = checkpoint
    if plan.tracking.uri and plan.tracking.uri.startswith("sqlite:///"):
        paths["tracking.uri"] = plan.tracking.uri.removeprefix("sqlite:///")
    return {where: path for where, path in paths.items() if path}
