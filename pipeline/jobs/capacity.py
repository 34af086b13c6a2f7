"""Whether a cluster has, or can add, the CPUs and GPUs of a step. Ray itself would wait silently."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.artifacts.steps import Kind, StepSpec
from pipeline.errors import UserError
from pipeline.plan.plan import Plan

# Ray's name for the type of a node that no autoscaler started.
_NO_TYPE = re.compile(r"node_[0-9a-f]+")


@dataclass(frozen=True, kw_only=True)
class Need:
    """The processes of a step that run at the same time, and the resources of each."""

    where: str
    count: int
    cpus: float
    gpus: float
    fix: str

    def fits(self, nodes: Iterable[Mapping[str, float]]) -> int:
        """How many of the processes fit on these nodes."""
        wanted = {"CPU": self.cpus, "GPU": self.gpus}
        return sum(
            min(
                (int(node.get(name, 0) / each + 1e-6) for name, each in wanted.items() if each),
                default=self.count,
            )
            for node in nodes
        )

    def refusal(self, nodes: Sequence[Mapping[str, float]]) -> UserError:
        """The error for nodes that are too few or too small."""
        gpu = f" and {self.gpus:g} GPU" if self.gpus else ""
        plural = f"{self.count} processes with" if self.count > 1 else "a process with"
        return UserError(
            self.where,
            f"asks for {plural} {self.cpus:g} CPUs{gpu}{' each' if self.count > 1 else ''}; the cluster has "
            f"{_total(nodes, 'CPU'):g} CPUs and {_total(nodes, 'GPU'):g} GPUs"
            + (f" on {len(nodes)} nodes, room for {self.fits(nodes)}." if len(nodes) > 1 else "."),
            self.fix,
        )


def need_of(plan: Plan, spec: StepSpec) -> Need | None:
    """The resources of a step, None for a step that runs with whatever is free."""
    if spec.kind is Kind.STAGE:
        layout = next(s for s in plan.stages if s.name == spec.subject).layout
        return Need(
            where=f"stage {spec.subject}: layout",
            count=layout.fewest_workers,
            cpus=layout.cpus_per_worker,
            gpus=1 if layout.use_gpu else 0,
            fix="Change layout.workers"
            + (", set layout.use_gpu: false" if layout.use_gpu else " or layout.cpus_per_worker")
            + ", or name a larger cluster in ray.address or ray.dashboard.",
        )
    if spec.kind is Kind.EVALUATE and plan.evaluation is not None:
        config = plan.evaluation
        return Need(
            where="evaluation",
            count=1,  # others of its actors join when they find room
            cpus=config.cpus_per_actor,
            gpus=config.gpus_per_actor if config.use_gpu else 0,
            fix="Lower evaluation.cpus_per_actor"
            + (", set evaluation.use_gpu: false" if config.use_gpu else "")
            + ", or name a larger cluster in ray.address or ray.dashboard.",
        )
    return None


def refuse_cluster(need: Need) -> None:
    """Raise UserError if the connected cluster has no room for this and cannot grow."""
    nodes = node_resources()
    if need.fits(nodes) < need.count and not grows():
        raise need.refusal(nodes)


def waiting_line(need: Need) -> str:
    """A line about a step that still waits for its processes."""
    import ray

    nodes, free = node_resources(), ray.available_resources()
    lacks = need.fits(nodes) < need.count
    why = "the cluster is to grow" if lacks else "others use them"
    return (
        f"{need.where}: waits for {need.count} x {need.cpus:g} CPUs"
        + (f" and {need.gpus:g} GPU" if need.gpus else "")
        + f"; {why}: {free.get('CPU', 0):g} of {_total(nodes, 'CPU'):g} CPUs and "
        f"{free.get('GPU', 0):g} of {_total(nodes, 'GPU'):g} GPUs are free"
    )


def waits(need: Need) -> bool:
    """True while Ray Train waits for the resources that it requested."""
    from ray.util import placement_group_table

    if need.fits(node_resources()) < need.count:
        return True
    groups = placement_group_table().values()
    waiting = [group for group in groups if group["state"] not in ("CREATED", "REMOVED")]
    return any(len(group["bundles"]) == need.count for group in waiting)


def node_resources() -> list[Mapping[str, float]]:
    """The total resources of each node of the connected cluster."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def grows() -> bool:
    """True if the connected cluster has an autoscaler, or if that cannot be found out."""
    import ray
    from ray._private.ray_constants import DEBUG_AUTOSCALING_STATUS
    from ray.autoscaler.v2.sdk import get_cluster_status
    from ray.experimental.internal_kv import _internal_kv_get

    try:
        status = get_cluster_status(ray.get_runtime_context().gcs_address)
        types = [node.ray_node_type_name for node in (*status.active_nodes, *status.idle_nodes)]
        report = (
            json.loads(_internal_kv_get(DEBUG_AUTOSCALING_STATUS) or b"{}").get("autoscaler_report") or {}
        )
    except Exception:  # another version of Ray on the cluster: waiting is better than refusing
        return True
    types += [*(report.get("active_nodes") or {}), *(report.get("idle_nodes") or {})]
    return any(name and not _NO_TYPE.fullmatch(name) for name in types)


def _total(nodes: Iterable[Mapping[str, float]], name: str) -> float:
    return sum(node.get(name, 0) for node in nodes)
