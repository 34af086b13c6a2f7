"""Where one worker's metrics and states go: to Ray Train and the driver, or to a local folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

from pipeline.artifacts.curves import CurveRow
from training.stage.saved_state import Opened, newest_whole, seal


class Reporter(Protocol):
    """What the training loop needs from its environment."""

    def resume(self) -> Any:
        """Context manager: the folder of the newest state, or None."""

    def save(self, step: int, folder: Path) -> None:
        """Keep this worker's state folder; every worker calls it at the same step. The folder is consumed."""

    def row(self, row: CurveRow) -> None:
        """Metrics of a step; worker 0 only."""

    def earlier_rows(self, rows: Sequence[CurveRow]) -> None:
        """Metrics of steps that were reported before the training stopped; worker 0 only."""

    def quarantine(self, rows: list[dict[str, Any]]) -> None:
        """Rows for the quarantine table."""

    def note(self, text: str) -> None:
        """A line for the log; called from several threads."""


class RayReporter:
    """Inside a Ray Train worker. ``mailbox`` is the actor that the driver reads (``stage.driver``)."""

    def __init__(self, mailbox: Any) -> None:
        self._mailbox = mailbox

    @contextmanager
    def resume(self) -> Iterator[Path | None]:
        """The newest state that is not damaged."""
        import ray.train

        place = ray.train.get_context()
        rank, world = place.get_world_rank(), place.get_world_size()
        reported = [one.checkpoint for one in ray.train.get_all_reported_checkpoints()]
        states = [(one.path, one.as_directory) for one in reversed(reported)]
        with newest_whole(states, rank, world, self.note) as folder:
            yield folder

    def save(self, step: int, folder: Path) -> None:
        """Pass the folder to Ray Train, which merges all workers' folders in the run's storage."""
        import ray.train

        place = ray.train.get_context()
        seal(folder, place.get_world_rank(), place.get_world_size())
        ray.train.report({"step": step}, checkpoint=ray.train.Checkpoint.from_directory(str(folder)))
        shutil.rmtree(folder, ignore_errors=True)

    def row(self, row: CurveRow) -> None:
        """Send without waiting."""
        self._mailbox.put.remote("row", row)

    def earlier_rows(self, rows: Sequence[CurveRow]) -> None:
        """Send without waiting."""
        self._mailbox.put.remote("earlier rows", list(rows))

    def quarantine(self, rows: list[dict[str, Any]]) -> None:
        """Send without waiting."""
        self._mailbox.put.remote("quarantined", rows)

    def note(self, text: str) -> None:
        """Send without waiting."""
        self._mailbox.put.remote("note", text)


class LocalReporter:
    """One worker in this process, for tests and experiments. States go to ``folder``; rows stay in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: dict[int, dict[str, float]] = {}
        self.earlier: list[CurveRow] = []
        self.quarantined: list[dict[str, Any]] = []

    @contextmanager
    def resume(self) -> Iterator[Path | None]:
        """The newest state below the folder that is not damaged."""
        found = sorted(self.folder.glob("step-*"), reverse=True) if self.folder.is_dir() else []
        with newest_whole([(one.name, _in_place(one)) for one in found], 0, 1, print) as folder:
            yield folder

    def save(self, step: int, folder: Path) -> None:
        """Move the state below the folder."""
        seal(folder, rank=0, workers=1)
        self.folder.mkdir(parents=True, exist_ok=True)
        shutil.move(str(folder), str(self.folder / f"step-{step:08d}"))

    def row(self, row: CurveRow) -> None:
        """Keep the row."""
        self.rows[row.step] = dict(row.values)

    def earlier_rows(self, rows: Sequence[CurveRow]) -> None:
        """Keep them apart."""
        self.earlier = list(rows)

    def quarantine(self, rows: list[dict[str, Any]]) -> None:
        """Keep them."""
        self.quarantined += rows

    def note(self, text: str) -> None:
        """Print it."""
        print(text, flush=True)


def _in_place(folder: Path) -> Opened:
    return lambda: nullcontext(folder)
