"""Files that were packed with gzip: unpacked once into the cache, block by block."""

from __future__ import annotations

import gzip
import shutil
import zlib
from functools import partial
from pathlib import Path

from pipeline.errors import UserError
from pipeline.storage.location import Location

GZIP_SUFFIX = ".gz"
_MAGIC = b"\x1f\x8b"
_BLOCK = 1 << 20
_LEFT_FREE = 1 << 30  # bytes of the cache's disk; a small file can unpack to a thousand times its size


def fetch_unpacked(place: Location, *, hold: bool = False) -> Path:
    """A local path with a file's content, as ``Location.fetch``; a gzip file is unpacked.

    Its content decides, not its name. Raises UserError for a gzip file that is damaged or incomplete, or that
    does not fit on the disk of the cache.
    """
    stat = None if place.is_local else place.stat()
    local = place.fetch(stat, hold=hold)
    if not _is_packed(local):
        return local
    key = f"unpacked {place.uri}@{(stat or place.stat()).key}"
    name = place.name.removesuffix(GZIP_SUFFIX)
    return place.cache.copy(key, name, partial(_unpack, place, local), hold=hold)


def _is_packed(local: Path) -> bool:
    """Whether a file begins with gzip's magic bytes; False for an unreadable one, which fails later."""
    try:
        if not local.is_file():
            return False
        with open(local, "rb") as file:
            return file.read(2) == _MAGIC
    except OSError:
        return False


def _unpack(place: Location, packed: Path, target: Path) -> None:
    def fill(path: Path) -> None:
        written = 0
        with gzip.open(packed) as source, open(path, "wb") as out:
            while block := source.read(_BLOCK):
                if written % (64 * _BLOCK) == 0 and shutil.disk_usage(path.parent).free < _LEFT_FREE:
                    raise UserError(
                        place.uri,
                        f"does not fit on the disk of {place.cache.path} when it is unpacked.",
                        "Make room there, or set `storage.cache` to a folder on a larger disk.",
                    )
                out.write(block)
                written += len(block)

    try:
        Location.parse(target).write_with(fill)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(
            place.uri, f"cannot be unpacked: {str(error).rstrip('.')}.", "Download it again."
        ) from error
