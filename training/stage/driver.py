"""The driver's side of a stage: it starts the workers under Ray Train and receives what they report."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pipeline import progress
from pipeline.artifacts.curves import CurveRow
from pipeline.jobs import capacity, cluster
from pipeline.jobs.guard import user_error_in
from pipeline.jobs.tracking import Run
from pipeline.plan.runtime import RayConfig
from training.stage.checkpoint import RUN
from training.stage.unfinished import UnfinishedStage

if TYPE_CHECKING:
    from training.loop.train import Job, WorkerResult

_T = TypeVar("_T")
_POLL_S: Final = 0.25
_LINE_EVERY_S: Final = 30.0
_SHOWN: Final = {
    "loss": "loss/total",
    "text": "loss/text",
    "bce": "loss/bce",
    "dice": "loss/dice",
    "lr": "lr",
    "samples/s": "samples_per_s",
}
"""What the progress bar shows of a step."""


@dataclass(frozen=True)
class TrainingResult:
    """The end of a training: what worker 0 returned, and the metrics of the last step."""

    done: WorkerResult
    last: dict[str, float]


class Mailbox:
    """The actor that holds what workers report until the driver takes it: the one queue between them."""

    def __init__(self) -> None:
        self._items: list[tuple[str, Any]] = []

    def put(self, kind: str, item: Any) -> None:
        """Keep one report: ``row``, ``earlier rows``, ``quarantined``, ``note`` or ``done``."""
        self._items.append((kind, item))

    def take(self) -> list[tuple[str, Any]]:
        """All that has come in since the last call, in its order."""
        items, self._items = self._items, []
        return items


class Driver:
    """Passes on what has been reported: rows to MLflow and the bar, samples to the quarantine table."""

    def __init__(self, run: Run, unfinished: UnfinishedStage, bar: progress.Track | None = None) -> None:
        self._run, self._unfinished, self._bar = run, unfinished, bar
        self.last: dict[str, float] = {}
        self.done: WorkerResult | None = None

    def receive(self, kind: str, item: Any) -> None:
        """One report."""
        match kind:
            case "row":
                self._log(item)
                self.last = dict(item.values)
                if self._bar is not None:
                    self._bar.update(item.step + 1, **_shown(item.values))
            case "earlier rows":
                for row in item:
                    self._log(row)
            case "quarantined":
                self._unfinished.quarantine(item)
            case "note":
                print(item, flush=True)
            case "done":
                self.done = item
            case _:
                raise AssertionError(kind)

    def _log(self, row: CurveRow) -> None:
        self._run.log_metrics(row.values, row.step, at=row.at, once=True)

    @property
    def trained(self) -> TrainingResult:
        """The result, once the workers have finished."""
        assert self.done is not None, "Ray Train ended without an error, but no worker reported the end"
        return TrainingResult(self.done, self.last)


def train_on_ray(
    job: Job, ray_config: RayConfig, need: capacity.Need, total: int, run: Run, unfinished: UnfinishedStage
) -> TrainingResult:
    """Run the workers to their end. Raises what stopped them, and UserError if the cluster is too small."""
    import ray

    with cluster.connect(ray_config), contextlib.ExitStack() as stack:
        capacity.refuse_cluster(need)
        bar = stack.enter_context(progress.track(job.stage.name, total))
        mailbox: Any = ray.remote(num_cpus=0)(Mailbox).remote()
        driver = Driver(run, unfinished, bar)

        def receive() -> None:
            for kind, item in ray.get(mailbox.take.remote()):
                driver.receive(kind, item)

        last_line_s = time.monotonic()

        def poll() -> None:
            nonlocal last_line_s
            receive()
            if time.monotonic() - last_line_s > _LINE_EVERY_S:
                last_line_s = time.monotonic()
                if capacity.waits(need):
                    print(capacity.waiting_line(need), flush=True)

        try:
            _meanwhile(lambda: _fit(job, mailbox), poll)
        finally:
            receive()
            ray.kill(mailbox)
    return driver.trained


def _meanwhile(work: Callable[[], _T], poll: Callable[[], None]) -> _T:
    """The result of ``work``, which runs in a thread of its own; this one polls and receives signals.

    In the main thread Ray Train would answer the first Ctrl-C by itself, and training go on.
    """
    answer: Future[_T] = Future()

    def run() -> None:
        try:
            answer.set_result(work())
        except BaseException as error:
            answer.set_exception(error)

    thread = threading.Thread(target=run, name="ray-train", daemon=True)
    thread.start()
    while not answer.done():
        thread.join(_POLL_S)
        poll()
    return answer.result()


def _fit(job: Job, mailbox: Any) -> None:
    import ray.train
    from ray.train.torch import TorchConfig, TorchTrainer

    from training.stage.mistakes import EndAtMistakes

    layout = job.stage.layout
    resources: dict[str, float] = {"CPU": layout.cpus_per_worker}
    if layout.use_gpu:
        resources["GPU"] = 1
    fewest = layout.fewest_workers
    workers = layout.workers if fewest == layout.workers else (fewest, layout.workers)
    trainer = TorchTrainer(
        _worker,
        train_loop_config={"job": job, "mailbox": mailbox},
        torch_config=TorchConfig(backend="nccl" if layout.use_gpu else "gloo"),
        scaling_config=ray.train.ScalingConfig(
            num_workers=workers,  # type: ignore[arg-type]
            use_gpu=layout.use_gpu,
            resources_per_worker=resources,
        ),
        run_config=ray.train.RunConfig(
            name=RUN,
            storage_path=job.out.uri,
            failure_config=ray.train.FailureConfig(max_failures=layout.max_failures),
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=layout.keep),
            callbacks=[EndAtMistakes()],  # type: ignore[list-item]
            logging_config=ray.train.LoggingConfig(log_level="ERROR"),  # type: ignore[call-arg]
        ),
    )
    try:
        trainer.fit()
    except Exception as error:
        if mistake := user_error_in(error):
            raise mistake from error
        raise


def _worker(config: dict[str, Any]) -> None:
    """What Ray Train starts on every worker."""
    import ray
    import ray.train

    from training.loop.reporter import RayReporter
    from training.loop.train import train

    logging.getLogger("ray.train").setLevel(logging.ERROR)  # it logs every saved state, per worker
    place = ray.train.get_context()
    rank, world = place.get_world_rank(), place.get_world_size()
    job, mailbox = config["job"], config["mailbox"]
    if rank == 0 and job.stage.layout.min_workers is not None:
        text = f"stage {job.stage.name}: runs on {world} of {job.stage.layout.workers} workers"
        ray.get(mailbox.put.remote("note", text))
    done = train(job, RayReporter(mailbox), rank=rank, world=world)
    if done.digest:
        ray.get(mailbox.put.remote("done", done))


def _shown(row: Mapping[str, float]) -> dict[str, float]:
    return {short: row[name] for short, name in _SHOWN.items() if name in row}


os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
# Two busy cores need longer to start a worker than the minute that Ray gives them.
os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "600")
