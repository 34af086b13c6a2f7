"""The jobs of a submitted run's steps end when the run is stopped or killed."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.clusters import nodes
from tests.integration.mini import ufvideo, until, write_mini
from tests.pipeline.terminal import processes_with

WAIT_S = 300.0  # a bound for a busy machine
MARK = "TEST_MARK"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc"),
]


class Submitted:
    """A run on a cluster of one node, whose processes all have a mark. Its first step has begun."""

    def __init__(self, folder: Path, client: Any, plan: str, mark: str) -> None:
        self.folder, self.client, self.plan, self.mark = folder, client, plan, mark
        sent = ufvideo(folder, "submit", plan)
        assert sent.returncode == 0, sent.stderr
        self.job = sent.stdout.strip()
        until(lambda: self.inner() and self.commands("datasets_prep"), WAIT_S, "the job of the first step")

    def inner(self) -> list[Any]:
        """The jobs that the run has submitted."""
        return [j for j in self.client.list_jobs() if (j.metadata or {}).get("owner") == self.job]

    def commands(self, module: str) -> list[int]:
        """Processes that run a module of the project on the cluster."""
        return [
            pid
            for pid, line in processes_with(self.mark).items()
            if f" -m {module} " in line and "/bin/sh" not in line
        ]

    def gone(self) -> bool:
        """True once the run and its steps have ended."""
        return not self.commands("pipeline") and not self.commands("datasets_prep")


@pytest.fixture
def submitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Submitted]:
    pytest.importorskip("requests")
    mark = uuid.uuid4().hex
    with monkeypatch.context() as patch:
        patch.setenv(MARK, mark)  # the cluster's processes inherit it, the command's do not matter
        with nodes(tmp_path, 1) as cluster:
            patch.setenv("RAY_AUTH_MODE", "disabled")
            from ray.job_submission import JobSubmissionClient

            more = (
                f"ray.dashboard={cluster.jobs_url}",
                "demo.train_videos=400",
            )  # drawing them takes a while
            path = write_mini(tmp_path, str(tmp_path / "store"), *more)
            yield Submitted(tmp_path, JobSubmissionClient(cluster.jobs_url), path.name, mark)


def test_stop_ends_the_run_and_the_job_of_its_step(submitted: Submitted) -> None:
    stopped = ufvideo(submitted.folder, "stop", submitted.job, submitted.plan)
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    assert f"{submitted.job}: stopped" in stopped.stdout
    assert submitted.gone()
    assert [job.status.value for job in submitted.inner()] == ["STOPPED"]
    again = ufvideo(submitted.folder, "stop", submitted.job, submitted.plan)
    assert "had already ended: stopped" in again.stdout


def test_ray_s_own_stop_ends_the_job_of_its_step(submitted: Submitted) -> None:
    submitted.client.stop_job(submitted.job)
    until(submitted.gone, 20, "the end of both")


def test_a_step_ends_after_its_run_was_killed(submitted: Submitted) -> None:
    for pid in submitted.commands("pipeline"):
        os.kill(pid, signal.SIGKILL)
    until(submitted.gone, WAIT_S, "the end of the step")
