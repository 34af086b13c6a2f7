"""One actor beside two: the questions of a finished run's benchmarks, asked again without loading the model.

`python -m benchmarks.actors PLAN` needs a plan whose stages are done, such as `plans/demo.yaml` after `make
demo`. Nothing of the run is changed: answers go into a temporary folder.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.compare import publish
from evaluation.actors import run_on_actors
from evaluation.answer_store import AnswerStore
from evaluation.answering import spawn
from evaluation.asking import entry_items
from evaluation.checkpoint import ScoredCheckpoint
from evaluation.setup import Setup
from evaluation.work import Unit, units
from pipeline.artifacts.steps import evaluate_name
from pipeline.dataset.reader import ShardReader
from pipeline.jobs import cluster
from pipeline.jobs.step import make_context
from pipeline.plan.load import load_plan
from pipeline.storage.location import Location

TURNS = 5
NOTHING = Unit(number=0, items=())  # an actor loads its model even for this


def bind(_: Any, core: int) -> None:
    """Let every thread of this process run on one core only."""
    for thread in os.listdir("/proc/self/task"):
        os.sched_setaffinity(int(thread), {core})


def ask(setup: Setup, jobs: list[Unit], count: int, *, bound: bool) -> tuple[float, float]:
    """Seconds to load the model on ``count`` actors, and to have them answer every question."""
    import ray

    begun = time.monotonic()
    actors = [spawn(setup) for _ in range(count)]
    ray.get([actor.answer.remote(NOTHING) for actor in actors])
    if bound:
        cores = sorted(os.sched_getaffinity(0))
        ray.get([actor.__ray_call__.remote(bind, core) for actor, core in zip(actors, cores, strict=False)])
    loaded = time.monotonic()
    answered: list[Any] = []
    run_on_actors(
        jobs,
        count=count,
        spawn=actors.pop,
        submit=lambda actor, unit: actor.answer.remote(unit),
        done=lambda unit, result: answered.append(result),
        at_once=1 + setup.config.batches_ahead,
    )
    assert len(answered) == len(jobs)
    return loaded - begun, time.monotonic() - loaded


def main() -> None:
    """Print, or write, the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan", help="the plan of a finished run")
    parser.add_argument("--checkpoint", help="default: the last one that the plan scores")
    parser.add_argument(
        "--set", action="append", default=[], metavar="A.B=C", help="change one value of the plan"
    )
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks/actors.md")
    options = parser.parse_args()
    plan = load_plan(options.plan, options.set)
    config = plan.evaluation
    assert config is not None, "the plan has no evaluation section"
    name = options.checkpoint or config.checkpoints[-1]
    context = make_context(plan, evaluate_name(name))
    data = context.inputs["prepare"]
    reader = ShardReader(data.location)
    items = [item for b in config.benchmarks for item in entry_items(reader, b, plan.seed)]
    jobs, load = units(items), os.getloadavg()[0]
    cases = [(count, bound) for bound in (False, True) for count in (1, 2)]
    asking: dict[tuple[int, bool], list[float]] = {case: [] for case in cases}
    loading: dict[tuple[int, bool], list[float]] = {case: [] for case in cases}
    with cluster.connect(plan.ray):
        for _ in range(TURNS):
            for case in cases:
                with tempfile.TemporaryDirectory() as folder:
                    setup = Setup(
                        config=config,
                        checkpoint=ScoredCheckpoint.at(context),
                        dataset=data.location,
                        store=AnswerStore.at(Location.parse(Path(folder)), {"benchmark": "actors"}),
                        seed=plan.seed,
                    )
                    took = ask(setup, jobs, case[0], bound=case[1])
                loading[case].append(took[0])
                asking[case].append(took[1])
    ratios = [min(asking[2, bound]) / min(asking[1, bound]) for bound in (False, True)]
    questions = sum(len(job.items) for job in jobs)
    lines = [
        "# One actor beside two",
        "",
        f"The {questions} questions of the benchmarks of `{plan.name}`, asked of `{name}` by one actor and "
        f"by two, each with {config.torch_threads or 'all'} thread(s) for the model.",
        "",
        f"`python -m benchmarks.actors {options.plan} --write`: best of {TURNS} turns each, alternately, "
        f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, load {load:.1f} at the beginning.",
        "",
        "| Actors | cores | start and load the model, s | answer, s |",
        "|---:|---|---:|---:|",
        *(
            f"| {n} | {'one for each' if bound else 'all'} | {min(loading[n, bound]):.1f} "
            f"| {min(asking[n, bound]):.1f} |"
            for n, bound in cases
        ),
        "",
        f"With one core for each actor, two take {ratios[1]:.2f} of the time of one. Where they share all "
        f"cores {ratios[0]:.2f}: one actor alone already decodes the next questions on a second core while "
        "the model answers.",
    ]
    publish("actors", "\n".join(lines) + "\n", write=options.write)


if __name__ == "__main__":
    main()
