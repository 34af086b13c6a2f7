"""A stage on two CPU workers, small enough to be killed and started again often."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import yaml

from pipeline.artifacts.fingerprint import code_version
from pipeline.artifacts.record import ArtifactRecord, commit_artifact, now
from pipeline.artifacts.survey import survey
from pipeline.jobs.step import build, make_context
from pipeline.plan.load import load_plan
from pipeline.plan.plan import Plan
from tests.training.tiny_corpus import stage, write_dataset
from training.run import init

STEPS = 6
SOURCES = ("qa", "refer", "seg", "when")  # of the tiny corpus


def empty_sources(folder: Path, media: Path) -> list[dict[str, object]]:
    """Sources of a plan whose dataset is written by the test itself: their lists hold nothing."""
    for name in SOURCES:
        (folder / f"{name}.json").write_text("[]")
    return [
        {
            "name": name,
            "format": "llava_video",
            "annotations": str(folder / f"{name}.json"),
            "media": [str(media)],
        }
        for name in SOURCES
    ]


def write_plan(folder: Path, steps: int, **layout: object) -> Path:
    """A plan of one stage on two CPU workers, with its dataset already prepared."""
    folder.mkdir(parents=True)
    config = stage(
        steps=steps,
        global_batch=4,
        layout={"workers": 2, "micro_batch": 1, "save_every": 2, "max_failures": 0} | layout,
    )
    plan = {
        "name": "tiny",
        "storage": {"root": str(folder / "runs")},
        "ray": {"num_cpus": 2, "object_store_mb": 100},
        "model": {"preset": "toy", "tokenizer": {"vocab_size": 400}},
        "data": {"sources": empty_sources(folder, folder / "corpus/media")},
        "stages": [config.model_dump(mode="json", exclude_none=True)],
    }
    path = folder / "plan.yaml"
    path.write_text(yaml.safe_dump(plan))
    return path


def commit_dataset(plan: Plan, folder: Path) -> None:
    """Commits a finished prepare artifact where the plan expects it."""
    plan_status = survey(plan)
    out = plan_status.folder("prepare")
    data = write_dataset(folder / "corpus")
    out.put_dir(data.local_path)
    record = ArtifactRecord(
        step="prepare",
        kind="prepare",
        fingerprint=plan_status.fingerprints["prepare"],
        digest="tiny",
        schema_version=1,
        code=code_version(),
        inputs={},
        config={},
        summary={},
        created=now(),
        seconds=0.0,
    )
    commit_artifact(out, record)


def plan_with_init(folder: Path, *, steps: int = STEPS, **layout: object) -> Plan:
    """A plan with its data and its first checkpoint."""
    plan = load_plan(str(write_plan(folder, steps, **layout)))
    commit_dataset(plan, folder)
    build(make_context(plan, "init"), init)
    return plan


def saved_states(out: Path) -> list[str]:
    """Names of the states that Ray Train knows, the newest last."""
    try:
        found = json.loads((out / "run" / "checkpoint_manager_snapshot.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):  # it is being written
        return []
    return [one["checkpoint_dir_name"] for one in found["checkpoint_results"]]


def kill_the_job_after(count: int, plan: Plan, plan_file: Path) -> list[str]:
    """SIGKILL the command and its own Ray after that many saved states. Returns their names."""
    out, log_file = survey(plan).folder("one").local_path, plan_file.with_suffix(".log")
    command = [sys.executable, "-m", "training", "--plan", str(plan_file), "--step", "one"]
    env = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}
    with log_file.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, env=env)
        while len(saved_states(out)) < count:
            assert process.poll() is None, log_file.read_text()
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return saved_states(out)
