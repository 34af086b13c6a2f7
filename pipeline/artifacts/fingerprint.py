"""Which code ran: version, git commit, and a digest of its source files."""

from __future__ import annotations

import hashlib
import os
import subprocess
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict

PACKAGES = ("pipeline", "datasets_prep", "training", "evaluation")


class CodeVersion(BaseModel):
    """Which code ran. It is recorded, not fingerprinted: changed code never silently redoes weeks of work."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    package: str
    commit: str | None = None
    dirty: bool = False
    source_digest: str

    @property
    def short(self) -> str:
        """For one line of text: ``0.1.0 1a2b3c4 (changed) src 9f8e7d6c``."""
        commit = f" {self.commit[:7]}{' (changed)' if self.dirty else ''}" if self.commit else ""
        return f"{self.package}{commit} src {self.source_digest[:8]}"


@cache
def code_version() -> CodeVersion:
    """Version, git commit and a digest over the ``.py`` files of the four packages."""
    from importlib.metadata import PackageNotFoundError, version

    home = Path(__file__).resolve().parents[2]
    try:
        package = version("ufvideo-platform")
    except PackageNotFoundError:
        package = "0"
    sha = hashlib.sha256()
    for name in PACKAGES:
        for file in sorted((home / name).rglob("*.py")):
            sha.update(f"{file.relative_to(home).as_posix()}\0".encode())
            sha.update(hashlib.sha256(file.read_bytes()).digest())
    commit, dirty = _git(home)
    return CodeVersion(package=package, commit=commit, dirty=dirty, source_digest=sha.hexdigest())


COMMIT_ENV = "UFVIDEO_COMMIT"  # an uploaded working folder has no .git, so the submitter passes its commit on


def _git(home: Path) -> tuple[str | None, bool]:
    if commit := os.environ.get(COMMIT_ENV):
        return commit.removesuffix("+"), commit.endswith("+")
    if not (home / ".git").exists():
        return None, False
    run = ["git", "-C", str(home)]
    try:
        head = subprocess.run([*run, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10)
        if head.returncode:
            return None, False
        status = subprocess.run(
            [*run, "status", "--porcelain", "--", *PACKAGES], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None, False
    return head.stdout.strip(), bool(status.stdout.strip())
