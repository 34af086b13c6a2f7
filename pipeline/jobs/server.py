"""Ray jobs: submit, follow, wait for, stop."""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import secrets
import shlex
import sys
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.artifacts.fingerprint import COMMIT_ENV, PACKAGES, code_version
from pipeline.errors import UserError
from pipeline.jobs import cluster, interrupt
from pipeline.jobs.owner import JOB, OWNER, OWNER_JOB, owner_token
from pipeline.plan.runtime import RayConfig
from pipeline.progress import PROGRESS_ENV

HOME = Path(__file__).resolve().parents[2]  # the folder that holds the four packages
UPLOADED = (*PACKAGES, "plans", "toy_weights", "pyproject.toml", "constraints.txt")
# As in .gitignore: everything but these, so that data, weights and credentials stay here. Ray asks
# about the folder itself too, as `.`, and uploads nothing if that is excluded.
UPLOAD_EXCLUDES = ("/*", "!/.", *(f"!/{name}" for name in UPLOADED), ".env*", "__pycache__", ".tmp-*")
_TAIL_TRIES = 5
_LOST_S = 120.0  # how long a job server may fail to answer
STOP_WAIT_S = 3.0  # a command has to end within 5 s of Ctrl-C, a job within 3 s of SIGTERM
_IN_JOB_STOP_WAIT_S = 1.5
STOP_COMMAND_WAIT_S = 30.0
_AGENT_WAIT_S = 90.0
_POLL_S = 0.2
_OWNER_KEY = "owner"  # in the metadata of a job: the id of the job that submitted it


@dataclass(frozen=True)
class JobServer:
    """Where jobs go: a client, and whether the cluster lives inside this process."""

    client: Any
    embedded: bool


@dataclass(frozen=True)
class Outcome:
    """How a job ended."""

    ok: bool
    status: str
    exit_code: int | None
    message: str


@contextmanager
def job_server(config: RayConfig) -> Iterator[JobServer]:
    """The job server of the plan's cluster, or of one that is started for the ``with`` block."""
    if config.dashboard and not cluster.in_job():
        cluster.prepare_environment(embedded=False)
        yield JobServer(_client(config.dashboard), embedded=False)
        return
    with cluster.connect(config, jobs=True) as connection:
        if connection.jobs_url is None:
            raise UserError(
                "ray.dashboard",
                "the address of the cluster's job server is unknown.",
                "Set ray.dashboard to http://host:8265.",
            )
        yield JobServer(_client(connection.jobs_url), connection.embedded)


def module_command(module: str, arguments: Sequence[str], *, embedded: bool) -> str:
    """Shell line that runs ``python -m module``: with this Python here, with a cluster's own there."""
    command = shlex.join([sys.executable if embedded else "python", "-m", module, *arguments])
    return f"cd {shlex.quote(os.getcwd())} && exec {command}" if embedded else command


def submit_job(
    server: JobServer,
    entrypoint: str,
    env: Mapping[str, str] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> str:
    """Start a job and return its id.

    On an embedded cluster the job sees this machine's files, so nothing is uploaded, and it dies with this
    process. On another cluster the project's code and plans are uploaded, and nothing else. A job that is
    submitted by a job ends with it.
    """
    job, metadata = f"raysubmit_{secrets.token_hex(8)}", dict(metadata or {})
    variables = {
        JOB: job,
        PROGRESS_ENV: "json",
        cluster.IN_JOB: "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "ignore",
        **(env or {}),
    }
    runtime: dict[str, Any] = {"env_vars": variables}
    if server.embedded:
        import ray

        paths = [str(HOME), *filter(None, [os.environ.get("PYTHONPATH")])]
        variables |= {"PYTHONPATH": os.pathsep.join(paths), OWNER: owner_token()}
        variables[cluster.IN_JOB] = ray.get_runtime_context().gcs_address
    elif (HOME / "pyproject.toml").is_file():
        code = code_version()
        runtime |= {"working_dir": str(HOME), "excludes": list(UPLOAD_EXCLUDES)}
        if code.commit:
            variables[COMMIT_ENV] = code.commit + ("+" if code.dirty else "")
    if cluster.in_job() and (own := os.environ.get(JOB)):
        metadata[_OWNER_KEY] = own
        variables[OWNER_JOB] = f"{own} {server.client.get_address()}"
    deadline = time.monotonic() + _AGENT_WAIT_S
    while True:
        try:
            return server.client.submit_job(
                entrypoint=entrypoint, submission_id=job, runtime_env=runtime, metadata=metadata
            )
        except KeyboardInterrupt:  # the server may already have the job
            stop_job(server, job)
            raise
        except RuntimeError as error:
            # A new cluster may not have its job agent yet; then nothing was submitted.
            if "No available agent" not in str(error) or time.monotonic() > deadline:
                raise


def job_info(server: JobServer, job_id: str) -> Any:
    """Ray's JobDetails. Raises UserError for an id that the cluster does not know."""
    try:
        return server.client.get_job_info(job_id)
    except RuntimeError as error:
        raise UserError(
            f"job {job_id}", f"the cluster does not know it ({str(error)[:200]}).", "Check the id."
        ) from None


def job_output(server: JobServer, job_id: str) -> list[str]:
    """The lines that a job has printed so far."""
    return server.client.get_job_logs(job_id).splitlines()


def find_live_job(server: JobServer, root: str, steps: Collection[str]) -> str | None:
    """The id of any user's job that is running one of these steps in this storage root.

    ``steps`` are folders of artifacts, as the runner puts them into a job's metadata.
    """
    listed = _patiently(server.client.list_jobs, "ray job server", "Check that the cluster runs.")
    for job in listed:
        named = job.metadata or {}
        if (
            job.submission_id
            and not job.status.is_terminal()
            and named.get("root") == root
            and set(named.get("steps", "").split()) & set(steps)
        ):
            return job.submission_id
    return None


def tail_job(server: JobServer, job_id: str) -> queue.SimpleQueue[str | None]:
    """A queue of the lines that a job prints, as they come; None is the last item.

    A lost connection is taken up again without repeating lines.
    """
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=_tail, args=(server, job_id, lines), name="job-tail", daemon=True).start()
    return lines


