"""Connect to Ray: a cluster embedded in this process, or the address given."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pipeline.errors import UserError
from pipeline.jobs import interrupt
from pipeline.jobs.owner import JOB, OWNER, owner_token
from pipeline.plan.runtime import RayConfig

# In the environment of every job that this project submits: "1", or the address of an embedded cluster.
IN_JOB = "UFVIDEO_IN_JOB"

_QUIET = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",  # else Ray drops lines of progress that differ only in numbers
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",
    "RAY_TQDM": "0",
    "RAY_agent_register_timeout_ms": "100000",  # 2 busy cores need longer than Ray expects
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


@dataclass(frozen=True)
class Cluster:
    """A connection to Ray. ``jobs_url`` is the address of its job server, if it has one."""

    jobs_url: str | None
    embedded: bool


def prepare_environment(*, embedded: bool) -> None:
    """Set the environment variables that Ray reads on import; values that the user has set stay.

    Token authentication is chosen explicitly, because a local ``ray.init`` would turn it on by itself and
    leave a token file that breaks other clusters of the same user. An embedded cluster listens on
    loopback only, so it needs none; a cluster at an address keeps what its owner chose.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    if embedded:
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")


def in_job() -> bool:
    """True inside a Ray job that this project submitted."""
    return bool(os.environ.get(IN_JOB)) and bool(os.environ.get("RAY_ADDRESS"))


@contextmanager
def interruptible() -> Iterator[None]:
    """``interrupt.interruptible`` with this process's grace period, which is shorter in a step of a run."""
    of_a_run = in_job() or JOB in os.environ
    with interrupt.interruptible(interrupt.JOB_GRACE_S if of_a_run else interrupt.GRACE_S):
        yield


@contextmanager
def connect(config: RayConfig, *, jobs: bool = False) -> Iterator[Cluster]:
    """Connect to Ray inside the ``with`` block; on leaving, close only what was opened here.

    Inside a Ray job: the job's own cluster. With an address in the plan: that cluster. Otherwise a cluster
    embedded in this process, with a job server on loopback if ``jobs`` is set. An existing
    connection of this process is used and left open. What workers print reaches this process's output,
    except with ``jobs``, whose output is that of the jobs.

    When a signal ends the command, nothing is closed here: Ray's shutdown can take longer than the command
    has, and ``interrupt.leave`` ends every process of an embedded cluster.
    """
    address = _job_address() if in_job() else config.address
    prepare_environment(embedded=address is None)
    import ray

    _hush()
    if ray.is_initialized():
        yield Cluster(jobs_url=_jobs_url(), embedded=address is None)
        return
    if address is None:
        # Ray itself would use RAY_ADDRESS from the shell, but the plan asks for an embedded cluster.
        os.environ.pop("RAY_ADDRESS", None)
    try:
        if address is not None:
            _join(address, quiet=jobs)
        else:
            _start(config, jobs=jobs)
        _hush()
        interrupt.reinstall_handlers()
        yield Cluster(jobs_url=_server_url(config), embedded=address is None)
    finally:
        if not interrupt.interrupted():
            ray.shutdown()


def _worker_logging() -> Any:
    """Limits what Ray's own actors print into a step's log to errors.

    Otherwise Ray Train's cleaner, an actor, warns every second that it cannot see the controller: it asks
    a part of the dashboard that an embedded cluster does not start. Such a cluster ends with its
    command, so there is nothing for the cleaner to do.
    """
    import ray

    return ray.LoggingConfig(encoding="TEXT", log_level="ERROR")


def _job_address() -> str:
    """The address of the cluster that runs this job.

    Ray's job supervisor sets RAY_ADDRESS to any cluster that it finds among the machine's processes. With two
    embedded clusters, perhaps another user's, it may be the wrong one, so an embedded cluster sets its own.
    """
    address = os.environ[IN_JOB]
    if ":" in address:
        os.environ["RAY_ADDRESS"] = address
    return os.environ["RAY_ADDRESS"]


def _join(address: str, *, quiet: bool) -> None:
    import ray

    try:
        ray.init(
            address=address,
            log_to_driver=not quiet,
            logging_level=logging.ERROR,
            logging_config=None if quiet else _worker_logging(),
        )
    except (ConnectionError, TimeoutError) as error:
        raise UserError(
            f"ray.address: {address}",
            f"no Ray cluster answers ({error}).",
            "Start it, or leave the address out.",
        ) from None
    except ray.exceptions.AuthenticationError as error:
        raise unauthenticated(f"ray.address: {address}", error) from None


