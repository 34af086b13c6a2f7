"""The driver's side of a stage: it starts the workers under Ray Train and receives what they report."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pipeline import progress
from pipeline.artifacts.curves import CURVES, CurveRow, read_curves
from pipeline.jobs import capacity, cluster
from pipeline.jobs.guard import user_error_in
from pipeline.jobs.tracking import Run
from pipeline.plan.runtime import RayConfig
from training.stage.checkpoint import RUN
from training.stage.unfinished import UnfinishedStage

if TYPE_CHECKING:
    from training.loop.train import Job

_T = TypeVar("_T")
_POLL_S: Final = 0.25
_LINE_EVERY_S: Final = 30.0
_PLACES: Final = "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"
"""How long Ray Train waits for the workers' places before it looks again at how many there can be."""
_PLACES_BY_USER: Final = os.environ.get(_PLACES)
_FIXED_PLACES_S: Final = 600  # their number does not change, so there is nothing to look at
_ELASTIC_PLACES_S: Final = 20  # a node is known to be lost only some seconds after its workers have failed
_SHOWN: Final = {
    "loss": "loss/total",
    "text": "loss/text",
    "bce": "loss/bce",
    "dice": "loss/dice",
    "lr": "lr",
    "samples/s": "samples_per_s",
}
"""What the progress bar shows of a step."""


class Mailbox:
    """The actor that holds what workers report until the driver takes it: the one queue between them.

    It is for watching. What has to last lies in saved states and, at the end, in the stage's folder
    (``loop.ending``, ``loop.metrics``), so its death loses nothing.
    """

    def __init__(self) -> None:
        self._items: list[tuple[str, Any]] = []

    def put(self, kind: str, item: Any) -> None:
        """Keep one report: ``row``, ``earlier rows``, ``quarantined`` or ``note``."""
        self._items.append((kind, item))

    def take(self) -> list[tuple[str, Any]]:
        """All that has come in since the last call, in its order."""
        items, self._items = self._items, []
        return items


class Driver:
    """Passes on what has been reported: rows to MLflow and the bar, samples to the quarantine table."""

    def __init__(self, run: Run, unfinished: UnfinishedStage, bar: progress.Track | None = None) -> None:
        self._run, self._unfinished, self._bar = run, unfinished, bar
        self._received: set[int] = set()

    def receive(self, kind: str, item: Any) -> None:
        """One report."""
        match kind:
            case "row":
                self._log(item)
                if self._bar is not None:
                    self._bar.update(item.step + 1, **_shown(item.values))
            case "earlier rows":
                for row in item:
                    self._log(row)
            case "quarantined":
                self._unfinished.quarantine(item)
            case "note":
                print(item, flush=True)
            case _:
                raise AssertionError(kind)

    def complete(self, rows: Iterable[CurveRow]) -> None:
        """Pass on the rows of a finished stage that were lost on their way."""
        for row in rows:
            if row.step not in self._received:
                self._log(row)

    def _log(self, row: CurveRow) -> None:
        self._received.add(row.step)
        self._run.log_metrics(row.values, row.step, at=row.at, once=True)


def train_on_ray(
    job: Job, ray_config: RayConfig, need: capacity.Need, total: int, run: Run, unfinished: UnfinishedStage
) -> None:
    """Run the workers to their end. Raises what stopped them, and UserError if the cluster is too small."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    with cluster.connect(ray_config), contextlib.ExitStack() as stack:
        capacity.refuse_cluster(need)
        bar = stack.enter_context(progress.track(job.stage.name, total))
        # On this node, where it can only be lost together with this process.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        mailbox: Any = (
            ray.remote(Mailbox)
            .options(num_cpus=0, max_restarts=-1, max_task_retries=-1, scheduling_strategy=here)
            .remote()
        )
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
        if (job.out / CURVES).exists():
            driver.complete(read_curves(job.out / CURVES))


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
    elastic = fewest < layout.workers
    workers = (fewest, layout.workers) if elastic else layout.workers
    os.environ[_PLACES] = _PLACES_BY_USER or str(_ELASTIC_PLACES_S if elastic else _FIXED_PLACES_S)
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
    from training.stage.stage_end import read_end

    logging.getLogger("ray.train").setLevel(logging.ERROR)  # it logs every saved state, per worker
    place = ray.train.get_context()
    rank, world = place.get_world_rank(), place.get_world_size()
    job, mailbox = config["job"], config["mailbox"]
    if rank == 0 and job.stage.layout.min_workers is not None:
        text = f"stage {job.stage.name}: runs on {world} of {job.stage.layout.workers} workers"
        ray.get(mailbox.put.remote("note", text))
    if read_end(job.out) is None:  # else a worker died after the end
        train(job, RayReporter(mailbox), rank=rank, world=world)


def _shown(row: Mapping[str, float]) -> dict[str, float]:
    return {short: row[name] for short, name in _SHOWN.items() if name in row}


os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
