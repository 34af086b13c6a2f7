"""MLflow runs: one for a plan, and below it one for each step.

Nothing here waits for MLflow, or imports it: what a run is to hold goes to the storage root (``spool``), and
a process of its own sends it from there (``sender``). So an MLflow that is away stops no work.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from pipeline.artifacts.fingerprint import code_version
from pipeline.artifacts.inputs import storage_root
from pipeline.canonical import digest
from pipeline.jobs import interrupt, logged_values
from pipeline.jobs.logged_values import metric_names
from pipeline.jobs.spool import Outbox, Spool
from pipeline.plan.plan import Plan
from pipeline.storage.credentials import without_credentials
from pipeline.storage.location import Location

RUNNING, FINISHED, FAILED, KILLED = "RUNNING", "FINISHED", "FAILED", "KILLED"
_TAG_LENGTH = 5000


@dataclass(frozen=True)
class Parent:
    """The run of a plan, to which the runs of its steps belong. Equal keys mean the same run."""

    key: str
    name: str

    @classmethod
    def of(cls, plan: Plan, fingerprints: Mapping[str, str]) -> Parent:
        """That of a plan in its storage root: another one if any step would have another result."""
        root = without_credentials(storage_root(plan).uri)
        key = digest(["plan", root, plan.name, dict(fingerprints)])[:16]
        return cls(key, f"{plan.name}-{key[:6]}")


class Run:
    """The run of one step. Made by ``start_run``; it begins at its first use and can be pickled until then.

    Every call returns at once. As a context manager it ends with the status FINISHED, after an exception with
    FAILED, after a stop with KILLED. A run of the same fingerprint and inputs that did not finish goes on.
    """

    def __init__(
        self,
        plan: Plan,
        step: str,
        fingerprint: str,
        *,
        inputs: str = "",
        parent: Parent | None = None,
        started_at: float | None = None,
    ) -> None:
        self.plan, self.step, self.fingerprint = plan, step, fingerprint
        self.inputs, self.parent, self.started_at = inputs, parent, started_at
        self.ended_at: float | None = None  # seconds since 1970; None: when the run is closed
        self._key = secrets.token_hex(8)
        self._outbox: Outbox | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _make, (self.plan, self.step, self.fingerprint, self.inputs, self.parent, self.started_at)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(status_after(kind))

    def start(self) -> None:
        """Begin the run now, if it has not begun."""
        if self._outbox is not None:
            return
        first = {
            "run": self._key,
            "do": "open",
            "name": f"{self.step}-{self.fingerprint[:12]}",
            "parent": None if self.parent is None else [self.parent.key, self.parent.name],
            "identity": {"ufvideo.fingerprint": self.fingerprint, "ufvideo.inputs": self.inputs},
            "start_ms": _milliseconds(self.started_at),
            "tags": {"ufvideo.step": self.step, **code_tags(self.plan)},
        }
        self._outbox = Outbox(Spool.of(self.plan), self.step, first)

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record a flat or nested dict as parameters; long values are cut and secrets left out.

        A run that goes on keeps its first values (MLflow forbids changes); a changed value becomes a tag.
        """
        self._put("params", params=logged_values.params(params))

    def log_metrics(
        self,
        metrics: Mapping[str, float],
        step: int,
        *,
        at: float | None = None,
        once: bool = False,
        model: str = "",
        data: tuple[str, str] | None = None,
    ) -> None:
        """Record numbers of one step. ``at``: when they were measured, in seconds since 1970.

        With ``once`` a step that MLflow already has is left out: a training that goes on repeats some steps,
        with the same numbers. ``model`` is the digest of the checkpoint, ``data`` name and digest of the
        dataset that the numbers belong to, as given to ``log_model`` and ``log_dataset``.
        """
        self._put("metrics", points=_points(metrics, step, at), once=once, model=model, data=data)

    def log_plan_metrics(self, metrics: Mapping[str, float]) -> None:
        """Record results on the run of the plan, where whole plans are compared."""
        if self.parent is not None and metrics:
            entry = {
                "do": "metrics",
                "points": _points(metrics, 0, None),
                "once": False,
                "model": "",
                "data": None,
            }
            self._put_raw({"run": self.parent.key, **entry})

    def log_dataset(
        self,
        name: str,
        digest: str,
        uri: str,
        context: str = "training",
        profile: Mapping[str, Any] | None = None,
    ) -> None:
        """Record data of the run: name, digest (MLflow keeps 36 characters; a tag has all), place, counts."""
        self._put(
            "dataset",
            name=name,
            digest=digest,
            uri=without_credentials(uri),
            context=context,
            profile=dict(profile or {}),
        )

    def log_model(self, name: str, digest: str, uri: str, *, output: bool, **tags: str) -> None:
        """Record a checkpoint, which stays where it is: an output of this run, or an input."""
        self._put(
            "model", name=name, digest=digest, uri=without_credentials(uri), output=output, tags=_texts(tags)
        )

    def log_file(self, place: Location, folder: str = "") -> None:
        """Copy a file from the storage root to the run, once MLflow takes it."""
        self._put("file", uri=place.uri, folder=folder)

    def log_text(self, text: str, name: str) -> None:
        """Write a small text file into the run."""
        self._put("text", text=text, name=name)

    def log_table(self, rows: Sequence[Mapping[str, Any]], name: str) -> None:
        """Write rows with the same keys as a table, which MLflow shows as such."""
        columns = list(rows[0]) if rows else []
        table = {"columns": columns, "data": [[row[c] for c in columns] for row in rows]}
        self.log_text(json.dumps(table, ensure_ascii=False), name)
        self.set_tag("mlflow.loggedArtifacts", json.dumps([{"path": name, "type": "table"}]))

    def set_tag(self, name: str, value: str) -> None:
        """Set a tag."""
        self._put("tags", tags=_texts({name: value}))

    def end(self, status: str = FINISHED) -> None:
        """End the run, if it has begun. After a failure or stop this takes at most 2 s."""
        if self._outbox is None:
            return
        self._put("end", status=status, end_ms=_milliseconds(self.ended_at))
        self._outbox.close(hurry=status in (FAILED, KILLED))
        self._outbox = None

    def _put(self, what: str, **values: Any) -> None:
        self._put_raw({"run": self._key, "do": what, **values})

    def _put_raw(self, entry: dict[str, Any]) -> None:
        self.start()
        assert self._outbox is not None
        self._outbox.put(entry)