def unauthenticated(where: str, error: Exception) -> UserError:
    """The error for a cluster that refuses this machine's token."""
    problem = str(getattr(error, "message", error)).partition(". ")[0].strip(" .")
    return UserError(
        where,
        f"the cluster asks for a token ({problem}).",
        "Set RAY_AUTH_MODE=token, and the cluster's token in RAY_AUTH_TOKEN or ~/.ray/auth_token.",
    )


def _start(config: RayConfig, *, jobs: bool) -> None:
    import ray

    for last in (False, False, True):  # a busy machine needs a second try, when its files are cached
        try:
            with _own_arguments(), _own_signals():
                ray.init(
                    address="local",
                    num_cpus=config.num_cpus,
                    num_gpus=config.num_gpus,
                    object_store_memory=config.object_store_mb * 2**20 if config.object_store_mb else None,
                    include_dashboard=jobs,
                    dashboard_host="127.0.0.1",
                    dashboard_port=_free_port() if jobs else None,
                    log_to_driver=not jobs,
                    logging_level=logging.ERROR,
                    logging_config=None if jobs else _worker_logging(),
                )
            return
        except Exception as error:
            if "timed out during startup" not in str(error):
                raise
            ray.shutdown()
            if last:
                raise UserError(
                    "ray",
                    "its processes did not start in time.",
                    "The machine is overloaded; run the same command again.",
                ) from None


@contextmanager
def _own_arguments() -> Iterator[None]:
    """Start Ray's processes with two arguments that have no public option.

    Of the dashboard only the job server runs: each of its parts is a process that imports Ray, and on two
    cores the others delay the start for longer than Ray waits. The agent,
    which starts the jobs, takes a free port: with Ray's fixed port a second cluster on a machine, perhaps
    another user's, could not run jobs.
    """
    from ray._private import ray_constants, services

    original = services.start_ray_process
    fixed_port = f"--listen-port={ray_constants.DEFAULT_DASHBOARD_AGENT_LISTEN_PORT}"

    def start(command: list[str], process_type: str, *rest: Any, **named: Any) -> Any:
        if process_type == ray_constants.PROCESS_TYPE_RAYLET:
            command = [c.replace(fixed_port, "--listen-port=0") for c in command]
        if process_type == ray_constants.PROCESS_TYPE_DASHBOARD and not any(
            "modules-to-load" in c for c in command
        ):
            command = [*command, "--modules-to-load=JobHead,NodeHead,UsageStatsHead"]
        return original(command, process_type, *rest, **named)

    services.start_ray_process = start
    try:
        yield
    finally:
        services.start_ray_process = original


@contextmanager
def _own_signals() -> Iterator[None]:
    """Start Ray's processes so that a signal reaches this process alone, which then ends them in order.

    Ray itself shields them from Ctrl-C, but not from a closed terminal, and handles SIGTERM itself. All of
    them and their children carry this process's token.
    """
    from ray._private import utils

    original, before = utils.set_sigterm_handler, os.environ.get(OWNER)
    utils.set_sigterm_handler = lambda handler: None
    os.environ[OWNER] = owner_token()
    # Children inherit the block. A signal in the meantime waits, or goes to another thread of this process.
    here = threading.current_thread() is threading.main_thread()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP}) if here else set()
    try:
        yield
    finally:
        utils.set_sigterm_handler = original
        if before is None:
            os.environ.pop(OWNER, None)
        else:
            os.environ[OWNER] = before
        if here:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _server_url(config: RayConfig) -> str | None:
    # The plan's address may be a tunnel of the submitting machine, which does not exist for a job.
    if in_job():
        return _jobs_url() or config.dashboard
    return config.dashboard or _jobs_url()


def _jobs_url() -> str | None:
    import ray

    url = getattr(ray._private.worker.global_worker.node, "webui_url", None)
    return f"http://{url}" if url else None


def _hush() -> None:
    for name in ("ray", "ray.data", "ray.train", "ray.tune", "ray._private", "ray.job_submission"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]
