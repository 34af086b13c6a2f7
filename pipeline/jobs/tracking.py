"""MLflow: one run per step and fingerprint, written in the background so that training does not wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pipeline.artifacts.fingerprint import code_version
from pipeline.errors import UserError
from pipeline.jobs.logged_values import SECRET, flatten, plan_text
from pipeline.jobs.metric_queue import MetricQueue, Point, try_repeatedly
from pipeline.jobs.mlflow_store import FINGERPRINT_TAG, client_of, experiment_of, find_run, tracking_uri
from pipeline.plan.plan import Plan
from pipeline.storage.credentials import without_credentials

STEP_TAG = "ufvideo.step"
_ABANDON_S = 3.0  # for MLflow, at the end of a run that failed or was stopped
_PARAM_BATCH = 100  # MLflow's limit of parameters in one request
_PARAM_LENGTH = 6000  # MLflow's limit for the value of a parameter


class Run:
    """One MLflow run. Made by ``start_run``; it starts at its first use and can be pickled until then.

    One thread writes the queued metrics; while MLflow fails they stay in the queue.
    ``finish`` waits for the last one. As a context manager it ends with the status FINISHED; after an
    exception with FAILED, after a stop with KILLED, and then waits only a few seconds for MLflow.
    """

    def __init__(
        self, plan: Plan, step: str, fingerprint: str, resume: bool = True, started_at: float | None = None
    ) -> None:
        self.plan, self.step, self.fingerprint, self.resume = plan, step, fingerprint, resume
        self.started_at = started_at
        self.ended_at: float | None = None  # seconds since 1970; None: when the run is finished
        self._run_id = ""
        self._mlflow: Any = None
        self._queue: MetricQueue | None = None

    def __reduce__(self) -> tuple[type[Run], tuple[Plan, str, str, bool, float | None]]:
        return type(self), (self.plan, self.step, self.fingerprint, self.resume, self.started_at)

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()
        elif self._queue is not None:
            status = "KILLED" if issubclass(kind, KeyboardInterrupt) else "FAILED"
            ending = threading.Thread(target=self._abandon, args=(status,), daemon=True)
            ending.start()
            ending.join(_ABANDON_S)

    def _abandon(self, status: str) -> None:
        assert self._queue is not None
        self._queue.stop()
        with suppress(Exception):  # the original exception is the one to report
            if self._queue.send() is None:
                self._mlflow.set_terminated(self._run_id, status=status)

    @property
    def run_id(self) -> str:
        """MLflow's id of the run."""
        self._start()
        return self._run_id

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record a flat or nested dict as parameters; long values are cut and secrets left out.

        A resumed run keeps its first values (MLflow forbids changes); a changed value becomes a tag.
        """
        from mlflow.entities import Param, RunTag

        self._start()
        flat = {k: v for k, v in flatten(params).items() if not SECRET.search(k)}
        texts = {k[:250]: without_credentials(str(v))[:_PARAM_LENGTH] for k, v in flat.items()}
        had = self._mlflow.get_run(self._run_id).data.params
        new = [Param(k, v) for k, v in texts.items() if k not in had]
        changed = [RunTag(f"resumed.{k}", v[:5000]) for k, v in texts.items() if k in had and had[k] != v]
        for i in range(0, max(len(new), len(changed)), _PARAM_BATCH):
            part = slice(i, i + _PARAM_BATCH)
            self._mlflow.log_batch(self._run_id, params=new[part], tags=changed[part])

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Queue the metrics of one step and return at once."""
        self._start()
        assert self._queue is not None
        stamp = int(time.time() * 1000)
        self._queue.put(Point(name, float(value), stamp, int(step)) for name, value in metrics.items())

    @property
    def unsent(self) -> list[tuple[int, dict[str, float]]]:
        """Metrics by step that may not have reached MLflow."""
        rows: dict[int, dict[str, float]] = {}
        for point in self._queue.unsent if self._queue else ():
            rows.setdefault(point.step, {})[point.name] = point.value
        return sorted(rows.items())

    def log_dataset(self, name: str, digest: str, uri: str, context: str = "training") -> None:
        """Record the data of the run: name, digest (MLflow keeps 36 characters; a tag has all) and place."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        self._start()
        source = f'{{"uri": "{without_credentials(uri)}"}}'
        data = Dataset(name=name, digest=digest[:36], source_type="ufvideo", source=source)
        tag = InputTag(key="mlflow.data.context", value=context)
        self._mlflow.log_inputs(self._run_id, datasets=[DatasetInput(dataset=data, tags=[tag])])
        self._mlflow.set_tag(self._run_id, f"dataset.{name}", digest)

    def log_artifact(self, path: Path | str) -> None:
        """Copy a local file to the run."""
        self._start()
        self._mlflow.log_artifact(self._run_id, str(path))

    def set_tag(self, name: str, value: str) -> None:
        """Set a tag, for example the checkpoint's place and digest."""
        self._start()
        self._mlflow.set_tag(self._run_id, name, without_credentials(value)[:5000])

    def finish(self, tags: Mapping[str, str] | None = None) -> None:
        """Write the queued metrics and some last tags, and end the run. Does nothing if it was never started.

        Raises UserError if MLflow still fails after some tries.
        """
        if self._queue is None:
            return
        self._queue.stop()

        def end() -> None:
            assert self._queue is not None
            if error := self._queue.send():
                raise error
            for name, value in (tags or {}).items():
                self.set_tag(name, value)
            ended = None if self.ended_at is None else int(self.ended_at * 1000)
            self._mlflow.set_terminated(self._run_id, status="FINISHED", end_time=ended)

        if error := try_repeatedly(end):
            raise UserError(
                f"tracking.uri: {without_credentials(tracking_uri(self.plan))}",
                f"does not take the last metrics: {type(error).__name__}: "
                f"{without_credentials(str(error))[:300]}.",
                "Check MLflow and run the same command again: nothing is trained twice.",
            ) from error
        self._queue = None

    def _start(self) -> None:
        if self._queue is not None:
            return
        try:
            self._mlflow = self._mlflow or client_of(self.plan)
            experiment = experiment_of(self.plan, self._mlflow, create=True)
            assert experiment is not None
            if not self._run_id:
                self._run_id = self._open(experiment)
        except UserError:
            raise
        except Exception as error:
            raise UserError(
                "tracking.uri",
                f"MLflow at {without_credentials(tracking_uri(self.plan))} refuses: "
                f"{type(error).__name__}: {without_credentials(str(error))[:300]}",
                "Check the address, or leave tracking.uri out to use an SQLite file.",
            ) from error
        self._queue = MetricQueue(self._write)

    def _open(self, experiment: str) -> str:
        client = self._mlflow
        old = find_run(client, experiment, self.fingerprint) if self.resume else None
        if old:
            client.update_run(old.info.run_id, status="RUNNING")
            client.set_tag(old.info.run_id, "ufvideo.resumed", "true")
            return old.info.run_id
        code = code_version()
        tags = {
            FINGERPRINT_TAG: self.fingerprint,
            STEP_TAG: self.step,
            "ufvideo.plan": self.plan.name,
            "ufvideo.code": code.short,
            "ufvideo.source_digest": code.source_digest,
            "mlflow.source.git.commit": code.commit or "unknown",
            "mlflow.user": "ufvideo",
        }
        run = client.create_run(
            experiment,
            start_time=None if self.started_at is None else int(self.started_at * 1000),
            tags=tags,
            run_name=f"{self.step}-{self.fingerprint[:12]}",
        )
        client.log_text(run.info.run_id, plan_text(self.plan), "plan.yaml")
        return run.info.run_id

    def _write(self, points: Sequence[Point]) -> None:
        from mlflow.entities import Metric

        self._mlflow.log_batch(self._run_id, metrics=[Metric(*point) for point in points])


def start_run(
    plan: Plan, step: str, fingerprint: str, resume: bool = True, started_at: float | None = None
) -> Run:
    """The run of a step. With ``resume`` an earlier run of the same fingerprint is continued.

    ``started_at`` is when the step began, in seconds since 1970; None: when the run is opened.
    """
    return Run(plan, step, fingerprint, resume, started_at)


def history(plan: Plan, step_fingerprint: str) -> dict[str, list[tuple[int, float]]]:
    """Every metric of a step's run as (step, value), ascending by step; for a repeated step its last value.

    Empty if there is no such run.
    """
    client = client_of(plan)
    experiment = experiment_of(plan, client, create=False)
    run = find_run(client, experiment, step_fingerprint) if experiment else None
    if run is None:
        return {}
    out: dict[str, list[tuple[int, float]]] = {}
    for name in sorted(run.data.metrics):
        points = sorted(client.get_metric_history(run.info.run_id, name), key=lambda m: (m.step, m.timestamp))
        out[name] = list({m.step: (m.step, m.value) for m in points}.values())
    return out
