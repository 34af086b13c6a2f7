"""SHA-256 of files, here or on S3, each read once and remembered."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

from pipeline.storage.location import Location

_BLOCK = 1 << 20
_SETTLED_S = 2.0  # a file written within this time may change again without a new mtime, so it is not cached


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
