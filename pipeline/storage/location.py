"""One path type for local disk and ``s3://``: list, open, fetch, and write in one atomic act."""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self, cast

from pipeline.errors import StorageError, UserError
from pipeline.storage import listing, patterns, s3
from pipeline.storage.cache import Cache
from pipeline.storage.links import strays
from pipeline.storage.listing import FOLDER, TEMP, Stat

_ONE_REQUEST = 256 << 20  # bytes; larger objects come in parts, side by side


@dataclass(frozen=True)
class Location:
    """A file or folder, local or on S3. It holds only text, so it pickles and hashes anywhere.

    ``uri`` is an absolute local path or ``s3://bucket/key`` without a trailing slash. ``cache`` is where
    copies of remote files lie on this machine. ``links_to`` are folders into which links below
    this one may lead, see ``join``.
    """

    uri: str
    cache: Cache = field(default_factory=Cache)
    links_to: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def parse(cls, text: str | Path, cache: Cache | str | Path | None = None) -> Self:
        """A location from a local path (``~`` works, relative to the working folder) or an S3 URI."""
        text = str(text)
        kept = cache if isinstance(cache, Cache) else Cache.of(cache)
        if "://" not in text:
            return cls(os.path.abspath(os.path.expanduser(text)), kept)
        scheme, _, rest = text.partition("://")
        if scheme == "file":
            return cls(os.path.abspath(rest), kept)
        bucket, _, key = rest.partition("/")
        if scheme != "s3" or not bucket:
            raise UserError(
                text,
                "is not a place that can be read or written.",
                "Give a local path or s3://bucket/prefix.",
            )
        if "@" in bucket:
            raise UserError(
                f"s3://…@{bucket.rpartition('@')[2]}",
                "holds credentials.",
                "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead.",
            )
        parts = [p for p in key.split("/") if p and p != "."]
        if ".." in parts:
            raise UserError(text, "has `..` in it.", "Write the path without it.")
        return cls("s3://" + "/".join([bucket, *parts]), kept)

    @property
    def is_local(self) -> bool:
        """True on a local disk."""
        return not self.uri.startswith("s3://")

    @property
    def name(self) -> str:
        """The last part of the path."""
        return posixpath.basename(self.uri)

    @property
    def local_path(self) -> Path:
        """The path on this machine. Raises UserError for a remote location."""
        if not self.is_local:
            raise UserError(self.uri, "is remote where a local path is needed.", "Use a local folder here.")
        return Path(self.uri)

    def __truediv__(self, rel: str) -> Self:
        """A place below this one. Raises UserError for an absolute path or one that climbs out by ``..``."""
        rel = str(rel)
        parts = [p for p in rel.split("/") if p not in ("", ".")]
        if rel.startswith("/") or "://" in rel or "\\" in rel or "\0" in rel or ".." in parts:
            raise UserError(
                self.uri, f"the path {rel!r} leaves this folder.", "Use a plain path below it, without `..`."
            )
        uri = posixpath.join(self.uri, *parts) if parts else self.uri
        return type(self)(uri, self.cache, self.links_to)

    def join(self, rel: str) -> Self:
        """As ``/``, for paths from data: also refuses links that lead out, except into ``links_to``."""
        place = self / rel
        if self.is_local and (real := strays(place.uri, self.uri, self.links_to)):
            raise UserError(
                self.uri,
                f"{rel!r} is a link to {real}, outside of this folder.",
                "Name the folder to which it leads in `data.allow_links_to`, or put the file itself here.",
            )
        return place

    def exists(self) -> bool:
        """True for a file, a folder, and on S3 a prefix with anything below it.

        Raises StorageError if it is unknown: no such bucket, a folder without permission.
        """
        try:
            self.stat()
        except (OSError, ValueError):  # also for a name that no file can have
            return False
        return True

    def is_dir(self) -> bool:
        """True for a folder."""
        if self.is_local:
            return os.path.isdir(self.uri)
        return self._remote(lambda fs: listing.remote_folder(fs, *self._key))

    def stat(self) -> Stat:
        """Size and key of a file or folder. Raises FileNotFoundError, StorageError."""
        if self.is_local:
            with _readable(self.uri):
                return listing.local_stat(self.uri)
        info = self._remote(lambda fs: fs.info(self.uri))
        return FOLDER if info["type"] == "directory" else listing.remote_stat(info)

    def size(self) -> int:
        """Bytes of a file."""
        return self.stat().size

    def stat_key(self) -> str:
        """Text that changes whenever the file is written: size and mtime, or the entity tag."""
        return self.stat().key

    def entries(self, suffix: str = "", recursive: bool = False) -> list[Entry]:
        """The result of ``list`` with size and key of each file: on S3 without a request for each."""
        if self.is_local:
            found: Iterable[tuple[str, Stat]] = listing.local_entries(self.uri, recursive)
        else:
            bucket, key = self._key
            below = self._remote(lambda fs: list(listing.remote_entries(fs, bucket, key, recursive)))
            found = ((f"s3://{bucket}/{name}", stat) for name, stat in below)
        kept = sorted((uri, stat) for uri, stat in found if uri.endswith(suffix))
        return [Entry(type(self)(uri, self.cache), stat) for uri, stat in kept]

    def list(self, suffix: str = "", recursive: bool = False) -> list[Self]:
        """The entries of this folder, sorted: files and folders, or with ``recursive`` every file below it.

        Empty for a folder that does not exist. Only names that end in ``suffix`` are listed.
        """
        if not self.is_local:
            return [cast(Self, entry.place) for entry in self.entries(suffix, recursive)]
        uris = sorted(p for p in listing.local_paths(self.uri, recursive) if p.endswith(suffix))
        return [type(self)(uri, self.cache) for uri in uris]

    def stats(self, paths: Iterable[str]) -> dict[str, Stat]:
        """Which of ``paths`` below this remote folder exist, by path, from its listing.

        A path that leaves the folder counts as missing.
        """
        bucket, prefix = self._key
        keys: dict[str, str] = {}
        for path in paths:
            with suppress(UserError):
                keys[path] = (self / path)._key[1]
        found = self._remote(
            lambda fs: listing.remote_stats(fs, bucket, f"{prefix}/" if prefix else "", keys.values())
        )
        return {path: found[key] for path, key in keys.items() if key in found}

    def glob(self, pattern: str) -> Sequence[Self]:
        """Files below this folder whose path fits: ``*`` and ``?`` within a name, ``**`` over folders.

        Sorted; hidden files and folders only where the pattern begins a name with a dot. Raises UserError for
        a pattern that leaves the folder.
        """
        return [cast(Self, entry.place) for entry in self.glob_entries(pattern)]

    def glob_entries(self, pattern: str) -> Sequence[Entry]:
        """The result of ``glob`` with size and key of each file."""
        fixed, wild = patterns.split((self / pattern).uri[len(self.uri) + 1 :])
        below = self / fixed
        fits, deep = patterns.compile(wild), "/" in wild or "**" in wild
        found = below.entries(recursive=deep)
        return [e for e in found if fits.fullmatch(e.place.uri[len(below.uri) + 1 :]) and not e.stat.is_dir]

    def copy_to(self, target: Location) -> None:
        """Copy this file atomically: as a hard link if the disk allows it, by the server on S3."""
        if self.is_local and target.is_local:
            target._commit(partial(_link, self.uri))
        elif not self.is_local and not target.is_local:
            self._remote(lambda fs: fs.cp_file(self.uri, target.uri))
        else:
            target.put_file(self.fetch())

    def read_bytes(self) -> bytes:
        """The whole file. Raises FileNotFoundError, and StorageError for one that cannot be read."""
        if self.is_local:
            with _readable(self.uri):
                return Path(self.uri).read_bytes()
        # One at a time: else its size is asked for first.
        return self._remote(lambda fs: fs.cat_file(self.uri, max_concurrency=1))

    def read_text(self) -> str:
        """The whole file as UTF-8."""
        return self.read_bytes().decode("utf-8")

    def open_read(self) -> BinaryIO:
        """A seekable binary file; remote bytes are fetched in blocks as they are read."""
        if self.is_local:
            with _readable(self.uri):
                return open(self.uri, "rb")
        return cast(BinaryIO, s3.ReadFile(self._remote(lambda fs: fs.open(self.uri, "rb")), self.uri))

    def write_bytes(self, data: bytes) -> None:
        """Write the file in one atomic act: a reader sees the old content or the new, never a part."""
        if not self.is_local:
            return self._remote(lambda fs: fs.pipe_file(self.uri, data))
        self._commit(lambda temp: temp.write_bytes(data))

    def write_text(self, text: str) -> None:
        """Write UTF-8 text in one atomic act."""
        self.write_bytes(text.encode("utf-8"))

    def write_with(self, fill: Callable[[Path], object]) -> None:
        """Write the file in one atomic act; ``fill`` writes a local one, so it need not fit in memory."""
        if self.is_local:
            return self._commit(fill)
        with tempfile.TemporaryDirectory(prefix="ufvideo-") as folder:
            fill(Path(folder) / self.name)
            self.put_file(Path(folder) / self.name)

    def put_file(self, source: Path) -> None:
        """Copy a local file here in one atomic act."""
        if not self.is_local:
            return self._remote(lambda fs: fs.put_file(str(source), self.uri))
        self._commit(lambda temp: shutil.copyfile(source, temp))

    def put_dir(self, source: Path) -> None:
        """Copy a local folder here, replacing an existing one. On a local disk that is atomic."""
        if not self.is_local:
            self.delete()
            files = sorted(p for p in source.rglob("*") if p.is_file())
            for file in files:
                (self / file.relative_to(source).as_posix()).put_file(file)
            return
        target = self.local_path
        target.parent.mkdir(parents=True, exist_ok=True)
        temp = Path(tempfile.mkdtemp(prefix=f"{TEMP}{target.name}-", dir=target.parent))
        try:
            shutil.copytree(source, temp, dirs_exist_ok=True)
            # Some libraries write files for their owner alone; others on the cluster have to read them.
            for path in (temp, *temp.rglob("*")):
                path.chmod(0o755 if path.is_dir() else 0o644)
            self.delete()
            temp.rename(target)
        finally:
            shutil.rmtree(temp, ignore_errors=True)

    def fetch(self, stat: Stat | None = None, *, hold: bool = False) -> Path:
        """A local path with this file's content: the file itself, or a cached copy of a remote one.

        A copy is for immediate use: with a cache limit it may be removed once this process has fetched RECENT
        others. With ``hold`` it stays while the process lives. ``stat`` from a listing saves a request.
        """
        if self.is_local:
            return Path(self.uri)
        known = stat or self.stat()
        return self.cache.copy(
            f"{self.uri}@{known.key}",
            self.name,
            lambda target: type(self)(str(target))._commit(lambda temp: self._download(temp, known)),
            hold=hold,
        )

    def fetch_dir(self, *, hold: bool = False) -> Path:
        """A local folder with this folder's files: the folder itself, or a cached copy of a remote one.

        It stays as with ``fetch``. Raises UserError for a key that would lie outside the copy.
        """
        if self.is_local:
            return Path(self.uri)
        files = self.entries(recursive=True)
        if not files:
            raise FileNotFoundError(f"{self.uri} holds no files")
        key = "\n".join(f"{f.place.uri}@{f.stat.key}" for f in files)
        return self.cache.copy(key, self.name, partial(self._download_all, files), hold=hold)

    def _download_all(self, files: Sequence[Entry], target: Path) -> None:
        temp = Path(tempfile.mkdtemp(prefix=TEMP, dir=target.parent))
        try:
            for file, stat in files:
                # A key may be any text: `..` or a second slash in it would lead out of the cache.
                place = temp / (self / file.uri[len(self.uri) + 1 :]).uri[len(self.uri) + 1 :]
                place.parent.mkdir(parents=True, exist_ok=True)
                file._download(place, stat)
            try:
                temp.rename(target)
            except OSError:  # another process was faster, with the same content
                if not target.is_dir():
                    raise
        finally:
            shutil.rmtree(temp, ignore_errors=True)

    def mkdir(self) -> None:
        """Make a local folder and its parents; S3 has no folders, so nothing happens there."""
        if self.is_local:
            os.makedirs(self.uri, exist_ok=True)

    def delete(self) -> None:
        """Remove a file or a whole tree, if it exists."""
        if not self.is_local:
            return self._remote(lambda fs: fs.rm(self.uri, recursive=True) if fs.exists(self.uri) else None)
        if os.path.isdir(self.uri) and not os.path.islink(self.uri):
            shutil.rmtree(self.uri)
        elif os.path.lexists(self.uri):
            os.unlink(self.uri)

    def sweep(self) -> None:
        """Remove temporary files and folders of killed writers below this local folder, or beside it.

        Only for a folder without other writers. A copy of ``put_dir`` lies beside its target and
        carries its name, so those of other folders stay. An interrupted write to S3 leaves nothing to see.
        """
        if not self.is_local:
            return
        place = Path(self.uri)
        # mkdtemp's random part has no hyphen, so a copy for `a-b` is not taken for one of `a`.
        own = re.compile(rf"{re.escape(TEMP + place.name)}-[a-z0-9_]+")
        beside = [p for p in place.parent.glob(TEMP + "*") if own.fullmatch(p.name)]
        for stale in (*beside, *place.rglob(TEMP + "*")):
            Location(str(stale)).delete()

    def cache_dir(self) -> Path:
        """The local folder for copies of remote files."""
        return self.cache.path

    @property
    def _key(self) -> tuple[str, str]:
        """Bucket and key of a remote location."""
        bucket, _, key = self.uri.removeprefix("s3://").partition("/")
        return bucket, key

    def _remote(self, act: Callable[[Any], Any]) -> Any:
        with s3.readable_errors(self.uri):
            return act(s3.filesystem())

    def _download(self, place: Path, stat: Stat) -> None:
        # A download in parts takes one request more than there are parts.
        parts = {"max_concurrency": 1} if stat.size <= _ONE_REQUEST else {}
        self._remote(lambda fs: fs.get_file(self.uri, str(place), **parts))
        if place.stat().st_size != stat.size:
            raise StorageError(
                self.uri,
                f"has {place.stat().st_size} bytes where {stat.size} were listed.",
                "It was written in the meantime: run the same command again when that has ended.",
            )

    def _commit(self, fill: Callable[[Path], object]) -> None:
        """Fill a temporary sibling, flush it to the disk, and give it this name."""
        target = self.local_path
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


class Entry(NamedTuple):
    """A file or folder with its stat from the listing."""

    place: Location
    stat: Stat


@contextmanager
def _readable(path: str) -> Iterator[None]:
    """Turn failures of this machine's disk into StorageError; a missing file stays FileNotFoundError."""
    try:
        yield
    except OSError as error:
        if StorageError.is_unreadable(error):
            raise StorageError.of(path, error) from error
        raise


def _link(source: str, temp: Path) -> None:
    temp.unlink()
    try:
        os.link(source, temp)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, temp)
