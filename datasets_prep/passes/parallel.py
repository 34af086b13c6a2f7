"""Parallel work over Ray Data: one row of a dataset is one piece of work; results arrive as they are done."""

from __future__ import annotations

import gc
import logging
import pickle
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from typing import Any, TypeVar

import pyarrow as pa

from pipeline import progress

_PIECES_PER_TASK = 16  # a core waits some tens of milliseconds between two tasks
_BLOCK_BYTES = 16 << 20
_T = TypeVar("_T")


def spread(
    title: str, pieces: Sequence[Any], work: Callable[[Any], pa.Table], total: int | None = None
) -> Iterator[pa.Table]:
    """The rows that ``work`` makes of the pieces, as tables of any size in any order.

    ``work`` gets one piece at a time, on any node of the connected cluster. The progress bar counts rows of
    results, ``total`` in all.
    """
    import ray
    import ray.data

    if not pieces:
        return
    _set_up_ray_data()
    cpus = max(1, int(ray.cluster_resources().get("CPU", 1)))
    per_task = max(1, min(_PIECES_PER_TASK, len(pieces) // (4 * cpus)))

    def one(batch: pa.Table) -> Iterator[pa.Table]:
        for piece in batch["piece"].to_pylist():
            with _no_collection():
                made = work(pickle.loads(piece))
            yield made

    packed = [{"piece": pickle.dumps(piece, protocol=5)} for piece in pieces]
    rows = ray.data.from_items(packed, override_num_blocks=-(-len(pieces) // per_task))
    done = rows.map_batches(one, batch_size=1, batch_format="pyarrow", num_cpus=1)
    with progress.track(title, total) as bar:
        for bundle in done.iter_internal_ref_bundles():
            bar.advance(bundle.num_rows() or 0)
            yield from ray.get(list(bundle.block_refs))


def each(title: str, pieces: Sequence[Any], work: Callable[[Any], Any]) -> Iterator[Any]:
    """The results of ``work`` for few pieces, in any order, while Ray Data starts in the background.

    These are Ray Core tasks: the first dataset takes seconds to set up, which happens while they run.
    """
    import ray

    if not pieces:
        return
    task = ray.remote(num_cpus=1)(work)
    waiting = [task.remote(piece) for piece in pieces]
    start = threading.Thread(target=_start_ray_data, daemon=True)
    start.start()
    try:
        with progress.track(title, len(pieces)) as bar:
            while waiting:
                done, waiting = ray.wait(waiting)
                bar.advance(len(done))
                yield from ray.get(done)
    except KeyboardInterrupt:  # do not wait for the thread
        raise
    except BaseException:
        start.join()
        raise
    start.join()


@contextmanager
def _no_collection() -> Iterator[None]:
    """Switch off garbage collection, which would search thousands of records for cycles in vain."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def rows_apart(table: pa.Table, count: int) -> list[pa.Table]:
    """Pieces of ``count`` rows each. They are copies: a slice would be sent with its whole table."""
    ends = range(0, table.num_rows, count)
    return [table.take(pa.array(range(at, min(at + count, table.num_rows)), pa.int64())) for at in ends]


def share(value: Any, make: Callable[[Any], _T]) -> Callable[[], _T]:
    """A function that returns ``make(value)``; ``work`` may close over it, whatever the value's size.

    The value is sent to each node once, and each process calls ``make`` once.
    """
    import ray

    return partial(_shared, ray.put(value), make)


@lru_cache(maxsize=1)
def _shared(reference: Any, make: Callable[[Any], Any]) -> Any:
    import ray

    return make(ray.get(reference))


def _start_ray_data() -> None:
    """Run a dataset of one row: the first one in a cluster starts actors, which each import Ray Data."""
    import ray.data

    _set_up_ray_data()
    with suppress(Exception):  # the next dataset would raise the same error
        ray.data.from_items([0]).map_batches(lambda batch: batch, num_cpus=1).materialize()


def _set_up_ray_data() -> None:
    import ray.data

    # Ray Data sets up its own loggers on import; its messages about each plan would hide the progress bars.
    for name in ("ray.data", "ray.data._internal"):
        logging.getLogger(name).setLevel(logging.ERROR)
    options: Any = ray.data.DataContext.get_current()
    options.enable_progress_bars = False
    options.print_on_execution_start = False
    options.target_max_block_size = _BLOCK_BYTES
