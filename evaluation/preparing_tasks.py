"""Questions prepared by Ray tasks on any node, so that machines with GPUs need few CPUs.

A task needs the model's sizes and its tokenizer, which the actor sends, but not the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evaluation.benchmarks import benchmark_of
from evaluation.setup import Setup
from evaluation.work import Item
from pipeline.canonical import digest, plain
from pipeline.dataset.reader import ShardReader
from pipeline.plan.model import ModelConfig

if TYPE_CHECKING:
    from evaluation.preparing import Prepared, Preparer, Request
    from training.model.prompt import PromptCodec

PATIENCE_S = 60.0  # after which an actor prepares a batch itself whose task has not come back
_kept: dict[str, tuple[Setup, ShardReader, Preparer]] = {}  # of one evaluation, by its identity


class PreparingTasks:
    """Prepares batches in tasks of one CPU each; several threads may use it."""

    def __init__(self, setup: Setup, config: ModelConfig, codec: PromptCodec) -> None:
        import ray

        asked = {"questions": plain(setup.config), "seed": setup.seed, "dataset": setup.dataset.uri}
        self._identity = digest({"answers": setup.store.identity, **asked})
        self._shared = ray.put((setup, config, codec))
        # A task of a node that was lost is started again elsewhere.
        self._task = ray.remote(_prepare).options(
            num_cpus=1, max_retries=3, scheduling_strategy="SPREAD", name="prepare questions"
        )

    def prepare(self, items: Sequence[Item]) -> Prepared | None:
        """A batch as model inputs; None if no task came back in time, as where no CPU is free."""
        import ray

        # Within a list a reference is passed as it is: a process fetches what it refers to only once.
        task = self._task.remote(self._identity, [self._shared], tuple(items))
        done, _ = ray.wait([task], timeout=PATIENCE_S)
        if done:
            return ray.get(task)
        ray.cancel(task)
        return None


def requests(setup: Setup, reader: ShardReader, items: Sequence[Item]) -> list[Request]:
    """The samples of some questions, and the words in which each is asked."""
    from evaluation.preparing import Request

    made = []
    for item in items:
        config, sample = setup.entries[item.entry], reader.sample(item.source, item.row)
        turns = benchmark_of(config.family).prompt(sample, config.style)
        made.append(Request(sample=sample, turns=turns))
    return made


def _prepare(identity: str, shared: list[Any], items: tuple[Item, ...]) -> Prepared:
    """The task. A process keeps what it fetched for the next one."""
    if identity not in _kept:
        import ray

        from evaluation.preparing import Preparer

        setup, config, codec = ray.get(shared[0])
        reader = ShardReader(setup.dataset, verify=setup.verify_videos)
        _kept.clear()
        _kept[identity] = setup, reader, Preparer(config, codec, footage=reader.footage, seed=setup.seed)
    setup, reader, preparer = _kept[identity]
    return preparer.prepare(requests(setup, reader, items))
