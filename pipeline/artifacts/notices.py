"""Notes about artifacts that are reused, one line each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pipeline.artifacts.fingerprint import code_version
from pipeline.artifacts.steps import Decision, State, media_outside
from pipeline.artifacts.survey import PlanStatus
from pipeline.plan.doctor import Finding
from pipeline.plan.plan import Plan


def other_code(plan_status: PlanStatus, decisions: Iterable[Decision]) -> list[str]:
    """Reused steps that were made by other code."""
    present = code_version()
    other = [
        d.spec.name
        for d in decisions
        if d.state is State.DONE
        and (made := plan_status.artifacts[d.spec.name])
        and made.record.code.source_digest != present.source_digest
    ]
    if not other:
        return []
    were = "was" if len(other) == 1 else "were"
    return [
        f"Note: {', '.join(other)} {were} made by another version of the code and kept; "
        "--force-step NAME makes one again."
    ]


def missing_media(plan: Plan, plan_status: PlanStatus, decisions: Iterable[Decision]) -> list[str]:
    """Records that a kept dataset lacks because their video was not there when it was made.

    Videos of the demo corpora are left out: they lack videos on purpose.
    """
    kept = any(d.spec.name == "prepare" and d.state is State.DONE for d in decisions)
    made = plan_status.artifacts.get("prepare")
    if not kept or made is None:
        return []
    found: dict[str, Any] = made.record.summary.get("sources") or {}
    outside = {s.name for s in plan.data.sources if media_outside(s)}
    counts = {
        name: count
        for name, entry in found.items()
        if name in outside and (count := entry.get("rejects", {}).get(Finding.MEDIA_MISSING, 0))
    }
    if not counts:
        return []
    each = ", ".join(f"{name} {count}" for name, count in counts.items())
    return [
        f"Note: prepare left out {sum(counts.values())} records whose video was not there ({each}); "
        "once the videos are there: ufvideo run PLAN --force-step prepare."
    ]
