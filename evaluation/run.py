"""The two steps of evaluation, top to bottom: score one checkpoint, and report on all of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from evaluation.actors import run_on_actors
from evaluation.answer_store import AnswerStore, Stored
from evaluation.asking import entry_items, missing_videos
from evaluation.checkpoint import ScoredCheckpoint
from evaluation.judge import marking
from evaluation.logged import log_examples, log_metrics
from evaluation.prediction import Unreadable
from evaluation.scores import (
    UNREADABLE,
    device_of,
    how_asked,
    metric_rows,
    summary,
    write_metrics,
    write_scores,
)
from evaluation.scoring import SliceScores, in_order, score_slices, slices
from evaluation.setup import Setup
from evaluation.submission.hidden import unscored_rows
from evaluation.submission.step import plan_submissions
from evaluation.work import Item, Unit, units
from evaluation.worker import UnitResult, Worker
from pipeline import progress
from pipeline.artifacts.inputs import storage_root
from pipeline.canonical import digest, plain
from pipeline.dataset.manifest import SourceEntry
from pipeline.dataset.reader import ShardReader
from pipeline.errors import UserError
from pipeline.jobs import capacity, cluster
from pipeline.jobs.step import StepContext, StepResult
from pipeline.plan.evaluation import EvaluationConfig
from pipeline.storage.location import Location

Index = dict[str, dict[tuple[str, str], Stored]]  # by source, then by key and question
_NAMED = 5  # how many unreadable videos the log names; all of them are in unreadable.json


def evaluate(context: StepContext) -> StepResult:
    """Ask what is not answered yet, then score the stored answers.

    Answers are kept below the storage root, apart from this step's folder: see ``AnswerStore``.
    """
    config, data = context.plan.evaluation, context.inputs["prepare"]
    assert config is not None, "the plan has an evaluate step only if it has an evaluation section"
    checkpoint = ScoredCheckpoint.at(context)
    reader = ShardReader(data.location, verify=context.plan.storage.verify_videos)
    prepared = {b.source: reader.manifest.source(b.source) for b in config.benchmarks}
    _refuse_empty(prepared)
    settings = answer_settings(config, checkpoint.digest, reader)
    store = AnswerStore.at(storage_root(context.plan), settings)
    setup = Setup(
        config=config,
        checkpoint=checkpoint,
        dataset=data.location,
        store=store,
        seed=context.seed,
        verify_videos=context.plan.storage.verify_videos,
    )
    items = {b.entry: entry_items(reader, b, context.seed) for b in config.benchmarks}
    submissions = plan_submissions(context.plan, reader, items)
    index, unreadable = _answers(context, setup, reader, items)
    store.describe({"checkpoint_name": context.spec.subject, **settings})

    submitted = submissions.write(context.out, reader, store, index, unreadable)
    readable = {
        name: [item for item in group if item.name in index[item.source]] for name, group in items.items()
    }
    scored = _scores(setup, reader, readable, index, context.spec.subject)
    marked = marking.mark(
        {name: in_order(parts, readable[name]) for name, parts in scored.items()},
        marking.texts_of(config.benchmarks, reader, store, readable, index),
        config.judge,
        storage_root(context.plan),
        marking.read_instructions(_judge_file(context, "instructions")),
        context.spec.subject,
    )
    scores = marked.scores
    answers = {
        name: digest([store.identity, [item.name for item in group]]) for name, group in readable.items()
    }
    scored_as = {
        b.entry: digest([answers[b.entry], data.record.digest, plain(b), *marked.identity(b.entry)])
        for b in config.benchmarks
    }
    asked = {b.entry: how_asked(b, config, checkpoint.sizes) for b in config.benchmarks}
    found = unscored_rows(
        metric_rows(config.benchmarks, scores, asked, scored_as, marked.judged_by),
        {name: scores[name] for name in submitted},
    )
    counts = summary(config.benchmarks, scores, prepared, unreadable, answers, scored_as)
    counts = {name: entry | submitted.get(name, {}) for name, entry in counts.items()}
    made_from = {"checkpoint": checkpoint.digest, "dataset": data.record.digest}
    write_scores(context.out, scores)
    write_metrics(context.out, found, counts, made_from, store)
    marking.write(context.out, marked, _judge_file(context, "reference"))
    listed = [{"benchmark": name, **asdict(one)} for name, group in unreadable.items() for one in group]
    (context.out / UNREADABLE).write_text(json.dumps(listed, indent=1, ensure_ascii=False) + "\n")
    log_metrics(context, config, found)
    log_examples(context, config, reader, store, readable, index, scores)
    contents = {name: [part.answers for part in parts] for name, parts in scored.items()}
    identity = digest({"answers": contents, "metrics": found, "benchmarks": counts})
    failed = sum(s.failure is not None for group in scores.values() for s in group)
    return StepResult(
        identity,
        {
            "samples": sum(map(len, items.values())),
            "failures": failed,
            "unreadable": len(listed),
            "unjudged": marked.unjudged,
            "benchmarks": counts,
        },
    )


def report(context: StepContext) -> StepResult:
    """Table and page over every evaluated checkpoint."""
    from evaluation.report.build import build

    return build(context)


def answer_settings(config: EvaluationConfig, checkpoint: str, reader: ShardReader) -> dict[str, Any]:
    """What every answer of a checkpoint depends on. ``checkpoint`` is the digest of its weights.

    A GPU computes in bfloat16 and a CPU in float32, and baked frames may be smaller than the video's.
    """
    return {
        "checkpoint": checkpoint,
        "max_new_tokens": config.max_new_tokens,
        "seg_state": config.seg_state,
        "prompted_frames": config.prompted_frames,
        "device": device_of(config),
        "baked_frames": plain(reader.manifest.bake),
    }


def _answers(
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


def _scores(
    setup: Setup,
    reader: ShardReader,
    items: Mapping[str, Sequence[Item]],
    index: Index,
    subject: str,
) -> dict[str, list[SliceScores]]:
    """Scores by entry, in the order of the samples."""
    parts = [
        part
        for name, group in items.items()
        for part in slices(setup.entries[name], group, [index[i.source][i.name] for i in group])
    ]
    with progress.track(f"score {subject}", sum(len(part.items) for part in parts)) as bar:
        made = score_slices(reader, setup.store, parts, lambda part: bar.advance(len(part.items)))
    scored: dict[str, list[SliceScores]] = {name: [] for name in items}
    for part, scores in zip(parts, made, strict=True):
        scored[part.config.entry].append(scores)
    return scored


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


def _judge_file(context: StepContext, key: str) -> Location | None:
    """A file that the judge's section of the plan names."""
    judge = context.plan.evaluation.judge if context.plan.evaluation else None
    path = getattr(judge, key, None)
    return context.resolve(path) if path else None


def _refuse_empty(prepared: Mapping[str, SourceEntry]) -> None:
    empty = [source for source, entry in prepared.items() if not entry.kept]
    if empty:
        raise UserError(
            f"benchmark {empty[0]}",
            "has no samples in the prepared dataset.",
            "Look at the source's rejects, or leave the benchmark out of the plan.",
        )