class PlanRun:
    """The run of a plan while some of its steps are made. A context manager, as ``Run``."""

    def __init__(self, plan: Plan, parent: Parent) -> None:
        self.plan, self.parent = plan, parent
        self.failed = False
        self.own_steps: list[str] = []
        """Fingerprints of steps whose processes end with this one."""
        self._outbox: Outbox | None = None

    def __enter__(self) -> Self:
        first = {
            "run": self.parent.key,
            "do": "open_plan",
            "name": self.parent.name,
            "start_ms": _milliseconds(None),
            "tags": code_tags(self.plan),
        }
        self._outbox = Outbox(Spool.of(self.plan), self.plan.name, first)
        self._outbox.flush()  # before its steps begin
        self._put("params", params=logged_values.params(logged_values.plan_params(self.plan)))
        self._put("text", text=logged_values.plan_text(self.plan), name="plan.yaml")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._outbox is not None
        status = FAILED if kind is None and self.failed else status_after(kind)
        if status == KILLED and self.own_steps:  # they may have had no time to say so
            self._put("end_steps", fingerprints=self.own_steps, status=status, end_ms=_milliseconds(None))
        self._put("end", status=status, end_ms=_milliseconds(None))
        self._outbox.close(hurry=kind is not None)

    def describe(self, markdown: str) -> None:
        """The description on the run's page."""
        self._put("tags", tags=_texts({"mlflow.note.content": markdown}))

    def _put(self, what: str, **values: Any) -> None:
        assert self._outbox is not None
        self._outbox.put({"run": self.parent.key, "do": what, **values})


def start_run(
    plan: Plan,
    step: str,
    fingerprint: str,
    *,
    inputs: str = "",
    parent: Parent | None = None,
    started_at: float | None = None,
) -> Run:
    """The run of a step, which has not begun. ``inputs`` is a digest of what the step is made from.

    ``started_at`` is when the step began, in seconds since 1970; None: when the run begins.
    """
    return Run(plan, step, fingerprint, inputs=inputs, parent=parent, started_at=started_at)


def status_after(kind: type[BaseException] | None) -> str:
    """The status of a run that ended with an exception of this type, or without one."""
    if kind is None:
        return FINISHED
    # A closed terminal is a signal, and perhaps before it a failed write to the terminal.
    return KILLED if issubclass(kind, KeyboardInterrupt) or interrupt.interrupted() else FAILED


def code_tags(plan: Plan) -> dict[str, str]:
    """Tags that name the plan and the code."""
    code = code_version()
    return {
        "ufvideo.plan": plan.name,
        "ufvideo.code": code.short,
        "ufvideo.source_digest": code.source_digest,
        "mlflow.source.git.commit": code.commit or "unknown",
        "mlflow.source.name": f"ufvideo {plan.name}",
        "mlflow.user": "ufvideo",
    }


def _make(
    plan: Plan, step: str, fingerprint: str, inputs: str, parent: Parent | None, started_at: float | None
) -> Run:
    return Run(plan, step, fingerprint, inputs=inputs, parent=parent, started_at=started_at)


def _points(metrics: Mapping[str, float], step: int, at: float | None) -> list[list[Any]]:
    names, stamp = metric_names(metrics), _milliseconds(at)
    return [[names[name], float(value), stamp, int(step)] for name, value in metrics.items()]


def _milliseconds(at: float | None) -> int:
    return int((time.time() if at is None else at) * 1000)


def _texts(values: Mapping[str, str]) -> dict[str, str]:
    return {name: without_credentials(str(value))[:_TAG_LENGTH] for name, value in values.items()}
