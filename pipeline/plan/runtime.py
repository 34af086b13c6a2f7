"""Where a plan runs. Nothing in this module affects results, so none of it is fingerprinted."""

from __future__ import annotations

from pydantic import Field, field_validator

from pipeline.media.same_video import VerifyVideos
from pipeline.plan.base import Config
from pipeline.storage.cache import Cache
from pipeline.storage.credentials import has_credentials


class StorageConfig(Config):
    """Where artifacts go and where remote files are cached."""

    root: str = Field(description="Folder or s3://bucket/prefix that holds every artifact of this plan.")
    cache: str | None = Field(
        default=None,
        description="Local folder for copies of remote files; default: one below the user's cache folder.",
    )
    verify_videos: VerifyVideos = Field(
        default=VerifyVideos.HEAD,
        description="How a video that training, evaluation or a page opens again is compared with the one "
        "that was prepared, once a process: head (size and first 64 KiB), whole (its sha256), or off.",
    )
    cache_gb: float | None = Field(
        default=None,
        gt=0,
        description="Gigabytes (10^9 bytes) for these copies; beyond that the least recently used ones are "
        "removed. null: no limit.",
    )

    @property
    def local_cache(self) -> Cache:
        """The cache for locations."""
        return Cache.of(self.cache, self.cache_gb)


class RayConfig(Config):
    """Which Ray cluster does the work."""

    address: str | None = Field(
        default=None,
        description="null: a cluster embedded in the command. Else auto, ray://..., or host:port.",
    )
    dashboard: str | None = Field(
        default=None,
        description="http://host:port of the cluster's job server; needed with an address to submit jobs.",
    )
    num_cpus: int | None = Field(
        default=None, ge=1, description="CPUs of an embedded cluster; null: all of the machine."
    )
    num_gpus: int | None = Field(
        default=None, ge=0, description="GPUs of an embedded cluster; null: all of the machine."
    )
    object_store_mb: int | None = Field(
        default=None, ge=80, description="Object store of an embedded cluster, in MiB; null: Ray's choice."
    )

    @field_validator("address", "dashboard")
    @classmethod
    def _holds_no_credentials(cls, text: str | None) -> str | None:
        # Plans are copied into the storage root and to MLflow. The message must not repeat the value.
        if text and has_credentials(text):
            raise ValueError(
                "holds credentials. Leave them out of the address and set RAY_AUTH_MODE=token and "
                "RAY_AUTH_TOKEN in the environment"
            )
        return text

    @property
    def elsewhere(self) -> bool:
        """True if the work is done by a cluster that is not embedded in the command."""
        return self.address is not None or self.dashboard is not None


class TrackingConfig(Config):
    """Where MLflow runs are written."""

    uri: str | None = Field(
        default=None, description="MLflow tracking URI; null: an SQLite file in the storage root."
    )
    experiment: str | None = Field(default=None, description="Experiment name; null: the plan's name.")

    @field_validator("uri")
    @classmethod
    def _holds_no_credentials(cls, text: str | None) -> str | None:
        if text and has_credentials(text):
            raise ValueError(
                "holds credentials. Set them in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, "
                "or the whole address in MLFLOW_TRACKING_URI"
            )
        return text
