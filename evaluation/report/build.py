"""The report step: gathers the results of evaluations and training runs, and writes table and page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from evaluation.answer_store import AnswerStore, Stored
from evaluation.asking import entry_items
from evaluation.benchmarks import benchmark_of
from evaluation.compare.side import Side, read_side
from evaluation.report.bars import charts_of
from evaluation.report.comparison import comparisons
from evaluation.report.examples import Example, Given, example, pick
from evaluation.report.page import Page, Section, Stage, render
from evaluation.report.paper_tables import Entry, paper_tables
from evaluation.report.paper_text import latex, markdown
from evaluation.report.table import checkpoint_label, make_table, table_text, text_table
from evaluation.scores import METRICS, read_metrics
from evaluation.scoring import scored_prediction
from evaluation.work import Item
from pipeline import progress
from pipeline.artifacts.curves import CURVES, by_metric, read_curves
from pipeline.artifacts.fingerprint import code_version
from pipeline.artifacts.inputs import storage_root
from pipeline.artifacts.record import Artifact
from pipeline.artifacts.steps import evaluate_name
from pipeline.canonical import digest
from pipeline.dataset.reader import ShardReader
from pipeline.jobs.logged_values import metric_name, plan_text
from pipeline.jobs.mlflow_store import history
from pipeline.jobs.step import StepContext, StepResult
from pipeline.plan.data import RegionMode
from pipeline.plan.evaluation import BenchmarkConfig, EvaluationConfig, Every
from pipeline.plan.plan import Plan
from pipeline.storage.credentials import without_credentials

TABLE_TEXT, TABLE_JSON, PAGE = "table.txt", "table.json", "report.html"
TABLE_MARKDOWN, TABLE_LATEX = "table.md", "table.tex"


def build(context: StepContext) -> StepResult:
    """``table.txt`` and ``.json``, the paper's tables with ours (``table.md``, ``.tex``), ``report.html``."""
    config = context.plan.evaluation
    assert config is not None, "the plan has a report step only if it has an evaluation section"
    evaluated = {cp: context.inputs[evaluate_name(cp)] for cp in config.checkpoints}
    found, counts = {}, {}
    for cp, artifact in evaluated.items():
        found[cp], counts[cp] = read_metrics(artifact.location)
    table = make_table(config.checkpoints, found, config.benchmarks, counts[config.checkpoints[0]])
    text = table_text(table)
    (context.out / TABLE_TEXT).write_text(text)
    content = {**table.content(), "text": asdict(text_table(table))}
    (context.out / TABLE_JSON).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    paper, besides = paper_tables(table, _entries(context, config))
    (context.out / TABLE_MARKDOWN).write_text(markdown(context.plan.name, paper, besides, table.footnotes))
    (context.out / TABLE_LATEX).write_text(latex(paper))
    sides = {checkpoint_label(cp): read_side(artifact.location.uri) for cp, artifact in evaluated.items()}
    page = Page(
        title=context.plan.name,
        table=table,
        stages=tuple(_stage(context, stage.name) for stage in context.plan.stages),
        charts=charts_of(table, sides),
        comparisons=comparisons(sides),
        sections=_sections(context, config, evaluated, sides),
        provenance=_provenance(context, evaluated),
        plan=plan_text(context.plan),
    )
    (context.out / PAGE).write_text(render(page))
    context.tracker.log_plan_metrics(
        {
            metric_name(cp.rstrip("/").rpartition("/")[2], row.benchmark, row.metric): row.value
            for cp, rows in found.items()
            for row in rows
            if row.main and not row.category and row.value is not None
        }
    )
    lines = sum(line.headline for line in table.lines)
    return StepResult(digest(table.content()), {"lines": lines, "table": text, "page": PAGE})


def _entries(context: StepContext, config: EvaluationConfig) -> list[Entry]:
    modes = {source.name: source.region_mode for source in context.plan.data.sources}
    return [
        Entry(
            name=b.entry,
            family=str(b.family),
            style=str(b.style),
            mode="single" if modes.get(b.source) is RegionMode.SINGLE else "multi",
        )
        for b in config.benchmarks
    ]


