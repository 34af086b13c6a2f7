"""Storage that cannot be read is reported as such, without advice to delete what may be intact."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.artifacts.checkpoint import start_config
from pipeline.artifacts.record import load_artifact
from pipeline.commands.cli import main
from pipeline.dataset.manifest import read_manifest
from pipeline.errors import StorageError, UserError
from pipeline.plan.model import ModelConfig
from pipeline.storage.location import Location
from tests.conftest import PLAN
from tests.pipeline.faulty_s3 import hasten

CAUSES = {
    "no credentials": "there are no S3 credentials",
    "no bucket": "the bucket does not exist",
    "no server": "the S3 server does not answer",
}
COMMANDS = ("check", "status", "run", "verify", "predict")
# Advice that is right only for a file that can be read and has the wrong content.
MISLEADING = re.compile(r"delete|remove|damaged|broken|is not an? |again with|make .* again|prepare", re.I)


def _predict(arguments: list[str]) -> int:
    from evaluation.predict.__main__ import main as predict

    return predict(arguments)


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("command", COMMANDS)
def test_storage_that_cannot_be_read_is_not_reported_as_broken(
    command: str,
    cause: str,
    s3_bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Fails if an ``except ValueError`` around reading a record also catches that it could not be read."""
    import s3fs

    hasten(monkeypatch)
    s3fs.S3FileSystem.clear_instance_cache()  # a client keeps the credentials that it has found
    bucket = "s3://no-such-bucket-here" if cause == "no bucket" else s3_bucket
    if cause == "no credentials":
        for name in [n for n in os.environ if n.startswith("AWS_") and "ENDPOINT" not in n]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("HOME", str(tmp_path))
    if cause == "no server":
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    plan = tmp_path / "plan.yaml"
    plan.write_text(PLAN.format(root=f"{bucket}/store"))
    there = f"{bucket}/store/init/0123456789ab"
    code = {
        "verify": lambda: main(["verify", there]),
        "predict": lambda: _predict([there, str(tmp_path / "clip.mp4"), "What is it?"]),
    }.get(command, lambda: main([command, str(plan)]))()
    message = capsys.readouterr().err
    s3fs.S3FileSystem.clear_instance_cache()
    assert code == 2
    assert CAUSES[cause] in message
    assert not MISLEADING.search(message), message


READERS: dict[str, Callable[[Location], object]] = {
    "record": load_artifact,
    "checkpoint": lambda place: start_config(place, ModelConfig.model_construct(), "stage1"),
    "manifest": read_manifest,
}


@pytest.mark.parametrize("reader", READERS)
def test_a_failing_disk_is_distinguished_from_a_wrong_file(
    reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails if an OSError of a disk or of permissions becomes a stack trace, or advice to delete."""
    for name in ("record.json", "manifest.json", "model/config.json"):
        place = tmp_path / name
        place.parent.mkdir(exist_ok=True)
        place.write_text("{}")
    with pytest.raises(UserError) as wrong:
        READERS[reader](Location.parse(tmp_path))
    assert not isinstance(wrong.value, StorageError)

    def fails(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", fails)
    with pytest.raises(StorageError, match=r"cannot be read \(Permission denied\)"):
        READERS[reader](Location.parse(tmp_path))


def test_a_missing_bucket_is_not_reported_as_a_missing_file(s3_server: str) -> None:
    """Fails if every video of a misspelt bucket is rejected as missing."""
    for look in (Location.exists, Location.is_dir, Location.list, Location.stat):
        with pytest.raises(StorageError, match="the bucket does not exist"):
            look(Location.parse("s3://no-such-bucket-here/media/a.mp4"))
