"""Whether the cluster within the command is large enough for the steps of a plan."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from glob import glob

from pipeline.artifacts.steps import Kind, StepSpec
from pipeline.jobs.cluster import in_job
from pipeline.plan.plan import Plan
from pipeline.plan.runtime import RayConfig
from pipeline.plan.section_errors import Problem

_GPU_FILES = "/dev/nvidia[0-9]*"
_OTHER_GPU_FILES = ("/dev/kfd", "/dev/dxg", "/dev/dri/render*")
_FIX = "or name a cluster in ray.address."


def size_problems(plan: Plan, todo: Sequence[StepSpec]) -> Iterator[Problem]:
    """Steps that no cluster of this machine's size, or of the plan's num_cpus and num_gpus, can run.

    The size of any other cluster is checked when the work begins.
    """
    if plan.ray.elsewhere or in_job():
        return
    cpus, gpus = plan.ray.num_cpus or os.cpu_count() or 1, _gpus(plan.ray)
    names = {spec.name for spec in todo}
    for i, stage in enumerate(plan.stages):
        layout = stage.layout
        if stage.name not in names:
            continue
        wanted = layout.workers * layout.cpus_per_worker
        if wanted > cpus:
            text = (
                f"stage {stage.name} asks for {layout.workers} workers x {layout.cpus_per_worker:g} CPUs = "
                f"{wanted:g} CPUs, and the cluster within the command has {cpus}. Lower cpus_per_worker or "
                f"workers, {_FIX}"
            )
            yield Problem(("stages", i, "layout", "workers"), text)
        if layout.use_gpu and gpus is not None and layout.workers > gpus:
            text = (
                f"stage {stage.name} asks for {layout.workers} GPUs, and {_have(plan.ray, gpus)}. "
                f"Set layout.use_gpu: false, {_FIX}"
            )
            yield Problem(("stages", i, "layout", "use_gpu"), text)
    if plan.evaluation is None or not any(spec.kind is Kind.EVALUATE for spec in todo):
        return
    if plan.evaluation.cpus_per_actor > cpus:
        text = (
            f"an actor asks for {plan.evaluation.cpus_per_actor:g} CPUs, and the cluster within the command "
            f"has {cpus}. Lower it, {_FIX}"
        )
        yield Problem(("evaluation", "cpus_per_actor"), text)
    if plan.evaluation.use_gpu and gpus == 0:
        text = f"evaluation asks for a GPU, and {_have(plan.ray, gpus)}. Set use_gpu: false, {_FIX}"
        yield Problem(("evaluation", "use_gpu"), text)


def _have(config: RayConfig, gpus: int) -> str:
    return f"ray.num_gpus is {gpus}" if config.num_gpus is not None else f"this machine shows {gpus}"


def _gpus(config: RayConfig) -> int | None:
    """GPUs of an embedded cluster; None where they cannot be counted without their driver's library."""
    if config.num_gpus is not None:
        return config.num_gpus
    found = len(glob(_GPU_FILES))
    if not found:
        return None if any(glob(pattern) for pattern in _OTHER_GPU_FILES) else 0
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return found
    return len([one for one in visible.split(",") if one.strip() not in ("", "-1")])
