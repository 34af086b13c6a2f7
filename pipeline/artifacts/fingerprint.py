"""Stable digests: of settings, of files, and of the code that ran."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import subprocess
import time
from collections.abc import Mapping
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from pipeline.storage.location import Location

PACKAGES = ("pipeline", "datasets_prep", "training", "evaluation")
_BLOCK = 1 << 20
_SETTLED_S = 2.0  # a file written within this time may change again without a new mtime, so it is not cached


def plain(value: Any) -> Any:
    """Models, dataclasses, enums, tuples and paths as dicts, lists, text and numbers.

    Raises TypeError for anything that has no one stable form.
    """
    if isinstance(value, Enum):
        return plain(value.value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, BaseModel):
        return {name: plain(getattr(value, name)) for name in type(value).model_fields}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(plain(k)): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, set | frozenset):
        return sorted((plain(v) for v in value), key=lambda v: json.dumps(v, sort_keys=True))
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no stable form to hash")


def canonical(value: Any) -> bytes:
    """Sorted-key JSON without spaces; floats as ``repr`` writes them; NaN and infinities are refused."""
    return json.dumps(
        plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def digest(value: Any) -> str:
    """SHA-256 of the canonical form, in hex."""
    return hashlib.sha256(canonical(value)).hexdigest()


def hash_cache(root: Location) -> Path:
    """Where file digests are remembered: ``.cache`` in a local storage root, else the local cache folder."""
    return (root.local_path / ".cache" if root.is_local else root.cache_dir()) / "sha256"


def file_sha256(location: Location, cache_dir: Path) -> str:
    """SHA-256 of a file's bytes, remembered in ``cache_dir`` by (uri, stat_key). Raises FileNotFoundError."""
    key = hashlib.sha256(f"{location.uri}@{location.stat_key()}".encode()).hexdigest()
    note = Location.parse(cache_dir / key[:2] / key)
    try:
        return note.read_text()
    except FileNotFoundError:
        pass
    sha256 = content_sha256(location)
    if not location.is_local or time.time() - os.stat(location.uri).st_mtime > _SETTLED_S:
        note.write_text(sha256)
    return sha256


def content_sha256(location: Location) -> str:
    """SHA-256 of a file's bytes, read block by block: it may be larger than memory."""
    sha = hashlib.sha256()
    with location.open_read() as file:
        while block := file.read(_BLOCK):
            sha.update(block)
    return sha.hexdigest()


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


COMMIT_ENV = "UFVIDEO_COMMIT"  # an uploaded working folder has no .git, so the submitter says its commit


def _git(home: Path) -> tuple[str | None, bool]:
    if told := os.environ.get(COMMIT_ENV):
        return told.removesuffix("+"), told.endswith("+")
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
