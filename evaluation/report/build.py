"""The report step: gathers what the evaluations and the training runs left, and writes table and page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from evaluation.benchmarks import benchmark_of
from evaluation.prediction import Prediction
from evaluation.prediction_store import PredictionStore
from evaluation.report.examples import Example, example, pick
from evaluation.report.page import Page, Section, Stage, render
from evaluation.report.table import checkpoint_label, make_table, table_text
from evaluation.scores import read_metrics
from evaluation.work import chunks
from pipeline import progress
from pipeline.artifacts.fingerprint import code_version
from pipeline.artifacts.record import Artifact
from pipeline.artifacts.steps import evaluate_name
from pipeline.canonical import digest
from pipeline.dataset.reader import ShardReader
from pipeline.jobs import tracking
from pipeline.jobs.step import StepContext, StepResult
from pipeline.plan.evaluation import BenchmarkConfig, EvaluationConfig

TABLE_TEXT, TABLE_JSON, PAGE = "table.txt", "table.json", "report.html"


def build(context: StepContext) -> StepResult:
    """``table.txt``, ``table.json`` and ``report.html``."""
    config = context.plan.evaluation
    assert config is not None, "the plan has a report step only if it has an evaluation section"
    evaluated = {cp: context.inputs[evaluate_name(cp)] for cp in config.checkpoints}
    found, counts = {}, {}
    for cp, artifact in evaluated.items():
        found[cp], counts[cp] = read_metrics(artifact.location)
    table = make_table(config.checkpoints, found, config.benchmarks, counts[config.checkpoints[0]])
    text = table_text(table)
    (context.out / TABLE_TEXT).write_text(text)
    (context.out / TABLE_JSON).write_text(json.dumps(table.content(), indent=1, ensure_ascii=False) + "\n")
    page = Page(
        title=context.plan.name,
        table=table,
        stages=tuple(_stage(context, stage.name) for stage in context.plan.stages),
        sections=_sections(context, config, evaluated),
        provenance=_provenance(context, evaluated),
        plan=tracking.plan_text(context.plan),
    )
    (context.out / PAGE).write_text(render(page))
    with context.tracker as run:
        for name in (TABLE_TEXT, TABLE_JSON, PAGE):
            copy = context.scratch / name
            copy.write_bytes((context.out / name).read_bytes())
            run.log_artifact(copy)
    lines = sum(line.headline for line in table.lines)
    return StepResult(digest(table.content()), {"lines": lines, "table": text, "page": PAGE})


def _stage(context: StepContext, name: str) -> Stage:
    artifact = context.inputs[name]
    history = tracking.history(context.plan, artifact.record.fingerprint)
    return Stage(name=name, label=checkpoint_label(name).removeprefix("after "), history=history)


def _sections(
    context: StepContext, config: EvaluationConfig, evaluated: Mapping[str, Artifact]
) -> tuple[Section, ...]:
    verify = context.plan.storage.verify_videos
    reader = ShardReader(context.inputs["prepare"].location, verify=verify)
    sections = []
    with progress.track("draw examples", len(config.benchmarks)) as bar:
        for benchmark in config.benchmarks:
            examples = _examples(context, config, benchmark, reader, evaluated)
            sections.append(Section(name=benchmark.source, examples=tuple(examples)))
            bar.advance()
    return tuple(sections)


def _examples(
    context: StepContext,
    config: EvaluationConfig,
    benchmark: BenchmarkConfig,
    reader: ShardReader,
    evaluated: Mapping[str, Artifact],
) -> list[Example]:
    source = benchmark.source
    parts = chunks(source, reader.keys(source), benchmark.limit, context.seed)
    rows = [row for part in parts for row in part.rows]
    keys = [key for part in parts for key in part.keys]
    place = {key: part.number for part in parts for key in part.keys}
    categories = reader.columns(source, ["category"])["category"].to_pylist()
    each = benchmark_of(benchmark.family).tasks
    chosen = pick(keys, [categories[row] for row in rows], config.report_samples, context.seed, each=each)
    drawn = []
    for i in chosen:
        sample = reader.sample(source, rows[i])
        answers = {
            checkpoint_label(cp): _prediction(artifact, context, source, place[sample.key], sample.key)
            for cp, artifact in evaluated.items()
        }
        drawn.append(example(reader, benchmark, sample, answers))
    return drawn


def _prediction(artifact: Artifact, context: StepContext, source: str, part: int, key: str) -> Prediction:
    stamp = PredictionStore.stamp_of(
        checkpoint=_checkpoint_digest(artifact),
        dataset=context.inputs["prepare"].record.digest,
        fingerprint=artifact.record.fingerprint,
    )
    store = PredictionStore(artifact.location / "predictions", stamp)
    return next(p for p in store.read(source, part) if p.key == key)


def _checkpoint_digest(artifact: Artifact) -> str:
    content: dict[str, Any] = json.loads((artifact.location / "metrics.json").read_bytes())
    return content["made_from"]["checkpoint"]


def _provenance(context: StepContext, evaluated: Mapping[str, Artifact]) -> tuple[tuple[str, str], ...]:
    data = context.inputs["prepare"]
    rows = [
        ("plan", context.plan.name),
        ("seed", str(context.seed)),
        ("code", code_version().short),
        ("dataset", data.record.digest),
    ]
    for stage in context.plan.stages:
        rows.append((f"checkpoint of {stage.name}", context.inputs[stage.name].record.digest))
    for cp, artifact in evaluated.items():
        rows.append((f"evaluation of {cp.rstrip('/').rpartition('/')[2]}", artifact.record.digest))
    return tuple(rows)
