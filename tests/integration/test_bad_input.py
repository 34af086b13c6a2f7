"""Users' mistakes: exit code 2, one paragraph that names the place and the fix, no partial output."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.artifacts.record import Artifact
from pipeline.dataset.arrow import SAMPLE_SCHEMA
from pipeline.dataset.manifest import MANIFEST, Manifest
from pipeline.jobs.step import StepContext, StepResult, build, make_context, run_step
from tests.integration.mini import environment, read_mini, write_mini
from tests.training.tiny_corpus import VIDEOS, write_dataset

ONE_SOURCE = (  # without demo corpora, so that no step before the one under test needs Ray
    "demo=null",
    "data.sources=[{name: qa, format: llava_video, annotations: qa.json, media: [media]}]",
    "stages.0.mixture={}",
    "stages.1.mixture={}",
    "evaluation=null",
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A mistake: how the plan is changed, and what the error message must contain."""

    old: str = ""
    new: str = ""
    sets: tuple[str, ...] = ()
    plan: str = "mini.yaml"
    message: tuple[str, ...]


CASES = {
    "unknown key": Case(
        old="train_videos:",
        new="train_video:",
        message=("mini.yaml, line ", "demo.train_video", "unknown key", "Did you mean train_videos?"),
    ),
    "no plan": Case(plan="mine.yaml", message=("mine.yaml", "no such plan file", "Give the path")),
    "no annotations": Case(
        old="${corpora}/mevis/train/meta_expressions.json",
        new="annotations/mevis.json",
        message=(
            "mini.yaml, line ",
            "data.sources.8.annotations",
            "annotations/mevis.json does not exist",
            "has no annotations",
        ),
    ),
    "batch smaller than its workers": Case(
        old="global_batch: 8",
        new="global_batch: 1",
        message=("stages.0", "global_batch 1 is less than workers 2", "workers can be 1 at most"),
    ),
    "more workers at least than at most": Case(
        sets=("stages.0.layout.min_workers=3",),
        message=("--set stages.0.layout.min_workers", "min_workers 3 is more than workers 2"),
    ),
    "no checkpoint to start from": Case(
        sets=("stages.0.start_from=other/stage1",),
        message=(
            "stages.0.start_from",
            "other/stage1/record.json is not there",
            "finished checkpoint artifact",
        ),
    ),
    "no checkpoint to score": Case(
        sets=("evaluation.checkpoints=[other/stage1]",),
        message=("evaluation.checkpoints", "other/stage1/record.json is not there", "finished checkpoint"),
    ),
}


_NOT_RESULTS = {".cache", "mlflow.db", "mlflow-files", "mlflow.log", "tracking"}


def files(folder: Path) -> dict[str, str]:
    """Every file below a folder with its digest.

    Cached digests of inputs are left out, and what MLflow holds, which shows a refused step as failed.
    """
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not _NOT_RESULTS & set(path.parts)
    }


def assert_refused(folder: Path, command: list[str], message: tuple[str, ...]) -> None:
    """Run a command that must refuse its input without leaving a file, temporary ones included."""
    (folder / "tmp").mkdir(exist_ok=True)
    before = files(folder)
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environment(TMPDIR=str(folder / "tmp")),
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, f"one paragraph:\n{done.stderr}"
    assert "Traceback" not in done.stderr + done.stdout
    for text in message:
        assert text in done.stderr
    assert files(folder) == before


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_in_the_plan_is_refused_before_anything_starts(
    mini_plan: Path, tmp_path: Path, name: str
) -> None:
    case = CASES[name]
    text = mini_plan.read_text()
    assert case.old in text
    mini_plan.write_text(text.replace(case.old, case.new, 1))
    assert_refused(
        tmp_path,
        ["pipeline", "run", case.plan, *(part for item in case.sets for part in ("--set", item))],
        case.message,
    )
    assert not (tmp_path / "store").exists()


# ------------------------------------------------------------------------------------------ broken artifacts


def prepare(context: StepContext) -> StepResult:
    """A small dataset, written without Ray."""
    folder = context.scratch / "made"
    write_dataset(folder)
    context.out.put_dir(folder / "data")
    manifest = Manifest.model_validate_json((context.out / MANIFEST).read_bytes())
    return StepResult(manifest.digest, {"samples": 4 * VIDEOS})


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """A plan of two stages with one source of its own."""
    (tmp_path / "media").mkdir()
    (tmp_path / "qa.json").write_text("[]")
    sources = ONE_SOURCE[1].replace("qa.json", str(tmp_path / "qa.json"))
    return write_mini(tmp_path, str(tmp_path / "store"), ONE_SOURCE[0], sources, *ONE_SOURCE[2:])


def prepared(plan: Path) -> Artifact:
    """The dataset of that plan."""
    return build(make_context(read_mini(plan), "prepare"), prepare)


def training_command(step: str, *sets: str) -> list[str]:
    return ["training", "--plan", "mini.yaml", "--step", step, *(p for s in sets for p in ("--set", s))]


def test_a_dataset_of_another_schema_version_is_refused(plan: Path, tmp_path: Path) -> None:
    made = prepared(plan)
    place = made.location / MANIFEST
    manifest = Manifest.model_validate_json(place.read_bytes())
    place.write_text(manifest.model_copy(update={"schema_version": 99}).model_dump_json())
    message = (place.uri, "is of schema version 99, this code reads version", "Prepare the dataset again")
    assert_refused(tmp_path, training_command("init"), message)


def test_a_shard_of_another_schema_version_is_refused(plan: Path, tmp_path: Path) -> None:
    """A file may be of another version although the manifest is right."""
    made = prepared(plan)
    shard = made.location.local_path / "data" / "qa-00000.parquet"
    (key,) = (k for k in SAMPLE_SCHEMA.metadata or {} if b"version" in k)
    pq.write_table(pq.read_table(shard).replace_schema_metadata({key: b"99"}), shard)
    message = (str(shard), "holds samples of schema version 99", "Prepare the dataset again")
    assert_refused(tmp_path, training_command("init"), message)


def test_a_start_checkpoint_of_another_size_is_refused(plan: Path, tmp_path: Path) -> None:
    from training.run import init

    prepared(plan)
    assert run_step("training", {"init": init}, ["--plan", str(plan), "--step", "init"]) == 0
    (checkpoint,) = (tmp_path / "store" / "init").iterdir()
    sets = (f"stages.0.start_from={checkpoint}", "model.overrides.language.hidden_size=64")
    message = (
        "stage stage1",
        f"its start checkpoint {checkpoint} is a model of another size",
        "language.hidden_size is 128, the plan says 64",
        "Make model.preset and model.overrides those of the checkpoint",
    )
    assert_refused(
        tmp_path, ["pipeline", "check", "mini.yaml", *(word for s in sets for word in ("--set", s))], message
    )


@pytest.mark.parametrize(
    "setting", ["stages.0.start_from={}", "evaluation={{checkpoints: [{}], BENCHMARKS}}"]
)
def test_a_dataset_in_place_of_a_checkpoint_is_refused(plan: Path, tmp_path: Path, setting: str) -> None:
    made = prepared(plan)
    value = setting.format(made.location.uri).replace(
        "BENCHMARKS", "benchmarks: [{source: qa, family: charades_sta}]"
    )
    sets = ("--set", value, *(("--set", "data.sources.0.use=benchmark") if "BENCHMARKS" in setting else ()))
    message = (
        made.location.uri,
        "is an artifact of kind prepare, which holds no model",
        "training stage",
    )
    assert_refused(tmp_path, ["pipeline", "run", "mini.yaml", *sets], message)
