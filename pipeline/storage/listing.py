"""Size and change key of files from a listing, without a request for each file.

On S3 one request lists a thousand keys.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from stat import S_ISDIR
from typing import Any, Final, NamedTuple

from pipeline.errors import StorageError

TEMP: Final = ".tmp-"
"""Prefix of temporary files and folders, which are never listed."""

PAGE = 1000  # keys in an answer, the most that S3 gives
_LONGEST_KEY = 1024  # bytes, of S3's


class Stat(NamedTuple):
    """A file or folder as it is now. ``key`` changes whenever a file is written; a folder has none.

    A link that leads nowhere has no key and no bytes.
    """

    is_dir: bool
    size: int = 0
    key: str = ""


FOLDER: Final = Stat(True)


def local_stat(path: str | os.DirEntry[str]) -> Stat:
    """The stat of a local path, with links followed. Raises FileNotFoundError."""
    found = path.stat() if isinstance(path, os.DirEntry) else os.stat(path)
    if S_ISDIR(found.st_mode):
        return FOLDER
    return Stat(False, found.st_size, f"{found.st_size}-{found.st_mtime_ns}")


def remote_stat(info: Mapping[str, Any]) -> Stat:
    """The stat from S3's description of an object."""
    size = int(info["Size"] if "Size" in info else info["size"])
    tag = info.get("ETag") or info.get("LastModified")
    return Stat(False, size, f"{size}-{str(tag).strip(chr(34))}")


def local_entries(folder: str, recursive: bool) -> Iterator[tuple[str, Stat]]:
    """Path and stat of the entries of a folder, or of every file below it; nothing if it does not exist."""
    if not os.path.isdir(folder):
        return
    for entry in _below(folder, frozenset()) if recursive else _scan(folder):
        try:
            yield entry.path, local_stat(entry)
        except FileNotFoundError:
            yield entry.path, Stat(False)
        except OSError as error:
            if not entry.is_symlink():  # links that lead to themselves, too
                raise StorageError.of(entry.path, error) from error
            yield entry.path, Stat(False)


def local_paths(folder: str, recursive: bool) -> Iterator[str]:
    """The paths of ``local_entries`` alone, without a look at each file."""
    if os.path.isdir(folder):
        yield from (e.path for e in (_below(folder, frozenset()) if recursive else _scan(folder)))


def _scan(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(TEMP)]
    except OSError as error:
        raise StorageError(folder, f"cannot be listed ({error.strerror}).", "Check its rights.") from error


def _below(folder: str, above: frozenset[str]) -> Iterator[os.DirEntry[str]]:
    """Files at any depth. Links are followed, except back into one of the folders ``above``."""
    real = os.path.realpath(folder)
    if real in above:
        return
    for entry in _scan(folder):
        if _is_dir(entry):
            yield from _below(entry.path, above | {real})
        else:
            yield entry


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def remote_entries(fs: Any, bucket: str, folder: str, recursive: bool) -> Iterator[tuple[str, Stat]]:
    """Key and stat of the objects below a key of a bucket, a thousand in each request.

    Empty objects that stand for folders, as S3's console makes them, are not listed.
    """
    asked = {
        "Bucket": bucket,
        "Prefix": f"{folder}/" if folder else "",
        "Delimiter": "" if recursive else "/",
        "MaxKeys": PAGE,
    }
    while True:
        page = fs.call_s3("list_objects_v2", **asked)
        yield from ((p["Prefix"].removesuffix("/"), FOLDER) for p in page.get("CommonPrefixes", ()))
        files = ((c["Key"], remote_stat(c)) for c in page.get("Contents", ()))
        yield from ((key, stat) for key, stat in files if stat.size or not key.endswith("/"))
        if not page.get("IsTruncated"):
            return
        asked["ContinuationToken"] = page["NextContinuationToken"]


def remote_folder(fs: Any, bucket: str, key: str) -> bool:
    """Whether there is anything below a key of a bucket."""
    found = fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=f"{key}/" if key else "", MaxKeys=1)
    return bool(found.get("Contents"))


def remote_stats(fs: Any, bucket: str, prefix: str, keys: Iterable[str]) -> dict[str, Stat]:
    """Which of ``keys`` below a prefix exist, as files or as folders.

    The sorted keys are compared with the sorted listing. A page of it, a thousand keys long, begins where the
    next wanted key would be. So there are never more requests than keys, whatever else
    the prefix holds, and never more than the whole listing has pages.
    """
    points = sorted({point for key in keys if _is_key(key) for point in (key, f"{key}/")})
    found: dict[str, Stat] = {}
    at, seen = 0, ""
    while at < len(points):
        after = max(seen, points[at][:-1])
        start = {"StartAfter": after} if after else {}
        page = fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=PAGE, **start)
        stats = {c["Key"]: remote_stat(c) for c in page.get("Contents", ())}
        listed = list(stats)
        more = bool(page.get("IsTruncated"))
        if more:
            seen = listed[-1]
        while at < len(points) and not (more and points[at] > seen):
            point = points[at]
            if point in stats and not point.endswith("/"):
                found[point] = stats[point]
            elif point.endswith("/"):
                next_ = bisect_left(listed, point)
                if next_ < len(listed) and listed[next_].startswith(point):
                    found.setdefault(point[:-1], FOLDER)
            at += 1
    return found


def _is_key(text: str) -> bool:
    """False for a text that cannot be a key on S3, so that no such object can exist."""
    try:
        return len(text.encode()) <= _LONGEST_KEY
    except UnicodeEncodeError:
        return False
