"""A stage on a cluster that loses a node and gets another: it goes on with the workers that there are."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml

from pipeline.artifacts.curves import CURVES, read_curves
from pipeline.artifacts.survey import survey
from pipeline.plan.load import load_plan
from tests.integration.clusters import WAIT_S, joining, nodes
from tests.integration.mini import environment, until
from tests.training.killable import plan_with_init, saved_states

STEPS = 240
LONG_S = 3 * WAIT_S  # for a group of workers on a busy machine


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL everything of a node, as if its machine were switched off."""
    for child in psutil.Process(process.pid).children(recursive=True):
        child.kill()


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_a_stage_loses_a_node_and_gets_another(tmp_path: Path) -> None:
    """Catches a stage that waits for ever for all of its workers, or begins again with fewer."""
    layout = {"min_workers": 1, "cpus_per_worker": 1, "save_every": 5, "max_failures": 4}
    plan = plan_with_init(tmp_path / "plan", steps=STEPS, **layout)
    out, log_file = survey(plan).folder("one").local_path, tmp_path / "log"
    with nodes(tmp_path, 1) as cluster, joining(tmp_path, "second", cluster) as second:
        plan_file = tmp_path / "plan" / "plan.yaml"
        content = yaml.safe_load(plan_file.read_text())
        content["ray"] = {"address": cluster.address}
        plan_file.write_text(yaml.safe_dump(content))
        command = [sys.executable, "-m", "training", "--plan", str(plan_file), "--step", "one"]
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                command, env=environment(), stdout=log, stderr=log, start_new_session=True
            )

        def told(text: str, times: int = 1) -> bool:
            assert process.poll() is None, log_file.read_text()
            return log_file.read_text().count(text) >= times

        try:
            until(lambda: told("runs on 2 of 2 workers"), LONG_S, "both workers")
            until(lambda: saved_states(out), LONG_S, "a saved state")
            kill(second)
            until(lambda: told("runs on 1 of 2 workers"), LONG_S, "the worker that is left")
            before = saved_states(out)[-1]
            until(lambda: saved_states(out)[-1:] not in ([], [before]), LONG_S, "a state of one worker")
            until(lambda: cluster.alive() == 1, LONG_S, "the head to miss the node")
            with joining(tmp_path, "third", cluster):
                until(lambda: told("runs on 2 of 2 workers", 2), LONG_S, "the new node")
                assert process.wait(LONG_S) == 0, log_file.read_text()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    made = survey(load_plan(str(plan_file))).folder("one")
    assert [row.step for row in read_curves(made / CURVES)] == list(range(STEPS))
    assert json.loads((made / "training.json").read_text())["quarantined"] == []
