"""What the entries of a plan ask: which samples, in which words, and whether their videos exist."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from evaluation.benchmarks import benchmark_of
from evaluation.benchmarks.base import Benchmark
from evaluation.prediction import Unreadable
from evaluation.question import cost, question_digest
from evaluation.submission.hidden import hides_truth
from evaluation.work import Item, choose_samples
from pipeline.collecting import uncollected
from pipeline.columns import from_columns
from pipeline.dataset.reader import ShardReader
from pipeline.errors import UserError
from pipeline.plan.evaluation import BenchmarkConfig
from pipeline.records.sample import Sample, Task
from pipeline.storage.location import Location

_AT_ONCE = 512  # samples


def entry_items(reader: ShardReader, config: BenchmarkConfig, seed: int) -> list[Item]:
    """The questions of one entry, in the order of the dataset. Reads every sample that is asked.

    Raises UserError for a question about time whose answer is hidden: better now than after the asking.
    """
    family = benchmark_of(config.family)
    keys = reader.keys(config.source)
    rows = choose_samples(keys, config.limit, seed, "benchmark")
    samples, items = reader.samples(config.source, rows), list[Item]()
    with uncollected():
        for at in range(0, len(rows), _AT_ONCE):  # samples with masks are large, and are not kept
            items += _items(config, family, rows[at : at + _AT_ONCE], list(islice(samples, _AT_ONCE)))
    return items


def _items(
    config: BenchmarkConfig, family: Benchmark, rows: Sequence[int], samples: Sequence[Sample]
) -> list[Item]:
    for sample in samples:
        _refuse_hidden_span(config, sample)
    return from_columns(
        Item,
        len(rows),
        entry=[config.entry] * len(rows),
        source=[config.source] * len(rows),
        row=rows,
        key=[sample.key for sample in samples],
        question=[question_digest(sample, family.prompt(sample, config.style)) for sample in samples],
        video=[sample.video.sha256 for sample in samples],
        cost=list(map(cost, samples)),
        hidden=[hides_truth(family, sample) for sample in samples],
        sample=[None if sample.targets or sample.regions or sample.void else sample for sample in samples],
    )


def _refuse_hidden_span(config: BenchmarkConfig, sample: Sample) -> None:
    """Raise UserError for a question about time without a true span."""
    if sample.task is Task.TEMPORAL and not sample.spans:
        raise UserError(
            f"benchmark {config.entry}",
            f"{sample.key} has no true span, so its answer cannot be scored.",
            "Take a set whose spans are published; those of a test set are often only on a server.",
        )


def missing_videos(reader: ShardReader, items: Sequence[Item]) -> dict[tuple[str, str], Unreadable]:
    """The samples whose video is not where the dataset says, by (source, key). Folders are listed once.

    Videos whose frames were baked into the dataset are not needed.
    """
    if reader.manifest.bake is not None:
        return {}
    gone = {}
    for source in dict.fromkeys(item.source for item in items):
        rows = list(dict.fromkeys(item.row for item in items if item.source == source))
        samples = list(reader.samples(source, rows))
        names = {s.key: "/".join([s.video.path, *s.video.frames[:1]]) for s in samples}
        roots = reader.roots(source)
        there = {name for root in roots for name in _present(root, set(names.values()))}
        for sample in samples:
            if names[sample.key] not in there:
                gone[source, sample.key] = Unreadable(
                    key=sample.key,
                    source=source,
                    video=sample.video.path,
                    reason=f"is in none of {', '.join(root.uri for root in roots)}",
                )
    return gone


def _present(root: Location, names: set[str]) -> set[str]:
    if not root.is_local:
        return set(root.stats(names))
    return {name for name in names if root.join(name).exists()}
