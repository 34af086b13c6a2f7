"""The builder of the corpora step: demo corpora in the published sets' own formats."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline import progress
from pipeline.artifacts.verify import files_digest
from pipeline.jobs.cluster import connect
from pipeline.jobs.step import StepContext, StepResult
from pipeline.storage.location import Location

_JOBS_PER_TASK = 4


def corpora(context: StepContext) -> StepResult:
    """Write the corpora to this machine, then put them in the artifact's folder.

    The digest covers the files' names and contents. The tasks write to the driver's disk, so they are pinned
    to its node.
    """
    from datasets_prep.demo.corpora import write_corpora

    assert context.plan.demo is not None, "a plan without a demo section has no corpora step"
    root = context.scratch / "corpora"
    with connect(context.plan.ray):
        summary = write_corpora(context.plan.demo, root, run_on_this_node)
    digest = digest_of(root)
    for old in context.out.list():
        old.delete()
    context.out.put_dir(root)
    shutil.rmtree(root)
    counts = {name: {k: v for k, v in c.items() if k != "damaged"} for name, c in summary["corpora"].items()}
    return StepResult(digest=digest, summary={**summary, "corpora": counts})


def run_on_this_node(function: Callable[[Any], int], jobs: Sequence[Any]) -> Iterator[int]:
    """``map`` as Ray tasks that share this node's disk; results in the order of completion."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    jobs = list(jobs)

    def several(part: list[Any]) -> list[int]:
        return [function(job) for job in part]

    task = ray.remote(num_cpus=1)(several).options(scheduling_strategy=here)
    with progress.track("drawing demo videos", len(jobs)) as bar:
        waiting = [task.remote(jobs[at : at + _JOBS_PER_TASK]) for at in range(0, len(jobs), _JOBS_PER_TASK)]
        while waiting:
            done, waiting = ray.wait(waiting)
            for result in ray.get(done[0]):
                bar.advance()
                yield result


def digest_of(root: Path) -> str:
    """SHA-256 over the names and contents of every file, in the order of their names."""
    place = Location.parse(root)
    return files_digest(place, place.list(recursive=True))