def follow_job(server: JobServer, job_id: str, *, stops: bool = True) -> Generator[str, None, None]:
    """The lines that a job prints, as they come, until it ends.

    A lost connection is taken up again without repeating lines. With ``stops``, Ctrl-C or closing the
    iterator early stops the job.
    """
    lines = tail_job(server, job_id)
    try:
        while True:
            try:
                line = lines.get(timeout=_POLL_S)  # short, so that Ctrl-C is noticed
            except queue.Empty:
                continue
            if line is None:
                return
            yield line
    except (KeyboardInterrupt, GeneratorExit):
        if stops:
            stop_job(server, job_id)
        raise


def connect(url: str) -> JobServer:
    """The job server at an address. Raises UserError if none answers."""
    return JobServer(_client(url), embedded=False)


def wait_for_job(server: JobServer, job_id: str) -> Outcome:
    """Wait for a job's end. Raises UserError if its server stays away; the job may still run then."""
    while True:
        now = _patiently(lambda: server.client.get_job_info(job_id), f"job {job_id}", _look(job_id))
        if now.status.is_terminal():
            status = str(now.status.value)
            return Outcome(status == "SUCCEEDED", status, now.driver_exit_code, now.message or "")
        time.sleep(_POLL_S)


def stop_job(server: JobServer, job_id: str, wait_s: float | None = None) -> list[str]:
    """Stop a job and those that it submitted, and wait for their end. Returns those that are still alive.

    ``wait_s`` is a few seconds by default, since a command that stops its job has to end in time itself.
    """
    alive = [job_id]
    if wait_s is None:
        wait_s = _IN_JOB_STOP_WAIT_S if cluster.in_job() else STOP_WAIT_S
    deadline = time.monotonic() + wait_s
    if server.embedded and interrupt.interrupted():
        interrupt.end_job(job_id, wait_s)
        return []  # the rest ends with this process
    with suppress(RuntimeError, OSError):
        server.client.stop_job(job_id)
        for job in server.client.list_jobs():
            inner = (job.metadata or {}).get(_OWNER_KEY) == job_id and not job.status.is_terminal()
            if inner and job.submission_id:
                server.client.stop_job(job.submission_id)
                alive.append(job.submission_id)
        while alive := [j for j in alive if not server.client.get_job_status(j).is_terminal()]:
            if time.monotonic() > deadline:
                break
            time.sleep(_POLL_S)
    return alive


def _client(url: str) -> Any:
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    logging.getLogger("ray.dashboard.modules.job.sdk").setLevel(logging.ERROR)
    try:
        return JobSubmissionClient(url)
    except (ConnectionError, RuntimeError) as error:
        raise UserError(
            f"ray job server {url}",
            f"does not answer ({error}).",
            "Check ray.dashboard, and that the cluster runs.",
        ) from None
    except AuthenticationError as error:
        raise cluster.unauthenticated(f"ray job server {url}", error) from None


def _tail(server: JobServer, job_id: str, lines: queue.SimpleQueue[str | None]) -> None:
    given = 0

    async def read() -> None:
        nonlocal given
        rest, seen = "", 0
        async for chunk in server.client.tail_job_logs(job_id):
            *whole, rest = (rest + chunk).split("\n")
            for line in whole:
                seen += 1
                if seen > given:  # after a reconnection the log is sent from its beginning
                    given = seen
                    lines.put(line)
        if rest:
            lines.put(rest)

    try:
        tries = _TAIL_TRIES
        while tries:
            whole = False
            with suppress(Exception):
                asyncio.run(read())
                whole = True
            if _ended(server, job_id):
                if whole:
                    break
                tries -= 1  # the connection was lost before the last lines
            time.sleep(1.0)
    except UserError:
        pass  # `wait_for_job` meets the same error and raises it
    finally:
        lines.put(None)


def _ended(server: JobServer, job_id: str) -> bool:
    status = _patiently(lambda: server.client.get_job_status(job_id), f"job {job_id}", _look(job_id))
    return status.is_terminal()


def _patiently(ask: Callable[[], Any], where: str, fix: str) -> Any:
    """Call ``ask`` again while the job server is away, for a limited time."""
    deadline = time.monotonic() + _LOST_S
    while True:
        try:
            return ask()
        except (OSError, RuntimeError) as error:
            if time.monotonic() > deadline:
                problem = f"its server has not answered for {_LOST_S:.0f} s ({str(error)[:200]})."
                raise UserError(where, problem, fix) from None
            time.sleep(1.0)


def _look(job_id: str) -> str:
    return f"The job may still run; see: ufvideo logs {job_id} PLAN --follow."
