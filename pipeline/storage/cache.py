"""Local copies of remote files, shared by all processes of this machine, with a size limit.

A copy is a folder ``files/<hash>/`` with one file or folder in it. A process that uses a copy holds a shared
lock on that folder; removing it takes an exclusive lock. So no copy is removed while it is being fetched
or used, and a process that has ended, in whatever way, holds no lock.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.storage.listing import TEMP

RECENT: Final = 64
"""How many copies, the last ones that a process fetched, stay as long as it lives."""

_EVICTED = f"{TEMP}evicted-"
_REMOVED = "removed.json"  # how many copies were removed so far, and their bytes
_FILL = 0.9  # copies are removed down to this part of the limit, so that it does not happen for every file
_LOOK_EVERY = 32  # after fetching this part of the limit, a process measures the whole cache again
_UNLOCKED_S = 600.0  # without file locks, copies that were used within this time stay


@dataclass(frozen=True)
class Cache:
    """The folder of copies (None: ``ufvideo`` below the user's cache folder) and its limit in bytes."""

    folder: str | None = None
    limit: int | None = None

    @classmethod
    def of(cls, folder: str | Path | None, limit_gb: float | None = None) -> Cache:
        """From the plan's values: a folder that may begin with ``~``, and a number of gigabytes."""
        place = str(Path(folder).expanduser().absolute()) if folder else None
        return cls(place, None if limit_gb is None else int(limit_gb * 1e9))

    @property
    def path(self) -> Path:
        """The folder."""
        if self.folder:
            return Path(self.folder)
        base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        return Path(base) / "ufvideo"

    def copy(
        self, key: str, name: str, fill: Callable[[Path], object], *, hold: bool = False, again: bool = False
    ) -> Path:
        """The copy of a key; ``fill(path)`` creates it atomically if it does not exist, or with ``again``.

        It stays while it is among the last RECENT that this process fetched; with ``hold`` until it ends.
        """
        entry = self.path / "files" / hashlib.sha256(key.encode()).hexdigest()[:32]
        target = entry / name
        _LEASES.take(str(entry), hold)
        if made := again or not target.exists():
            fill(target)
        with suppress(PermissionError):  # of another user
            os.utime(entry)  # used now
        if made and self.limit is not None:
            try:
                _make_room(self.path / "files", self.limit, _bytes(entry))
            except OSError as error:
                print(f"Cache {self.path}: no room could be made ({error.strerror or error})", flush=True)
        return target

    def state(self) -> str:
        """One line: the size of the copies, and how many were removed so far to keep the limit."""
        home = self.path / "files"
        total = sum(_bytes(entry) for entry in home.iterdir()) if home.is_dir() else 0
        removed = _removed(home)
        limit = f" of {_gb(self.limit)}" if self.limit is not None else ""
        return (
            f"Cache: {_gb(total)}{limit} in {self.path}"
            f"; {removed['copies']} copies ({_gb(removed['bytes'])}) removed for the limit so far"
        )


class _Leases:
    """The copies that this process must not lose, as open folders with a shared lock."""

    def __init__(self) -> None:
        self._recent: OrderedDict[str, int] = OrderedDict()
        self._held: dict[str, int] = {}
        self._lock = threading.Lock()

    def take(self, entry: str, hold: bool) -> None:
        with self._lock:
            if entry in self._held and _is_place_of(self._held[entry], entry):
                return
            opened = self._recent.pop(entry, None)
            if opened is None or not _is_place_of(opened, entry):
                _close(opened)
                opened = _locked(entry)
            (self._held if hold else self._recent)[entry] = opened
            while len(self._recent) > RECENT:
                _close(self._recent.popitem(last=False)[1])


_LEASES = _Leases()


def _locked(entry: str) -> int:
    """Create and open the folder of a copy with a shared lock: not removable, but open to other users."""
    os.makedirs(os.path.dirname(entry), exist_ok=True)
    while True:
        with suppress(
            FileExistsError
        ):  # not makedirs: it fails if the folder is removed while it looks at it
            os.mkdir(entry)
        with suppress(FileNotFoundError):  # removed meanwhile
            opened = os.open(entry, os.O_RDONLY | os.O_DIRECTORY)
            with suppress(OSError):  # a file system without locks; see _UNLOCKED_S
                fcntl.flock(opened, fcntl.LOCK_SH)
            if _is_place_of(opened, entry):
                return opened
            os.close(opened)


def _is_place_of(opened: int, entry: str) -> bool:
    """Whether an open folder still has this name."""
    try:
        return os.path.samestat(os.fstat(opened), os.stat(entry))
    except FileNotFoundError:
        return False


def _close(opened: int | None) -> None:
    if opened is not None:
        os.close(opened)


_fetched: dict[Path, int] = {}  # bytes since this process last looked at the whole of a cache


def _make_room(home: Path, limit: int, size: int) -> None:
    """Remove the least recently used copies if the limit is exceeded."""
    _fetched[home] = _fetched.get(home, limit) + size
    if _fetched[home] * _LOOK_EVERY < limit:
        return
    lock = os.open(home / f"{TEMP}lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        with suppress(OSError):  # a file system without locks: two processes may remove copies at once
            fcntl.flock(lock, fcntl.LOCK_EX)
        _fetched[home] = 0
        _evict(home, limit)
    finally:
        os.close(lock)


def _evict(home: Path, limit: int) -> None:
    for gone in home.glob(f"{_EVICTED}*"):  # left by a process that was killed while removing
        shutil.rmtree(gone, ignore_errors=True)
    found = []
    for entry in home.iterdir():
        with suppress(FileNotFoundError):
            if not entry.name.startswith(TEMP):
                found.append((entry.stat().st_mtime, _bytes(entry), entry))
    total = sum(size for _, size, _ in found)
    if total <= limit:
        return
    copies = freed = 0
    for used, size, entry in sorted(found):
        if total - freed <= limit * _FILL:
            break
        if _remove(entry, used):
            copies, freed = copies + 1, freed + size
    before = _removed(home)
    now = {"copies": before["copies"] + copies, "bytes": before["bytes"] + freed}
    (home / f"{TEMP}removed").write_text(json.dumps(now))
    (home / f"{TEMP}removed").replace(home.parent / _REMOVED)
    left = f"; {_gb(total - freed)} of copies in use stay" if total - freed > limit else ""
    print(
        f"Cache {home.parent}: {copies} copies ({_gb(freed)}), used longest ago, were removed to stay below "
        f"storage.cache_gb ({_gb(limit)}){left}",
        flush=True,
    )


def _remove(entry: Path, used: float) -> bool:
    """Remove an unused copy. It is renamed first, so that no process finds a part of it."""
    try:
        opened = os.open(entry, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, PermissionError):
        return False
    try:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            if time.time() - used < _UNLOCKED_S:
                return False
        gone = Path(tempfile.mkdtemp(prefix=_EVICTED, dir=entry.parent))
        entry.rename(gone / entry.name)
    except PermissionError:  # of another user
        return False
    finally:
        os.close(opened)
    shutil.rmtree(gone, ignore_errors=True)
    return True


def _bytes(entry: Path) -> int:
    total = 0
    for folder, _, names in os.walk(entry):
        for name in names:
            with suppress(FileNotFoundError):
                total += os.stat(os.path.join(folder, name)).st_size
    return total


def _removed(home: Path) -> dict[str, int]:
    try:
        return json.loads((home.parent / _REMOVED).read_text())
    except FileNotFoundError:
        return {"copies": 0, "bytes": 0}


def _gb(size: int | None) -> str:
    return f"{(size or 0) / 1e9:.3g} GB"
