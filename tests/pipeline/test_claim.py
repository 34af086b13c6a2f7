"""One writer for each artifact, on disk and on S3, however the first one ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.jobs import claim
from pipeline.storage.location import Location

REPO = Path(__file__).resolve().parents[2]
HOLDS = """
import sys, time
from pipeline.jobs import claim
from pipeline.storage.location import Location
assert claim.take(Location(sys.argv[1]), claim.RUN, "ufvideo run")
print("mine", flush=True)
time.sleep(600)
"""


def test_a_claim_on_disk_is_free_again_when_its_holder_is_killed(tmp_path: Path) -> None:
    folder = Location(str(tmp_path / "stage1" / "0123"))
    command = [sys.executable, "-c", HOLDS, folder.uri]
    environment = os.environ | {"PYTHONPATH": str(REPO)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "mine\n"
            assert claim.take(folder, claim.RUN, "another") is None
            assert str(process.pid) in str(claim.holder(folder, claim.RUN))
            step = claim.take(folder, claim.STEP, "python -m training")
            assert step, "the claim of a run must not block its own step"
            step.release()
        finally:
            process.send_signal(signal.SIGKILL)
    own = claim.take(folder, claim.RUN, "another")
    assert own
    own.publish("http://127.0.0.1:1", "raysubmit_1")
    found = claim.holder(folder, claim.RUN)
    assert found
    assert (found.command, found.job) == ("another", "raysubmit_1")
    own.release()
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_a_claim_on_s3_is_free_again_when_it_is_not_renewed(
    s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim, "BEAT_S", 0.3)
    monkeypatch.setattr(claim, "LAPSE_S", 2.0)
    folder = Location.parse(f"{s3_bucket}/runs/stage1/0123")
    first = claim.take(folder, claim.RUN, "first")
    assert first
    time.sleep(4)
    assert claim.take(folder, claim.RUN, "second") is None, "the first holder renews it"
    first.publish("http://10.0.0.1:8265", "raysubmit_1")
    found = claim.holder(folder, claim.RUN)
    assert found
    assert (found.command, found.job) == ("first", "raysubmit_1")

    first._stop.set()  # as if its machine were gone
    deadline = time.monotonic() + 60
    while (second := claim.take(folder, claim.RUN, "second")) is None:
        assert time.monotonic() < deadline
        time.sleep(0.3)
    first.publish("", "")  # the first holder returns, and must not take the claim from the second
    found = claim.holder(folder, claim.RUN)
    assert found
    assert found.command == "second"
    first.release()
    assert claim.take(folder, claim.RUN, "third") is None
    second.release()
    assert claim.holder(folder, claim.RUN) is None
