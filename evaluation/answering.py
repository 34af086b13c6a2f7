"""Every answer of an evaluation: those that are stored, and the others from actors that are asked now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.actors import run_on_actors
from evaluation.answer_store import Stored
from evaluation.asking import missing_videos
from evaluation.prediction import Unreadable
from evaluation.scores import UNREADABLE
from evaluation.setup import Setup
from evaluation.work import Item, Unit, units
from evaluation.worker import UnitResult, Worker
from pipeline import progress
from pipeline.dataset.reader import ShardReader
from pipeline.jobs import capacity, cluster
from pipeline.jobs.step import StepContext

Index = dict[str, dict[tuple[str, str], Stored]]  # by source, then by key and question
_NAMED = 5  # how many unreadable videos the log names; all of them are in unreadable.json


def answer_all(
    context: StepContext, setup: Setup, reader: ShardReader, items: Mapping[str, Sequence[Item]]
) -> tuple[Index, dict[str, list[Unreadable]]]:
    """Every answer by source, and by entry the samples that could not be asked."""
    index: Index = {}
    for source in {item.source: None for group in items.values() for item in group}:
        index[source], damaged = setup.store.index(source)
        for name in damaged:
            print(f"answers: {name} was damaged; its answers are made again", flush=True)
    missing = [item for group in items.values() for item in group if item.name not in index[item.source]]
    gone = missing_videos(reader, missing)
    unreadable = dict(gone)
    asked = [item for item in missing if (item.source, item.key) not in gone]
    _say_unreadable("are missing", list(gone.values()))
    if asked:
        unreadable |= _ask(context, setup, asked, len(missing) - len(asked), index)
        read = {(item.source, item.key) for item in asked}
        _say_unreadable("cannot be read", [one for name, one in unreadable.items() if name in read])
    for source in {item.source for item in asked}:
        setup.store.compact(source)
    by_entry = {
        name: [
            unreadable[item.source, item.key]
            for item in group
            if item.name not in index[item.source] and (item.source, item.key) in unreadable
        ]
        for name, group in items.items()
    }
    return index, by_entry


def _ask(
    context: StepContext, setup: Setup, asked: Sequence[Item], missing: int, index: Index
) -> dict[tuple[str, str], Unreadable]:
    """Have actors answer these questions; adds to ``index``, and returns what could not be read."""
    need = capacity.need_of(context.plan, context.spec)
    assert need is not None
    jobs = units(asked)
    unreadable: dict[tuple[str, str], Unreadable] = {}
    problems = Counter({"missing": missing})
    title = f"ask {context.spec.subject}"
    with (
        cluster.connect(context.plan.ray),
        progress.track(title, sum(len(job.items) for job in jobs)) as bar,
    ):
        capacity.refuse_cluster(need)

        def done(unit: Unit, result: UnitResult) -> None:
            for source, stored in result.stored.items():
                index[source].update(stored)
            unreadable.update({(one.source, one.key): one for one in result.unreadable})
            problems.update(result.failures)
            problems.update({"cannot be read": len(result.unreadable), "decoded late": result.late})
            bar.advance(len(unit.items), **{kind: n for kind, n in problems.items() if n})

        def lost(message: str) -> None:
            problems["lost actors"] += 1
            print(f"{title}: {message}", flush=True)

        def joined(actors: int) -> None:
            if bar.done:  # the first ones are what the plan asks for
                print(f"{title}: an actor has joined; {actors} work now", flush=True)

        run_on_actors(
            jobs,
            count=setup.config.actors,
            spawn=lambda: spawn(setup),
            submit=lambda actor, unit: actor.answer.remote(unit),
            done=done,
            lost=lost,
            joined=joined,
            waits=lambda: print(capacity.waiting_line(need), flush=True),
            at_once=1 + setup.config.batches_ahead,
        )
    return unreadable


def spawn(setup: Setup) -> Any:
    """An actor with the resources that its plan asks for."""
    import ray

    config = setup.config
    actor = ray.remote(Worker).options(
        num_cpus=config.cpus_per_actor,
        num_gpus=config.gpus_per_actor if config.use_gpu else 0,
        max_concurrency=1 + config.batches_ahead,
    )
    return actor.remote(setup)


def _say_unreadable(what: str, samples: Sequence[Unreadable]) -> None:
    if not samples:
        return
    by_video = {one.video: one for one in samples}
    named = "; ".join(f"{one.video} ({one.reason})" for one in list(by_video.values())[:_NAMED])
    more = f" and {len(by_video) - _NAMED} more" if len(by_video) > _NAMED else ""
    print(
        f"videos of {len(samples)} samples {what}: {named}{more}. These samples are in no score of this run; "
        f"the next run asks them again. All are listed in {UNREADABLE}.",
        flush=True,
    )
