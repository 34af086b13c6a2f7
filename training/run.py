"""The two steps of training: ``init`` makes the first checkpoint, ``stage`` trains one into the next.

prepared dataset + checkpoint -> TorchTrainer (workers, failure policy, storage) -> checkpoint
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from pipeline import progress
from pipeline.artifacts.checkpoint import start_config
from pipeline.jobs import capacity, cluster
from pipeline.jobs.step import StepContext, StepResult
from pipeline.plan.plan import Plan
from training.loop.tracking import Metrics
from training.stage.checkpoint import RUN, SUMMARY, write_checkpoint
from training.stage.unfinished import Begun, Finished, HalfDone

if TYPE_CHECKING:
    from training.loop.train import Done, Job

_POLL_S = 0.25
_SAY_EVERY_S = 30.0


def init(context: StepContext) -> StepResult:
    """Tokenizer and weights of the untrained model."""
    from training.engine import quiet
    from training.stage.start import make_model, make_tokenizer

    quiet()
    with progress.track("init", 2) as bar:
        data = context.inputs["prepare"].location if "prepare" in context.inputs else None
        tokenizer = make_tokenizer(context.plan, data)
        bar.advance(vocabulary=len(tokenizer))
        commits: dict[str, str] = {}
        model = make_model(context.plan, tokenizer, commits)
        digest = write_checkpoint(model, tokenizer, context.out, context.scratch)
        bar.advance()
    values = sum(p.numel() for p in model.parameters())
    return StepResult(
        digest=digest, summary={"vocabulary": len(tokenizer), "parameters": values, "commits": commits}
    )


def stage(context: StepContext) -> StepResult:
    """Train one stage. Started again after any kind of death it goes on from its last saved state."""
    from training.data.dataset import Dataset
    from training.engine import quiet
    from training.loop.train import Job
    from training.stage import parts_table

    quiet()

    config = next(s for s in context.plan.stages if s.name == context.spec.subject)
    assert context.checkpoint is not None
    need = capacity.need_of(context.plan, context.spec)
    assert need is not None
    data, start = context.inputs["prepare"], context.checkpoint
    job = Job(
        stage=config,
        model=start_config(start.location, context.plan.model_section.resolved, config.name),
        seed=context.seed,
        data=data.location,
        start=start.location,
        out=context.out,
        verify_videos=context.plan.storage.verify_videos,
    )
    order = Dataset.open(data.location).order(config, context.seed)
    total = order.steps(epochs=config.epochs, steps=config.steps)
    begun = time.monotonic()
    half = HalfDone(context.out, config.name)
    finished = half.open(
        Begun(workers=config.layout.workers, data=data.record.digest, start=start.record.digest, steps=total)
    )
    with Metrics(lambda: context.tracker) as metrics:
        metrics.run.log_params(
            {
                "stage": config.model_dump(mode="json"),
                "model": job.model.model_dump(mode="json"),
                "steps": total,
            }
        )
        metrics.run.log_dataset("prepare", data.record.digest, data.location.uri)
        metrics.run.set_tag("checkpoint.start", f"{start.location.uri} {start.record.digest}")
        if finished is None:
            rows = parts_table.planned_rows(job.model, config)
            metrics.run.log_params({"parts": parts_table.params(rows)})
            print(parts_table.render(rows), flush=True)
            done, last = _train(job, context.plan, need, total, metrics, half)
            finished = Finished(
                digest=done.digest, resumed_at=done.resumed_at, last=last, unsent=metrics.unsent
            )
            half.finish(finished)
        else:
            print(f"stage {config.name}: was trained to its end before; its weights are kept", flush=True)
            metrics.add(finished.unsent)
        metrics.close({"checkpoint.out": f"{context.out.uri} {finished.digest}"})
    summary: dict[str, Any] = {
        "steps": total,
        "resumed_at": finished.resumed_at,
        "samples": total * config.global_batch,
        "epochs": round(total * config.global_batch / order.epoch_size, 4),
        "seconds": round(time.monotonic() - begun, 1),
        "mixture": [asdict(count) for count in order.mixture.counts(0)],
        "last": finished.last,
    }
    whole = {**summary, "quarantined": half.quarantined}
    (context.out / SUMMARY).write_text(json.dumps(whole, indent=1) + "\n")
    half.drop_states()
    # The rest goes only once the record stands: a kill in between must find it.
    return StepResult(digest=finished.digest, summary=summary, afterwards=half.sweep)


def _train(
    job: Job, plan: Plan, need: capacity.Need, total: int, metrics: Metrics, half: HalfDone
) -> tuple[Done, dict[str, float]]:
    """What the first worker handed back, and the metrics of the last step."""
    with cluster.connect(plan.ray):
        capacity.refuse_cluster(need)
        with _board(job.stage.name, total, metrics, half) as board:
            done = _fit(job, board.actor, need)
    return done, board.last  # after the last poll


def _fit(job: Job, board: Any, need: capacity.Need) -> Done:
    """Run the workers to their end under Ray Train."""
    import ray.train
    from ray.train.torch import TorchConfig, TorchTrainer

    layout = job.stage.layout
    resources: dict[str, float] = {"CPU": layout.cpus_per_worker}
    if layout.use_gpu:
        resources["GPU"] = 1
    trainer = TorchTrainer(
        _worker,
        train_loop_config={"job": job, "board": board},
        torch_config=TorchConfig(backend="nccl" if layout.use_gpu else "gloo"),
        scaling_config=ray.train.ScalingConfig(
            num_workers=layout.workers, use_gpu=layout.use_gpu, resources_per_worker=resources
        ),
        run_config=ray.train.RunConfig(
            name=RUN,
            storage_path=job.out.uri,
            failure_config=ray.train.FailureConfig(max_failures=layout.max_failures),
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=layout.keep),
            logging_config=ray.train.LoggingConfig(log_level="ERROR"),  # type: ignore[call-arg]
        ),
    )
    _in_thread(trainer.fit, meanwhile=partial(_say_waiting, need))
    done = ray.get(board.done.remote())
    assert done is not None, "Ray Train ended without an error, but no worker reported the end"
    return done


def _in_thread(act: Callable[[], Any], meanwhile: Callable[[], None]) -> Any:
    """Call it in a thread of its own, and wait for it so that a signal interrupts the waiting.

    In the main thread Ray Train would answer the first Ctrl-C by itself, and training go on. ``meanwhile`` is
    called twice a minute.
    """
    answer: Future[Any] = Future()

    def run() -> None:
        try:
            answer.set_result(act())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=run, name="ray-train", daemon=True).start()
    while not answer.done():
        with suppress(TimeoutError):
            return answer.result(timeout=_SAY_EVERY_S)
        meanwhile()
    return answer.result()


def _say_waiting(need: capacity.Need) -> None:
    if capacity.waits(need):
        print(capacity.waiting_line(need), flush=True)


def _worker(config: dict[str, Any]) -> None:
    """What Ray Train starts on every worker."""
    import ray
    import ray.train

    from training.loop.reporter import RayReporter
    from training.loop.train import train

    logging.getLogger("ray.train").setLevel(logging.ERROR)  # it tells of every saved state, per worker
    place = ray.train.get_context()
    done = train(
        config["job"], RayReporter(config["board"]), rank=place.get_world_rank(), world=place.get_world_size()
    )
    if done.digest:
        ray.get(config["board"].finish.remote(done))


class _Board:
    """The actor through which workers talk to the driver: rows of metrics, quarantined samples, the end."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, dict[str, float]]] = []
        self._notes: list[dict[str, Any]] = []
        self._done: Any = None

    def put(self, step: int, row: dict[str, float]) -> None:
        self._rows.append((step, row))

    def note(self, rows: list[dict[str, Any]]) -> None:
        self._notes += rows

    def take(self) -> tuple[list[tuple[int, dict[str, float]]], list[dict[str, Any]]]:
        rows, notes = self._rows, self._notes
        self._rows, self._notes = [], []
        return rows, notes

    def finish(self, done: Any) -> None:
        self._done = done

    def done(self) -> Any:
        return self._done


