"""The guides do what they say: their commands, run one after the other on one's own data."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.artifacts.survey import survey
from pipeline.commands.uneven import uneven_lines
from pipeline.plan.load import load_plan
from tests.integration.test_own_data_page import own_data
from tests.pages import REPO, blocks, commands
from tests.shell import shell

S3, MOVING, GPUS = "docs/guides/s3.md", "docs/guides/moving-artifacts.md", "docs/guides/gpus.md"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Five clips, their records, and the plan of the page about one's own data."""
    own_data(tmp_path)
    typed(tmp_path, "ufvideo new my-data --toy")
    return tmp_path


def typed(folder: Path, command: str) -> str:
    """What a command prints. It must succeed."""
    done = shell(folder, command, 300)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def assert_says(printed: str, quoted: str) -> None:
    """The quoted text of a page, in which ``…`` is for what differs from run to run."""
    pattern = ".*".join(map(re.escape, quoted.strip().split("…")))
    assert re.search(pattern, printed), (quoted, printed)


@pytest.mark.slow  # it prepares through the command, with a Ray of its own
def test_the_guide_to_moving_artifacts(project: Path):
    quotes = iter(blocks(MOVING, "text"))
    run, copy, verify, again, rebuild = commands(MOVING)
    typed(project, run)
    typed(project, copy)
    for command in (verify, again, rebuild):
        assert_says(typed(project, command), next(quotes))
    part = min((project / "my-data" / "copy" / "prepare").glob("*/data/*"))
    part.write_bytes(part.read_bytes()[:-1])
    assert shell(project, verify, 60).returncode == 1


@pytest.mark.slow
def test_the_guide_to_s3(project: Path, s3_bucket: str):
    check, run, status = (line.replace("s3://bucket", s3_bucket) for line in commands(S3))
    typed(project, check)
    typed(project, run)
    typed(project, commands(MOVING)[0])  # the same on the disk
    local, remote = (
        survey(load_plan(str(project / "my-data" / "plan.yaml"), more)).artifacts["prepare"]
        for more in ([], [f"storage.root={s3_bucket}/my-data"])
    )
    assert local is not None
    assert remote is not None
    assert local.record.digest == remote.record.digest
    assert remote.location.uri in typed(project, status)
    typed(project, f"ufvideo verify {remote.location.uri}")


def test_the_messages_of_the_guide_to_s3_are_those_of_the_code():
    told = re.findall(r"^\| ((?:there are|the) [^|]*[a-z0-9]) \|", (REPO / S3).read_text(), re.MULTILINE)
    assert len(told) == 4
    code = (REPO / "pipeline" / "storage" / "s3.py").read_text()
    assert [text for text in told if text not in code] == []


def test_the_guide_to_gpus_quotes_what_check_says_of_a_layout():
    (quoted,) = blocks(GPUS, "text")
    (check,) = [line for line in commands(GPUS) if "layout.workers=" in line]
    _, _, plan, _, changed = check.split()
    assert list(uneven_lines(load_plan(str(REPO / plan), [changed]))) == [quoted.strip()]
