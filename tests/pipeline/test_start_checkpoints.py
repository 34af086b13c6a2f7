"""What `ufvideo check` says about a start checkpoint that another plan made."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.artifacts.fingerprint import CodeVersion
from pipeline.artifacts.record import Artifact, ArtifactRecord, InputRef, commit_artifact
from pipeline.commands.start_checkpoints import start_lines
from pipeline.plan.load import load_plan_file
from pipeline.storage.location import Location

STAGE2 = Path(__file__).resolve().parents[2] / "plans" / "stage2.yaml"


def _artifact(folder: Path, kind: str, digest: str, **inputs: str) -> Artifact:
    folder.mkdir()
    record = ArtifactRecord(
        step=f"{kind}1",
        kind=kind,
        fingerprint="f" * 64,
        digest=digest * 64,
        schema_version=4,
        code=CodeVersion(package="0", source_digest="0" * 64),
        inputs={name: InputRef(uri="", fingerprint="", digest=d * 64) for name, d in inputs.items()},
        config={},
        summary={},
        created="2026-01-01T00:00:00Z",
        seconds=1,
    )
    return commit_artifact(Location.parse(folder), record)


@pytest.mark.parametrize(
    ("kind", "mine", "said"),
    [
        ("stage", "d", "trained on dataset dddddddddddd, which is this plan's."),
        ("stage", "e", "trained on dataset dddddddddddd: ANOTHER than this plan's, eeeeeeeeeeee."),
        ("stage", None, "trained on dataset dddddddddddd; this plan's dataset is not prepared yet."),
        ("init", "d", "untrained."),
    ],
)
def test_digest_and_data_of_a_start_checkpoint_are_told(
    tmp_path: Path, kind: str, mine: str | None, said: str
) -> None:
    start = _artifact(tmp_path / "start", kind, "a", prepare="d")
    dataset = _artifact(tmp_path / "data", "prepare", mine) if mine else None
    changes = [f"stages.0.start_from={start.location.uri}"]
    (line,) = start_lines(load_plan_file(str(STAGE2), changes).plan, dataset)
    assert line == f"stage2: starts from aaaaaaaaaaaa, which step {kind}1 made 2026-01-01T00:00:00Z, {said}"
