"""``make`` alone prints one line for each target."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
MAKEFILE = (REPO / "Makefile").read_text(encoding="utf-8")


def make(*arguments: str) -> str:
    # What `make test` gives its children would make this one a part of it, which says more.
    outside = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
    done = subprocess.run(
        ["make", *arguments], cwd=REPO, env=outside, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_make_alone_prints_every_target():
    (targets,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    printed = make()
    assert printed == make("help")
    lines = [line.split(maxsplit=2) for line in printed.splitlines() if line.startswith("  make ")]
    assert [line[1] for line in lines] == targets.split()
    assert all(len(line) == 3 and len(" ".join(line)) < 90 for line in lines)


def test_install_ends_with_the_line_that_activates_the_environment():
    assert ". .venv/bin/activate" in make("-n", "install").splitlines()[-1]
