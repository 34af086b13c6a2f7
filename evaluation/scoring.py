"""Scores of stored answers. Needs no model, no GPU and no Ray; many masks are shared out to processes."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace

import orjson

from evaluation.answer_store import AnswerStore, Stored
from evaluation.benchmarks import benchmark_of
from evaluation.metrics.aggregate import Score
from evaluation.prediction import Prediction
from evaluation.spans import SpanRules
from evaluation.submission.hidden import unscored
from evaluation.work import Item
from pipeline.canonical import canonical
from pipeline.dataset.reader import ShardReader
from pipeline.plan.evaluation import BenchmarkConfig
from pipeline.records.sample import Sample

SLICE_SAMPLES = 256  # scored by one call
PARALLEL_COST = 20_000  # frames of an evaluation from which on starting processes pays


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Some samples of one entry, with the places of their answers."""

    number: int
    config: BenchmarkConfig
    items: tuple[Item, ...]
    stored: tuple[Stored, ...]


@dataclass(frozen=True, kw_only=True)
class SliceScores:
    """Scores in the order of the items, and the digest of what was answered."""

    scores: tuple[Score, ...]
    answers: str


def scored_prediction(prediction: Prediction, sample: Sample, config: BenchmarkConfig) -> Prediction:
    """A prediction as its benchmark judges it: with the times in its text, where times are asked for."""
    if not benchmark_of(config.family).times:
        return prediction
    return prediction.with_times(sample, SpanRules(bare=config.bare_times, outside=config.outside_times))


def slices(config: BenchmarkConfig, items: Sequence[Item], stored: Sequence[Stored]) -> Iterator[Slice]:
    """The slices of one entry."""
    for number, at in enumerate(range(0, len(items), SLICE_SAMPLES)):
        end = at + SLICE_SAMPLES
        yield Slice(number=number, config=config, items=tuple(items[at:end]), stored=tuple(stored[at:end]))


def score_slice(reader: ShardReader, store: AnswerStore, part: Slice) -> SliceScores:
    """Score a slice from the store and the dataset; nothing else is read."""
    judge, source = benchmark_of(part.config.family).score, part.config.source
    order = sorted(range(len(part.items)), key=lambda n: part.stored[n][:2])  # each part is read once
    predictions = dict(zip(order, store.read(source, [part.stored[n] for n in order]), strict=True))
    sha = hashlib.sha256()
    scores = []
    samples = reader.samples(source, [item.row for item in part.items])
    for n, (item, sample) in enumerate(zip(part.items, samples, strict=True)):
        made = predictions[n]
        masks = canonical(made.masks) if made.masks else b""
        sha.update(orjson.dumps([made.key, made.text, made.failure]) + masks + b"\n")
        score = unscored if item.hidden else judge
        scored = score(sample, scored_prediction(made, sample, part.config))
        scores.append(replace(scored, video=scored.video or sample.video.sha256))
    return SliceScores(scores=tuple(scores), answers=sha.hexdigest())


def score_slices(
    reader: ShardReader,
    store: AnswerStore,
    parts: Sequence[Slice],
    done: Callable[[Slice], object] = lambda part: None,
) -> list[SliceScores]:
    """The scores of every slice, in order; in several processes where there is much to compute."""
    processes = min(len(os.sched_getaffinity(0)), len(parts))
    if processes < 2 or sum(item.cost for part in parts for item in part.items) < PARALLEL_COST:
        out = []
        for part in parts:
            out.append(score_slice(reader, store, part))
            done(part)
        return out
    found: dict[int, SliceScores] = {}
    # Spawned, not forked: this process has threads.
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        running = {pool.submit(score_slice, reader, store, part): n for n, part in enumerate(parts)}
        for future in as_completed(running):
            number = running[future]
            found[number] = future.result()
            done(parts[number])
    return [found[n] for n in range(len(parts))]
