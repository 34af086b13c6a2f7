"""SHA-256 of files, local or on S3, each read once and cached."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

import orjson

from pipeline.storage.listing import Stat
from pipeline.storage.location import Location

_BLOCK = 1 << 20
_SETTLED_S = 2.0  # a file written within this time may change again without a new mtime, so it is not cached


def hash_cache(root: Location) -> Path:
    """The cache of file digests: ``.cache`` in a local storage root, else the local cache folder."""
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


def files_sha256(folder: Location, files: Sequence[tuple[str, Stat]], cache_dir: Path) -> list[str]:
    """SHA-256 of files below a folder, given by path and stat, remembered in ``cache_dir`` in one table.

    A table, since a set may have a hundred thousand small files, and as many cache files would be slow.
    """
    name = hashlib.sha256(folder.uri.encode()).hexdigest()[:32]
    place = Location.parse(cache_dir / "folders" / f"{name}.json")
    known, new = _table(place), dict[str, tuple[str, str]]()
    out = []
    for path, stat in files:
        key, sha256 = known.get(path, ("", ""))
        if not key or key != stat.key:
            read = _small_local_file(f"{folder.uri}/{path}", stat.size) if folder.is_local else None
            # A location of any name, also one that `/` refuses.
            sha256, settled = read or _any_file(Location(f"{folder.uri}/{path}", folder.cache))
            if settled:
                new[path] = (stat.key, sha256)
        out.append(sha256)
    if new:  # read again: another process may have written digests of other files meanwhile
        place.write_bytes(orjson.dumps({**_table(place), **new}))
    return out


def _small_local_file(path: str, size: int) -> tuple[str, bool] | None:
    """SHA-256 of a file, and whether it can be cached; opening it as a Location takes five times as long.

    None for a large file, for one that has changed since it was listed with ``size``, and for one that cannot
    be read, which ``_any_file`` explains.
    """
    if size >= _BLOCK:
        return None
    try:
        number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        content, age = os.read(number, size + 1), time.time() - os.fstat(number).st_mtime
    except OSError:
        return None
    finally:
        os.close(number)
    return (hashlib.sha256(content).hexdigest(), age > _SETTLED_S) if len(content) == size else None


def _any_file(file: Location) -> tuple[str, bool]:
    sha256 = content_sha256(file)
    return sha256, not file.is_local or time.time() - os.stat(file.uri).st_mtime > _SETTLED_S


def _table(place: Location) -> dict[str, tuple[str, str]]:
    """Stat key and SHA-256 by path; empty if there is no usable table."""
    try:
        return orjson.loads(place.read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return {}


def content_sha256(location: Location) -> str:
    """SHA-256 of a file's bytes, read block by block: it may be larger than memory."""
    sha = hashlib.sha256()
    with location.open_read() as file:
        while block := file.read(_BLOCK):
            sha.update(block)
    return sha.hexdigest()
