"""Where a plan's MLflow runs are: the server or file, the experiment, and the run of a fingerprint."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pipeline.artifacts.inputs import local_home, storage_root
from pipeline.errors import UserError
from pipeline.plan.plan import Plan

FINGERPRINT_TAG = "ufvideo.fingerprint"


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
    return f"sqlite:///{local_home(plan) / 'mlflow.db'}"


def client_of(plan: Plan) -> Any:
    """The MlflowClient of a plan, quiet and with few tries; the folder of an SQLite file is made."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    import logging

    for name in ("mlflow", "alembic", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.ERROR)
    from mlflow.tracking import MlflowClient

    uri = tracking_uri(plan)
    if uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    return MlflowClient(tracking_uri=uri)


def experiment_of(plan: Plan, client: Any, *, create: bool) -> str | None:
    """The id of a plan's experiment; None if there is none and ``create`` is false."""
    name = plan.tracking.experiment or plan.name
    found = client.get_experiment_by_name(name)
    if found:
        return found.experiment_id
    if not create:
        return None
    uri = tracking_uri(plan)
    # A server has its own place for files. An SQLite file would put them below the working folder.
    place = None if uri.startswith("http") else (local_home(plan) / "mlflow-files").as_uri()
    try:
        return client.create_experiment(name, artifact_location=place)
    except Exception:
        found = client.get_experiment_by_name(name)  # another process may have created it
        if not found:
            raise
        return found.experiment_id


def find_run(client: Any, experiment: str, fingerprint: str) -> Any:
    """MLflow's run of a step with this fingerprint, the newest; None if there is none."""
    runs = client.search_runs([experiment], f"tags.`{FINGERPRINT_TAG}` = '{fingerprint}'", max_results=1)
    return runs[0] if runs else None
