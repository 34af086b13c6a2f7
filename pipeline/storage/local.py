"""Writes on the local disk, each in one atomic act, and what killed writers leave behind."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import StorageError
from pipeline.storage.listing import TEMP


def write(target: str | Path, fill: Callable[[Path], object]) -> None:
    """Fill a temporary sibling, flush it to the disk, and give it this name."""
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=TEMP, dir=target.parent)
    os.close(handle)
    temp = Path(name)
    try:
        fill(temp)
        with open(temp, "rb") as file:
            os.fsync(file.fileno())
        temp.chmod(0o644)
        os.replace(temp, target)
    finally:
        temp.unlink(missing_ok=True)


def link(source: str, temp: Path) -> None:
    """Make ``temp``, which ``write`` created, a hard link to a file, or its copy where there are no links."""
    temp.unlink()
    try:
        os.link(source, temp)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, temp)


def put_dir(folder: str | Path, source: Path) -> None:
    """Copy a folder, replacing an existing one."""
    target = Path(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    temp = Path(tempfile.mkdtemp(prefix=f"{TEMP}{target.name}-", dir=target.parent))
    try:
        shutil.copytree(source, temp, dirs_exist_ok=True)
        # Some libraries write files for their owner alone; others on the cluster have to read them.
        for path in (temp, *temp.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        delete(target)
        temp.rename(target)
    finally:
        shutil.rmtree(temp, ignore_errors=True)


def make_dir(target: Path, fill: Callable[[Path], object]) -> None:
    """Fill a temporary folder and give it this name, if it is still free: others make the same content."""
    temp = Path(tempfile.mkdtemp(prefix=TEMP, dir=target.parent))
    try:
        fill(temp)
        try:
            temp.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(temp, ignore_errors=True)


def delete(place: str | Path) -> None:
    """Remove a file, a link or a whole tree, if it exists."""
    if os.path.isdir(place) and not os.path.islink(place):
        shutil.rmtree(place)
    elif os.path.lexists(place):
        os.unlink(place)


def sweep(folder: str | Path) -> None:
    """Remove temporary files and folders of killed writers below this folder, and copies of it beside it.

    A copy of ``put_dir`` is beside its target and carries its name, so those of other folders stay.
    """
    place = Path(folder)
    # mkdtemp's random part has no hyphen, so a copy for `a-b` is not taken for one of `a`.
    own = re.compile(rf"{re.escape(TEMP + place.name)}-[a-z0-9_]+")
    beside = [p for p in place.parent.glob(TEMP + "*") if own.fullmatch(p.name)]
    for stale in (*beside, *place.rglob(TEMP + "*")):
        delete(stale)


@contextmanager
def readable_errors(path: str) -> Iterator[None]:
    """Turn failures of this machine's disk into StorageError; a missing file stays FileNotFoundError."""
    try:
        yield
    except OSError as error:
        if StorageError.is_unreadable(error):
            raise StorageError.of(path, error) from error
        raise
