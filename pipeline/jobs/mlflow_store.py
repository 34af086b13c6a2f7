"""Where a plan's MLflow runs are: the server or file, the experiment, and the runs in it."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.artifacts.inputs import local_home, storage_root
from pipeline.errors import UserError
from pipeline.jobs.spool import Spool, experiment_name
from pipeline.plan.plan import Plan
from pipeline.storage.cache import Cache
from pipeline.storage.location import Location

FINGERPRINT_TAG = "ufvideo.fingerprint"
_SQLITE = "sqlite:///"
_TRAINING = {"mlflow.experimentKind": "custom_model_development"}  # MLflow's page for models, not for agents


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Where the entries of a spool go."""

    spool: Location
    uri: str
    experiment: str
    files: str | None  # where a new experiment keeps its files; None: where the server keeps them

    @classmethod
    def of(cls, plan: Plan) -> Destination:
        """That of a plan. Raises UserError as ``tracking_uri`` does."""
        uri = tracking_uri(plan)
        # A server has its own place for files. An SQLite file would put them below the working folder.
        files = None if uri.startswith("http") else (local_home(plan) / "mlflow-files").as_uri()
        return cls(spool=Spool.of(plan).folder, uri=uri, experiment=experiment_name(plan), files=files)

    def to_json(self) -> dict[str, Any]:
        """As plain values; ``from_json`` reads them."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Destination:
        """The opposite of ``to_json``."""
        place = values["spool"]
        return cls(**{**values, "spool": Location(place["uri"], Cache(**place["cache"]))})


def tracking_uri(plan: Plan) -> str:
    """Where this plan's runs are written: the plan's URI, else MLFLOW_TRACKING_URI, else an SQLite file.

    Raises UserError if that file would be lost: with a remote storage root it is below the working
    folder, which is a temporary one for a job on a cluster.
    """
    if plan.tracking.uri:
        return plan.tracking.uri
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        return uri
    if plan.ray.elsewhere and not storage_root(plan).is_local:
        raise UserError(
            "tracking.uri",
            "is not set, and with a remote storage root MLflow's database would be in a temporary folder "
            "of the cluster and be lost.",
            "Set it to an MLflow server (http://host:5000), or set MLFLOW_TRACKING_URI on the cluster.",
        )
    return f"{_SQLITE}{local_home(plan) / 'mlflow.db'}"


def client_of(uri: str) -> Any:
    """The MlflowClient of a server or file, quiet; the folder of an SQLite file is made.

    A request is tried once and has to be answered within 15 s: the sender tries again later.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "15")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    for name in ("mlflow", "alembic", "mlflow.store.db.utils", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.ERROR)
    from mlflow.tracking import MlflowClient

    if uri.startswith(_SQLITE):
        _make_database(Path(uri.removeprefix(_SQLITE)), MlflowClient)
    return MlflowClient(tracking_uri=uri)


def _make_database(path: Path, client: Callable[..., Any]) -> None:
    """Make MLflow's database in one act: MLflow can never open one of which some tables were made.

    It takes a second, in which a command that is stopped ends the process.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        return
    with tempfile.TemporaryDirectory(prefix="ufvideo-mlflow-") as folder:
        made = Path(folder, "mlflow.db")
        client(tracking_uri=f"{_SQLITE}{made}").search_experiments(max_results=1)
        near = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
        try:
            shutil.copyfile(made, near)
            with suppress(FileExistsError):  # another process was faster
                os.link(near, path)
        finally:
            near.unlink(missing_ok=True)


def experiment_of(client: Any, destination: Destination) -> str:
    """The id of an experiment, which is created if there is none."""
    found = client.get_experiment_by_name(destination.experiment)
    if found:
        return str(found.experiment_id)
    try:
        return str(
            client.create_experiment(
                destination.experiment, artifact_location=destination.files, tags=_TRAINING
            )
        )
    except Exception:
        found = client.get_experiment_by_name(destination.experiment)  # another process may have created it
        if not found:
            raise
        return str(found.experiment_id)


def find_run(client: Any, experiment: str, **tags: str) -> Any:
    """The newest run with these tags (``.`` written as ``__``); None if there is none."""
    wanted = [f"tags.`{name.replace('__', '.')}` = '{value}'" for name, value in tags.items()]
    runs = client.search_runs([experiment], " and ".join(wanted), max_results=1)
    return runs[0] if runs else None


def history(plan: Plan, step_fingerprint: str) -> dict[str, list[tuple[int, float]]]:
    """Every metric of a step's run as (step, value), ascending by step; for a repeated step its last value.

    Empty if there is no such run.
    """
    client = client_of(tracking_uri(plan))
    found = client.get_experiment_by_name(experiment_name(plan))
    run = find_run(client, found.experiment_id, ufvideo__fingerprint=step_fingerprint) if found else None
    if run is None:
        return {}
    out: dict[str, list[tuple[int, float]]] = {}
    for name in sorted(run.data.metrics):
        points = sorted(client.get_metric_history(run.info.run_id, name), key=lambda m: (m.step, m.timestamp))
        out[name] = list({m.step: (m.step, m.value) for m in points}.values())
    return out
