"""Problems found before anything starts are reported all at once, by line, with the fix."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.artifacts.survey import survey
from pipeline.commands import cluster_size
from pipeline.commands.preflight import preflight, refuse_steps
from pipeline.errors import UserError
from pipeline.jobs.step import StepResult, build, make_context
from pipeline.plan.load import load_plan, load_plan_file
from tests.pipeline.faulty_s3 import hasten

REPO = Path(__file__).resolve().parents[2]


def ufvideo(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(REPO)},
        timeout=120,
    )


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A plan that names files outside the demo corpora; of these only one folder of videos exists."""
    (tmp_path / "LLaVA-Video").mkdir()
    (tmp_path / "videos").mkdir()
    path = tmp_path / "outside.yaml"
    path.write_text(f"""\
name: outside
storage: {{root: {tmp_path}/store}}
ray: {{num_cpus: 2, num_gpus: 0}}
data:
  sources:
    - name: talk
      format: llava_video
      annotations: {tmp_path}/LLaVA-Vdeo/talk.json
      media: [{tmp_path}/videos, {tmp_path}/vidoes]
    - name: seg
      format: meta_expressions
      annotations: {tmp_path}/meta.json
      masks: {tmp_path}/masks.json
      media: {tmp_path}/frames
model:
  preset: toy
  weights: {{language: {tmp_path}/qwen}}
stages:
  - name: stage1
    global_batch: 8
    steps: 4
    layout: {{workers: 4, micro_batch: 2, cpus_per_worker: 8}}
evaluation:
  checkpoints: [stage1, {tmp_path}/other/stage2]
  benchmarks: [{{source: seg, family: mevis, seen: true}}]
""")
    return path


@pytest.mark.parametrize("command", ["check", "run"])
def test_everything_that_is_missing_is_reported_at_once(outside: Path, tmp_path: Path, command: str):
    """Catches missing paths that are reported one at a time, and folders of videos that are not checked."""
    done = ufvideo(command, str(outside))
    assert done.returncode == 2, done.stdout + done.stderr
    message = done.stderr.replace(str(tmp_path), "T")
    assert message.startswith("error: T/outside.yaml: 12 problems:\n")
    for expected in (
        "line 8, data.sources.0.annotations: T/LLaVA-Vdeo/talk.json does not exist. T has no LLaVA-Vdeo. "
        "Did you mean LLaVA-Video?",
        "line 9, data.sources.0.media.1: T/vidoes does not exist. T has no vidoes. Did you mean videos?",
        "line 12, data.sources.1.annotations: T/meta.json does not exist.",
        "line 13, data.sources.1.masks: T/masks.json does not exist.",
        "line 14, data.sources.1.media.0: T/frames does not exist.",
        "line 17, model.weights.language: loads a language model, whose rows are those of its own tokenizer",
        "line 17, model.weights.language: T/qwen does not exist.",
        "line 22, stages.0.layout.workers: stage stage1 asks for 4 workers x 8 CPUs = 32 CPUs, and the "
        "cluster within the command has 2.",
        "line 22, stages.0.layout.use_gpu: stage stage1 asks for 4 GPUs, and ray.num_gpus is 0.",
        "line 24, evaluation.checkpoints.1: T/other/stage2/record.json is not there.",
        "line 23, evaluation.cpus_per_actor: an actor asks for 4 CPUs, and the cluster within the command",
        "line 23, evaluation.use_gpu: evaluation asks for a GPU, and ray.num_gpus is 0.",
    ):
        assert f"\n  {expected}" in message
    assert not (tmp_path / "store").exists()


def test_only_the_requested_steps_are_checked(outside: Path, tmp_path: Path):
    """Catches a plan for GPUs whose data cannot be prepared on a machine without GPUs."""
    for name in ("LLaVA-Vdeo/talk.json", "meta.json", "masks.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("[]")
    for name in ("frames", "vidoes", "qwen"):
        (tmp_path / name).mkdir()
    sets = ["model.tokenizer.path=" + str(tmp_path / "qwen"), "evaluation.checkpoints=[stage1]"]
    plan = load_plan(str(outside), sets)
    preflight(plan)
    plan_status = survey(plan)
    with pytest.raises(UserError, match="asks for 4 GPUs"):
        refuse_steps(plan, plan_status.decide())
    refuse_steps(plan, [d for d in plan_status.decide() if d.spec.name == "prepare"])
    # Videos may be removed once the dataset exists.
    (tmp_path / "vidoes").rmdir()
    prepare = [d for d in plan_status.decide() if d.spec.name == "prepare"]
    with pytest.raises(UserError, match="vidoes does not exist"):
        refuse_steps(plan, prepare)
    build(make_context(plan, "prepare"), lambda context: StepResult("d", {}))
    refuse_steps(plan, [d for d in survey(plan).decide() if d.spec.name == "prepare"])


def test_a_storage_that_does_not_answer_is_reported_once(outside: Path, monkeypatch: pytest.MonkeyPatch):
    """Catches one wait and one line for each path on a server that is down."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    hasten(monkeypatch)
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
    }.items():
        monkeypatch.setenv(name, value)
    text = outside.read_text().replace(f"{outside.parent}/", "s3://bucket/")
    outside.write_text(text.replace("root: s3://bucket/store", f"root: {outside.parent}/store"))
    file = load_plan_file(str(outside))
    begun = time.monotonic()
    with pytest.raises(UserError) as error:
        preflight(file.plan, file.where, {"prepare"})
    assert str(error.value).count("does not answer") == 1
    assert "does not exist" not in str(error.value)
    assert time.monotonic() - begun < 120


def test_gpus_are_counted_by_their_device_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, plan_file: Path
):
    config = load_plan(str(plan_file), ["ray.num_gpus=null"]).ray
    monkeypatch.setattr(cluster_size, "_GPU_FILES", str(tmp_path / "nvidia[0-9]*"))
    monkeypatch.setattr(cluster_size, "_OTHER_GPU_FILES", (str(tmp_path / "kfd"),))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert cluster_size._gpus(config) == 0
    (tmp_path / "kfd").touch()
    assert cluster_size._gpus(config) is None, "only the driver could count these GPUs"
    for name in ("nvidia0", "nvidia1", "nvidiactl"):
        (tmp_path / name).touch()
    assert cluster_size._gpus(config) == 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert cluster_size._gpus(config) == 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert cluster_size._gpus(config) == 0