class _Watch:
    """The driver's end of the board: draws the bar and passes rows on while the workers work."""

    def __init__(self, actor: Any, bar: progress.Track, metrics: Metrics, half: HalfDone) -> None:
        self.actor, self._bar, self._metrics, self._half = actor, bar, metrics, half
        self.last: dict[str, float] = {}

    def poll(self) -> None:
        """Take what has come in."""
        import ray

        rows, notes = ray.get(self.actor.take.remote())
        self._half.quarantine(notes)
        self._metrics.add(rows)
        if rows:
            step, self.last = rows[-1]
            self._bar.update(step + 1, **_shown(self.last))


def _shown(row: Mapping[str, float]) -> dict[str, float]:
    names = {
        "loss": "loss/total",
        "text": "loss/text",
        "bce": "loss/bce",
        "dice": "loss/dice",
        "samples/s": "samples_per_s",
    }
    return {short: row[name] for short, name in names.items() if name in row}


@contextmanager
def _board(title: str, total: int, metrics: Metrics, half: HalfDone) -> Iterator[_Watch]:
    import ray

    actor: Any = ray.remote(num_cpus=0)(_Board).remote()
    stop = threading.Event()
    errors: list[BaseException] = []
    with progress.track(title, total) as bar:
        watch = _Watch(actor, bar, metrics, half)

        def follow() -> None:
            try:
                while not stop.wait(_POLL_S):
                    watch.poll()
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=follow, name="board", daemon=True)
        thread.start()
        try:
            yield watch
        finally:
            stop.set()
            thread.join()
        watch.poll()
    ray.kill(actor)
    if errors:
        raise errors[0]


os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
# Two busy cores need longer to start a worker than the minute that Ray gives them.
os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "600")
