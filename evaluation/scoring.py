"""Scores of stored answers. Needs no model, no GPU and no Ray; many masks are distributed over processes."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace

import orjson

from evaluation.answer_store import AnswerStore, Stored
from evaluation.benchmarks import benchmark_of
from evaluation.benchmarks.groups import Groups, gather
from evaluation.metrics.aggregate import Score
from evaluation.prediction import Prediction
from evaluation.spans import SpanRules
from evaluation.submission.hidden import unscored
from evaluation.work import Item
from pipeline.canonical import canonical
from pipeline.collecting import uncollected
from pipeline.dataset.reader import ShardReader
from pipeline.plan.evaluation import BenchmarkConfig
from pipeline.records.sample import Sample

SLICE_SAMPLES = 256  # scored by one call
# With at least so many frames in the samples with masks, starting processes is worth while. Other samples
# take less time than handing them to a process and their scores back.
PARALLEL_COST = 20_000


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
    """A prediction as its benchmark judges it: with the times in its text if the benchmark asks for times."""
    rules = span_rules(config)
    return prediction if rules is None else prediction.with_times(sample, rules)


def span_rules(config: BenchmarkConfig) -> SpanRules | None:
    """How the times in the answers of an entry are read; None if its benchmark asks for none."""
    if not benchmark_of(config.family).times:
        return None
    return SpanRules(bare=config.bare_times, outside=config.outside_times)


def slices(config: BenchmarkConfig, items: Sequence[Item], stored: Sequence[Stored]) -> Iterator[Slice]:
    """The slices of one entry. Samples that are scored together are in one."""
    number, taken = 0, list[int]()
    whole = gather([item.key for item in items], benchmark_of(config.family).groups)
    for n, group in enumerate(whole, 1):
        taken += group
        if len(taken) >= SLICE_SAMPLES or n == len(whole):
            own, places = tuple(items[k] for k in taken), tuple(stored[k] for k in taken)
            yield Slice(number=number, config=config, items=own, stored=places)
            number, taken = number + 1, []


def score_slice(reader: ShardReader, store: AnswerStore, part: Slice) -> SliceScores:
    """Score a slice from the store and the dataset; nothing else is read."""
    source = part.config.source
    order = sorted(range(len(part.items)), key=lambda n: part.stored[n][:2])  # each part is read once
    predictions = dict(zip(order, store.read(source, [part.stored[n] for n in order]), strict=True))
    sha = hashlib.sha256()
    for n in range(len(part.items)):
        made = predictions[n]
        masks = canonical(made.masks) if made.masks else b""
        sha.update(orjson.dumps([made.key, made.text, made.failure]) + masks + b"\n")
    made_by_row = {item.row: predictions[n] for n, item in enumerate(part.items)}
    groups = benchmark_of(part.config.family).groups
    if groups is None or any(item.hidden for item in part.items):
        scores = _one_by_one(reader, part, made_by_row)
    else:
        scores = _by_group(reader, part, made_by_row, groups)
    return SliceScores(scores=tuple(scores), answers=sha.hexdigest())


def in_order(parts: Sequence[SliceScores], items: Sequence[Item]) -> list[Score]:
    """The scores of an entry in the order of its items."""
    by_key = {score.key: score for part in parts for score in part.scores}
    return [by_key[item.key] for item in items]


def _one_by_one(reader: ShardReader, part: Slice, made: Mapping[int, Prediction]) -> list[Score]:
    judge, rules, scores = benchmark_of(part.config.family).score, span_rules(part.config), []
    unread = [item.row for item in part.items if item.sample is None]
    samples = reader.samples(part.config.source, unread)
    for item in part.items:
        sample = next(samples) if item.sample is None else item.sample
        score = unscored if item.hidden else judge
        prediction = made[item.row] if rules is None else made[item.row].with_times(sample, rules)
        scored = score(sample, prediction)
        scores.append(scored if scored.video else replace(scored, video=sample.video.sha256))
    return scores


def _by_group(
    reader: ShardReader, part: Slice, made: Mapping[int, Prediction], groups: Groups
) -> list[Score]:
    """Groups with all their samples in the dataset: those that were not asked contribute their truth."""
    source, scores = part.config.source, list[Score]()
    wanted = {groups.of(item.key) for item in part.items}
    keys = reader.keys(source)
    for rows in gather(keys, groups):
        if groups.of(keys[rows[0]]) not in wanted:
            continue
        samples = list(reader.samples(source, rows))
        predictions = [
            scored_prediction(made[row], sample, part.config) if row in made else None
            for row, sample in zip(rows, samples, strict=True)
        ]
        digests = {sample.key: sample.video.sha256 for sample in samples}
        for scored in groups.score(samples, predictions):
            scores.append(scored if scored.video else replace(scored, video=digests[scored.key]))
    return scores


def score_slices(
    reader: ShardReader,
    store: AnswerStore,
    parts: Sequence[Slice],
    done: Callable[[Slice], object] = lambda part: None,
) -> list[SliceScores]:
    """The scores of every slice, in order; in several processes where there is much to compute."""
    processes = min(len(os.sched_getaffinity(0)), len(parts))
    cost = sum(item.cost for part in parts for item in part.items if item.sample is None)
    if processes < 2 or cost < PARALLEL_COST:
        out = []
        with uncollected():
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
