"""The two steps of evaluation, top to bottom: score one checkpoint, and report on all of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from evaluation.metrics.aggregate import MetricRow, Score
from evaluation.prediction_store import PredictionStore, content_digest
from evaluation.scores import metric_rows, summary, write_metrics, write_scores
from evaluation.work import Chunk, chunks, run_on_actors
from evaluation.worker import ChunkResult, Setup, Worker
from pipeline import progress
from pipeline.canonical import digest, plain
from pipeline.dataset.manifest import SourceEntry
from pipeline.dataset.reader import ShardReader
from pipeline.errors import UserError
from pipeline.jobs import capacity, cluster
from pipeline.jobs.step import StepContext, StepResult
from pipeline.plan.evaluation import EvaluationConfig

PREDICTIONS = "predictions"


def evaluate(context: StepContext) -> StepResult:
    """Chunk by chunk: predictions into the store first, then scores from the store.

    Parts that an interrupted attempt left are kept; they name the checkpoint and the dataset that they were
    made from, so parts of others are made again.
    """
    config, checkpoint, data = context.plan.evaluation, context.checkpoint, context.inputs["prepare"]
    assert config is not None, "the plan has an evaluate step only if it has an evaluation section"
    if checkpoint is None:
        raise UserError(
            context.spec.subject, "holds no checkpoint.", "Name a checkpoint artifact, a stage, or init."
        )
    made_from = {"checkpoint": checkpoint.record.digest, "dataset": data.record.digest}
    stamp = PredictionStore.stamp_of(**made_from, fingerprint=context.fingerprint)
    store = PredictionStore(context.out / PREDICTIONS, stamp)
    setup = Setup(
        config=config,
        checkpoint=checkpoint.location,
        checkpoint_digest=checkpoint.record.digest,
        dataset=data.location,
        store=store,
        seed=context.seed,
        verify_videos=context.plan.storage.verify_videos,
    )
    reader = ShardReader(data.location)
    prepared = {b.source: reader.manifest.source(b.source) for b in config.benchmarks}
    _refuse_empty(prepared)
    parts = [
        c for b in config.benchmarks for c in chunks(b.source, reader.keys(b.source), b.limit, context.seed)
    ]
    for source in prepared:
        store.prune(source, sum(c.source == source for c in parts))

    need = capacity.need_of(context.plan, context.spec)
    assert need is not None
    with cluster.connect(context.plan.ray):
        scores = _scores(setup, parts, need, f"evaluate {context.spec.subject}")

    found = metric_rows(config.benchmarks, scores)
    counts = summary(config.benchmarks, scores, prepared)
    write_scores(context.out, scores)
    write_metrics(context.out, found, counts, made_from)
    with context.tracker as run:
        run.log_dataset("prepare", data.record.digest, data.location.uri, context="evaluation")
        run.set_tag("checkpoint", checkpoint.location.uri)
        run.set_tag("checkpoint.digest", checkpoint.record.digest)
        run.log_params({"evaluation": plain(config)})
        run.log_metrics({metric_name(row): row.value for row in found if row.value is not None}, step=0)
    predicted = content_digest(p for c in parts for p in store.read(c.source, c.number))
    identity = digest({"predictions": predicted, "metrics": found, "benchmarks": counts})
    failed = sum(s.failure is not None for group in scores.values() for s in group)
    return StepResult(
        identity, {"samples": sum(len(c.rows) for c in parts), "failures": failed, "benchmarks": counts}
    )


def report(context: StepContext) -> StepResult:
    """Table and page over every evaluated checkpoint."""
    from evaluation.report.build import build

    return build(context)


def metric_name(row: MetricRow) -> str:
    """A row's name in MLflow, which allows letters, digits and ``_-. /`` only: ``mevis/J_F``."""
    name = "/".join(part for part in (row.benchmark, row.category, row.metric) if part)
    return re.sub(r"[^\w\-. /]", "_", name)


def _scores(setup: Setup, parts: Sequence[Chunk], need: capacity.Need, title: str) -> dict[str, list[Score]]:
    """Scores by source, in the order of the samples. A GPU is asked for only if there is work for it."""
    gpu = setup.config.use_gpu and not all(setup.store.has(c.source, c.number, c.keys) for c in parts)
    found: dict[Chunk, tuple[Score, ...]] = {}
    failures = kept = 0
    with progress.track(title, sum(len(c.rows) for c in parts)) as bar:

        def done(chunk: Chunk, result: ChunkResult) -> None:
            nonlocal failures, kept
            found[chunk] = result.scores
            failures += sum(s.failure is not None for s in result.scores)
            kept += len(result.scores) * result.from_store
            bar.advance(len(result.scores), failures=failures, **({"from_store": kept} if kept else {}))

        run_on_actors(
            parts,
            count=_actors(setup.config, need, gpu),
            spawn=lambda: _spawn(setup, gpu=gpu),
            submit=lambda actor, chunk: actor.evaluate.remote(chunk),
            done=done,
        )
    scores: dict[str, list[Score]] = {}
    for chunk in parts:
        scores.setdefault(chunk.source, []).extend(found[chunk])
    return scores


def _spawn(setup: Setup, *, gpu: bool) -> Any:
    import ray

    actor = ray.remote(Worker).options(num_cpus=setup.config.cpus_per_actor, num_gpus=1 if gpu else 0)
    return actor.remote(setup)


def _actors(config: EvaluationConfig, need: capacity.Need, gpu: bool) -> int:
    """How many actors fit the cluster, at most as many as asked for. Raises UserError if none ever will."""
    need = replace(need, gpus=need.gpus if gpu else 0)
    capacity.refuse_cluster(need)
    fit = need.fits(capacity.node_resources())
    if not fit:  # it grows, and does so when something waits
        print(capacity.waiting_line(need), flush=True)
        return config.actors
    return min(config.actors, fit)


def _refuse_empty(prepared: Mapping[str, SourceEntry]) -> None:
    empty = [source for source, entry in prepared.items() if not entry.kept]
    if empty:
        raise UserError(
            f"benchmark {empty[0]}",
            "has no samples in the prepared dataset.",
            "Look at the source's rejects, or leave the benchmark out of the plan.",
        )
