"""A cluster with an autoscaler is not refused for the GPUs that it does not have yet."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.clusters import RAY, WAIT_S, free_port
from tests.integration.mini import environment, until

# Ray's own provider for tests: its nodes are processes of this machine, its autoscaler is the real one.
CONFIG: dict[str, Any] = {
    "cluster_name": "fake_multinode",
    "max_workers": 2,
    "provider": {
        "type": "fake_multinode",
        "disable_launch_config_check": True,
        "disable_node_updaters": True,
        "use_node_id_as_ip": True,
    },
    "head_node_type": "ray.head.default",
    "available_node_types": {
        "ray.head.default": {"resources": {"CPU": 1}, "node_config": {}, "max_workers": 0},
        "gpu": {"resources": {"CPU": 1, "GPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": 1},
    },
    "upscaling_speed": 1.0,
    "idle_timeout_minutes": 5,
    **{name: {} for name in ("auth", "docker", "file_mounts")},
    **{name: [] for name in ("initialization_commands", "setup_commands", "head_setup_commands")},
    **{name: [] for name in ("worker_setup_commands", "head_start_ray_commands")},
    **{name: [] for name in ("worker_start_ray_commands", "cluster_synced_files", "rsync_exclude")},
    "rsync_filter": [],
    "file_mounts_sync_continuously": False,
}

SCRIPT = """
import sys, time
from pipeline.jobs import capacity, cluster
from pipeline.plan.runtime import RayConfig
need = capacity.Need(where="stage stage1: layout", count=1, cpus=1, gpus=1, fix="Mend it.")
with cluster.connect(RayConfig(address=sys.argv[1])):
    deadline = time.monotonic() + 60
    while not capacity.grows() and time.monotonic() < deadline:
        time.sleep(1)  # the autoscaler has not reported yet
    capacity.refuse_cluster(need)
    print(capacity.waiting_line(need), flush=True)
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_step_waits_for_a_growing_cluster(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "cluster.json").write_text(json.dumps(CONFIG))
    command = [str(RAY), "start", "--head", "--block", "--disable-usage-stats", "--num-cpus=1"]
    command += [f"--port={port}", "--include-dashboard=false", f"--object-store-memory={100 * 2**20}"]
    command += [
        f"--dashboard-agent-listen-port={free_port()}",
        f"--autoscaling-config={tmp_path}/cluster.json",
    ]
    more = {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_AUTH_MODE": "disabled"}
    variables = environment(**more, RAY_agent_register_timeout_ms="100000")
    with (tmp_path / "head.log").open("wb") as log:
        head = subprocess.Popen(command, env=variables, stdout=log, stderr=log)
    try:
        log_file = tmp_path / "head.log"
        until(lambda: b"--address=" in log_file.read_bytes(), WAIT_S, "the head")
        address = re.search(r"--address='([\d.:]+)'", log_file.read_text())
        assert address
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, address[1]],
            env=variables,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(
            "stage stage1: layout: waits for 1 x 1 CPUs and 1 GPU; the cluster is to grow"
        )
    finally:
        head.terminate()
        head.wait(timeout=60)
