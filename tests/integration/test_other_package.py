"""A format of an installed package is prepared by the command, in Ray's processes too."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from pipeline.artifacts.survey import survey
from pipeline.dataset.reader import ShardReader
from pipeline.plan import registry
from pipeline.plan.load import load_plan
from tests.datasets_prep.clips import write_clip
from tests.datasets_prep.test_formats import READER
from tests.integration.mini import REPO, environment

PLAN = """\
name: other
storage: {root: runs}
ray: {num_cpus: 2, object_store_mb: 100}
data:
  sources:
    - {name: lines, format: lines_tsv, annotations: train.tsv, media: media}
"""


@pytest.mark.slow
def test_a_format_of_an_installed_package_is_prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    home = tmp_path / "site"
    info = home / "other_captions-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-captions\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ufvideo.formats]\nlines_tsv = other_captions:FORMAT\n")
    (home / "other_captions.py").write_text(textwrap.dedent(READER))
    write_clip(tmp_path / "media" / "a.mp4", frames=8, fps=8)
    (tmp_path / "train.tsv").write_text("a.mp4\tA red square.\nno tab\na.mp4\tIt moves.\n")
    (tmp_path / "plan.yaml").write_text(PLAN)
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "run", "plan.yaml"],
        cwd=tmp_path,
        env=environment(PYTHONPATH=f"{REPO}:{home}"),
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    monkeypatch.syspath_prepend(str(home))
    registry._foreign.cache_clear()
    monkeypatch.chdir(tmp_path)
    made = survey(load_plan("plan.yaml")).artifacts["prepare"]
    assert made is not None
    registry._foreign.cache_clear()
    reader = ShardReader(made.location)
    entry = reader.manifest.source("lines")
    assert (entry.read, entry.kept, entry.rejects) == (3, 2, {"malformed": 1})
    assert [turn.text for turn in reader.sample("lines", 0).turns] == ["What happens?", "A red square."]
