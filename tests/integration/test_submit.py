"""A whole run is submitted to a separate cluster of two nodes, and is followed and inspected from outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.artifacts.survey import survey
from tests.integration.clusters import nodes
from tests.integration.mini import read_mini, ufvideo, write_mini


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_whole_run_is_submitted_to_another_cluster_and_followed(tmp_path: Path) -> None:
    pytest.importorskip("requests")
    with nodes(tmp_path, 2) as cluster:
        path = write_mini(tmp_path, str(tmp_path / "store"), f"ray.dashboard={cluster.jobs_url}")
        submitted = ufvideo(tmp_path, "submit", path.name)
        assert submitted.returncode == 0, submitted.stderr
        job = submitted.stdout.strip()
        assert f"ufvideo logs {job} {path.name} --follow" in submitted.stderr

        followed = ufvideo(tmp_path, "logs", job, path.name, "--follow", timeout_s=1500)
        assert followed.returncode == 0, followed.stderr
        assert "9 of 9 steps to make" in followed.stdout, followed.stdout
        assert "@@progress" not in followed.stdout
        status = ufvideo(tmp_path, "status", job, path.name)
        assert status.stdout.startswith(f"{job}: succeeded"), followed.stdout

        plan_status = survey(read_mini(path))
        assert all(plan_status.artifacts[spec.name] for spec in plan_status.specs)
        report = plan_status.artifacts["report"]
        assert report is not None
        table = (report.location / "table.txt").read_text()
        assert table.strip() in followed.stdout
        steps = ufvideo(tmp_path, "status", path.name)
        assert steps.stdout.count("done ") >= len(plan_status.specs), steps.stdout

        unknown = ufvideo(tmp_path, "logs", "raysubmit_none", path.name)
        assert unknown.returncode == 2
        assert "does not know it" in unknown.stderr
