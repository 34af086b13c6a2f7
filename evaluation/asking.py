"""What the entries of a plan ask: which samples, in which words, and whether their videos exist."""

from __future__ import annotations

from collections.abc import Sequence

from evaluation.benchmarks import benchmark_of
from evaluation.prediction import Unreadable
from evaluation.question import cost, question_digest
from evaluation.submission.hidden import hides_truth
from evaluation.work import Item, choose_samples
from pipeline.collecting import uncollected
from pipeline.dataset.reader import ShardReader
from pipeline.errors import UserError
from pipeline.plan.evaluation import BenchmarkConfig
from pipeline.records.sample import Sample, Task
from pipeline.storage.location import Location


def entry_items(reader: ShardReader, config: BenchmarkConfig, seed: int) -> list[Item]:
    """The questions of one entry, in the order of the dataset. Reads every sample that is asked.

    Raises UserError for a question about time whose answer is hidden: better now than after the asking.
    """
    family = benchmark_of(config.family)
    keys = reader.keys(config.source)
    rows = choose_samples(keys, config.limit, seed, "benchmark")
    with uncollected():
        return [
            Item(
                entry=config.entry,
                source=config.source,
                row=row,
                key=sample.key,
                question=question_digest(sample, family.prompt(sample, config.style)),
                video=sample.video.sha256,
                cost=cost(sample),
                hidden=hides_truth(family, sample),
                sample=None if sample.targets or sample.regions or sample.void else sample,
            )
            for row, sample in zip(rows, reader.samples(config.source, rows), strict=True)
            if _can_be_scored(config, sample)
        ]


def _can_be_scored(config: BenchmarkConfig, sample: Sample) -> bool:
    """True. Raises UserError for a question about time without a true span."""
    if sample.task is Task.TEMPORAL and not sample.spans:
        raise UserError(
            f"benchmark {config.entry}",
            f"{sample.key} has no true span, so its answer cannot be scored.",
            "Take a set whose spans are published; those of a test set are often only on a server.",
        )
    return True


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
