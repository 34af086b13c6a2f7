"""Where a plan runs. Nothing in this module bears on what is made, so none of it is fingerprinted."""

from __future__ import annotations

from pydantic import Field

from pipeline.config.base import Config


class StorageConfig(Config):
    """Where artifacts go and where remote files are cached."""

    root: str = Field(description="Folder or s3://bucket/prefix that holds every artifact of this plan.")
    cache: str | None = Field(
        default=None,
        description="Local folder for copies of remote files; default: one below the user's cache folder.",
    )


class RayConfig(Config):
    """Which Ray cluster does the work."""

    address: str | None = Field(
        default=None,
        description="None: a cluster embedded in the command. Else auto, ray://..., or host:port.",
    )
    dashboard: str | None = Field(
        default=None,
        description="http://host:port of the cluster's job server; needed with an address to submit jobs.",
    )
    num_cpus: int | None = Field(default=None, ge=1, description="CPUs of an embedded cluster; None: all.")
    num_gpus: int | None = Field(default=None, ge=0, description="GPUs of an embedded cluster; None: all.")
    object_store_mb: int | None = Field(
        default=None, ge=80, description="Object store of an embedded cluster."
    )


class TrackingConfig(Config):
    """Where MLflow runs are written."""

    uri: str | None = Field(
        default=None, description="MLflow tracking URI; None: an SQLite file in the storage root."
    )
    experiment: str | None = Field(default=None, description="Experiment name; None: the plan's name.")