def _stage(context: StepContext, name: str) -> Stage:
    artifact = context.inputs[name]
    label = checkpoint_label(name).removeprefix("after ")
    return Stage(name=name, label=label, history=_history(context.plan, artifact))


def _history(plan: Plan, stage: Artifact) -> dict[str, list[tuple[int, float]]]:
    """The curves of a stage, from its artifact; those of older versions are in MLflow alone."""
    place = stage.location / CURVES
    if place.exists():
        return by_metric(read_curves(place))
    try:
        return history(plan, stage.record.fingerprint)
    except Exception as error:
        print(
            f"Note: the page has no curves of {stage.record.step}: they are in MLflow alone, which fails "
            f"({type(error).__name__}: {without_credentials(str(error))[:200]}).",
            flush=True,
        )
        return {}


def _sections(
    context: StepContext,
    config: EvaluationConfig,
    evaluated: Mapping[str, Artifact],
    sides: Mapping[str, Side],
) -> tuple[Section, ...]:
    verify = context.plan.storage.verify_videos
    reader = ShardReader(context.inputs["prepare"].location, verify=verify)
    chosen = {b.entry: _chosen(context, config, b, reader) for b in config.benchmarks}
    sections = []
    with progress.track("draw samples", sum(map(len, chosen.values()))) as bar:
        for benchmark in config.benchmarks:
            items, examples = chosen[benchmark.entry], list[Example]()
            given = _given(context, benchmark, items, evaluated, sides)
            samples = reader.samples(benchmark.source, [item.row for item in items])
            for sample in samples:
                answers = {label: found[sample.key] for label, found in given.items() if sample.key in found}
                answers = {
                    label: replace(one, prediction=scored_prediction(one.prediction, sample, benchmark))
                    for label, one in answers.items()
                }
                examples.append(example(reader, benchmark, sample, answers))
                bar.advance()
            sections.append(Section(name=benchmark.entry, examples=tuple(examples)))
    return tuple(sections)


def _chosen(
    context: StepContext, config: EvaluationConfig, benchmark: BenchmarkConfig, reader: ShardReader
) -> list[Item]:
    """The samples of an entry that the page shows, in its order."""
    items = entry_items(reader, benchmark, context.seed)
    categories = reader.columns(benchmark.source, ["category"])["category"].to_pylist()
    wanted = pick(
        [item.key for item in items],
        [categories[item.row] for item in items],
        None if config.report_samples is Every.ALL else config.report_samples,
        context.seed,
        each=benchmark_of(benchmark.family).tasks,
    )
    return [items[i] for i in wanted]


def _given(
    context: StepContext,
    benchmark: BenchmarkConfig,
    items: Sequence[Item],
    evaluated: Mapping[str, Artifact],
    sides: Mapping[str, Side],
) -> dict[str, dict[str, Given]]:
    """The stored answers to these samples with their scores, by checkpoint's label and sample's key."""
    out = {}
    for cp, artifact in evaluated.items():
        store, index = _answers(context, artifact, benchmark.source)
        there = sorted((item for item in items if item.name in index), key=lambda item: index[item.name][:2])
        made = store.read(benchmark.source, [index[item.name] for item in there])  # each part is read once
        scores = sides[checkpoint_label(cp)].scores.get(benchmark.entry, {})
        out[checkpoint_label(cp)] = {
            item.key: Given(prediction=one, score=scores.get(item.key))
            for item, one in zip(there, made, strict=True)
        }
    return out


def _answers(
    context: StepContext, artifact: Artifact, source: str
) -> tuple[AnswerStore, dict[tuple[str, str], Stored]]:
    """The store of a checkpoint's answers, and where each answer of a source is."""
    content: dict[str, Any] = json.loads((artifact.location / METRICS).read_bytes())
    store = AnswerStore.of(storage_root(context.plan), content["answer_store"])
    return store, store.index(source)[0]


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
