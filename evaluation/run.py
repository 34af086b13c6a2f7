"""The two steps of evaluation, top to bottom: score one checkpoint, and report on all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from evaluation.answer_store import AnswerStore
from evaluation.answering import Index, answer_all
from evaluation.asking import entry_items
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
from evaluation.work import Item
from pipeline import progress
from pipeline.artifacts.inputs import storage_root
from pipeline.canonical import digest, plain
from pipeline.dataset.manifest import SourceEntry
from pipeline.dataset.reader import ShardReader
from pipeline.errors import UserError
from pipeline.jobs.step import StepContext, StepResult
from pipeline.plan.evaluation import EvaluationConfig
from pipeline.storage.location import Location


@dataclass(frozen=True, kw_only=True)
class _Answers:
    """The questions of every entry, and where their answers are."""

    setup: Setup
    reader: ShardReader
    items: Mapping[str, Sequence[Item]]  # by entry
    index: Index
    unreadable: Mapping[str, Sequence[Unreadable]]  # by entry
    submitted: Mapping[str, Mapping[str, Any]]  # by entry whose truth is hidden: the archive for its server

    @cached_property
    def readable(self) -> dict[str, list[Item]]:
        """The questions that have an answer, by entry."""
        return {
            name: [item for item in group if item.name in self.index[item.source]]
            for name, group in self.items.items()
        }


def evaluate(context: StepContext) -> StepResult:
    """Ask what is not answered yet, then score the stored answers.

    Answers are kept below the storage root, apart from this step's folder: see ``AnswerStore``.
    """
    answers = _ask_all(context)
    scored = _scores(answers, context.spec.subject)
    marked = _marks(context, answers, scored)
    return _write(context, answers, scored, marked)


def _ask_all(context: StepContext) -> _Answers:
    config, data = context.plan.evaluation, context.inputs["prepare"]
    assert config is not None, "the plan has an evaluate step only if it has an evaluation section"
    checkpoint = ScoredCheckpoint.at(context)
    reader = ShardReader(data.location, verify=context.plan.storage.verify_videos)
    _refuse_empty({b.source: reader.manifest.source(b.source) for b in config.benchmarks})
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
    index, unreadable = answer_all(context, setup, reader, items)
    store.describe({"checkpoint_name": context.spec.subject, **settings})
    return _Answers(
        setup=setup,
        reader=reader,
        items=items,
        index=index,
        unreadable=unreadable,
        submitted=submissions.write(context.out, reader, store, index, unreadable),
    )


def _marks(
    context: StepContext, answers: _Answers, scored: Mapping[str, Sequence[SliceScores]]
) -> marking.Marked:
    """Scores by entry in the order of the samples, with the marks of the plan's judge."""
    config, readable = answers.setup.config, answers.readable
    return marking.mark(
        {name: in_order(parts, readable[name]) for name, parts in scored.items()},
        marking.texts_of(config.benchmarks, answers.reader, answers.setup.store, readable, answers.index),
        config.judge,
        storage_root(context.plan),
        marking.read_instructions(_judge_file(context, "instructions")),
        context.spec.subject,
    )


def _write(
    context: StepContext,
    answers: _Answers,
    scored: Mapping[str, Sequence[SliceScores]],
    marked: marking.Marked,
) -> StepResult:
    """The files of the artifact, what MLflow is told, and the counts of the record."""
    setup, store, scores = answers.setup, answers.setup.store, marked.scores
    config, dataset = setup.config, context.inputs["prepare"].record.digest
    answered = {
        name: digest([store.identity, [item.name for item in group]])
        for name, group in answers.readable.items()
    }
    scored_as = {
        b.entry: digest([answered[b.entry], dataset, plain(b), *marked.identity(b.entry)])
        for b in config.benchmarks
    }
    asked = {b.entry: how_asked(b, config, setup.checkpoint.sizes) for b in config.benchmarks}
    found = unscored_rows(
        metric_rows(config.benchmarks, scores, asked, scored_as, marked.judged_by),
        {name: scores[name] for name in answers.submitted},
    )
    prepared = {b.source: answers.reader.manifest.source(b.source) for b in config.benchmarks}
    counts = summary(config.benchmarks, scores, prepared, answers.unreadable, answered, scored_as)
    counts = {name: entry | answers.submitted.get(name, {}) for name, entry in counts.items()}
    unreadable = [
        {"benchmark": name, **asdict(one)} for name, group in answers.unreadable.items() for one in group
    ]
    write_scores(context.out, scores)
    write_metrics(
        context.out, found, counts, {"checkpoint": setup.checkpoint.digest, "dataset": dataset}, store
    )
    marking.write(context.out, marked, _judge_file(context, "reference"))
    (context.out / UNREADABLE).write_text(json.dumps(unreadable, indent=1, ensure_ascii=False) + "\n")
    log_metrics(context, config, found, setup.checkpoint)
    log_examples(context, config, answers.reader, store, answers.readable, answers.index, scores)
    contents = {name: [part.answers for part in parts] for name, parts in scored.items()}
    return StepResult(
        digest({"answers": contents, "metrics": found, "benchmarks": counts}),
        {
            "samples": sum(map(len, answers.items.values())),
            "failures": sum(s.failure is not None for group in scores.values() for s in group),
            "unreadable": len(unreadable),
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


def _scores(answers: _Answers, subject: str) -> dict[str, list[SliceScores]]:
    """Scores by entry, in slices."""
    setup, items = answers.setup, answers.readable
    parts = [
        part
        for name, group in items.items()
        for part in slices(setup.entries[name], group, [answers.index[i.source][i.name] for i in group])
    ]
    with progress.track(f"score {subject}", sum(len(part.items) for part in parts)) as bar:
        made = score_slices(answers.reader, setup.store, parts, lambda part: bar.advance(len(part.items)))
    scored: dict[str, list[SliceScores]] = {name: [] for name in items}
    for part, scores in zip(parts, made, strict=True):
        scored[part.config.entry].append(scores)
    return scored


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
