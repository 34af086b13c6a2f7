"""One path type for local disk and ``s3://``: list, open, fetch, and write in one atomic act."""

from __future__ import annotations

import os
import posixpath
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self, cast

from pipeline.errors import UserError
from pipeline.storage import listing, local, patterns, s3, uris
from pipeline.storage.cache import Cache
from pipeline.storage.links import strays
from pipeline.storage.listing import FOLDER, Stat


@dataclass(frozen=True)
class Location:
    """A file or folder, local or on S3. It holds only text, so it pickles and hashes anywhere.

    ``uri`` is an absolute local path or ``s3://bucket/key`` without a trailing slash. ``cache`` is where
    copies of remote files are on this machine. ``links_to`` are folders into which links below
    this one may lead, see ``join``.
    """

    uri: str
    cache: Cache = field(default_factory=Cache)
    links_to: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def parse(cls, text: str | Path, cache: Cache | str | Path | None = None) -> Self:
        """A location from a local path (``~`` works, relative to the working folder) or an S3 URI."""
        return cls(uris.parse(str(text)), cache if isinstance(cache, Cache) else Cache.of(cache))

    @property
    def is_local(self) -> bool:
        """True on a local disk."""
        return not self.uri.startswith(uris.S3)

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
        return type(self)(uris.below(self.uri, str(rel)), self.cache, self.links_to)

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
        return s3.call(self.uri, lambda fs: listing.remote_folder(fs, *uris.bucket_and_key(self.uri)))

    def stat(self) -> Stat:
        """Size and key of a file or folder. Raises FileNotFoundError, StorageError."""
        if self.is_local:
            with local.readable_errors(self.uri):
                return listing.local_stat(self.uri)
        info = s3.call(self.uri, lambda fs: fs.info(self.uri))
        return FOLDER if info["type"] == "directory" else listing.remote_stat(info)

    def size(self) -> int:
        """Bytes of a file."""
        return self.stat().size

    def stat_key(self) -> str:
        """Text that changes whenever the file is written: size and mtime, or the entity tag."""
        return self.stat().key

    def entries(self, suffix: str = "", recursive: bool = False) -> list[Entry]:
        """The result of ``list`` with size and key of each file: on S3 without a request for each."""
        return [Entry(type(self)(uri, self.cache), stat) for uri, stat in self._below(suffix, recursive)]

    def files(self) -> list[tuple[str, Stat]]:
        """Every file below this folder by relative path, sorted: ``entries`` without a Location for each."""
        begin = len(self.uri) + 1
        return [(uri[begin:], stat) for uri, stat in self._below("", recursive=True)]

    def _below(self, suffix: str, recursive: bool) -> list[tuple[str, Stat]]:
        if self.is_local:
            found: Iterable[tuple[str, Stat]] = listing.local_entries(self.uri, recursive)
        else:
            bucket, key = uris.bucket_and_key(self.uri)
            below = s3.call(self.uri, lambda fs: list(listing.remote_entries(fs, bucket, key, recursive)))
            found = ((f"{uris.S3}{bucket}/{name}", stat) for name, stat in below)
        return sorted((uri, stat) for uri, stat in found if uri.endswith(suffix))

    def list(self, suffix: str = "", recursive: bool = False) -> list[Self]:
        """The entries of this folder, sorted: files and folders, or with ``recursive`` every file below it.

        Empty for a folder that does not exist. Only names that end in ``suffix`` are listed.
        """
        if not self.is_local:
            return [cast(Self, entry.place) for entry in self.entries(suffix, recursive)]
        paths = sorted(p for p in listing.local_paths(self.uri, recursive) if p.endswith(suffix))
        return [type(self)(path, self.cache) for path in paths]

    def stats(self, paths: Iterable[str]) -> dict[str, Stat]:
        """Which of ``paths`` below this remote folder exist, by path, from its listing.

        A path that leaves the folder counts as missing.
        """
        bucket, prefix = uris.bucket_and_key(self.uri)
        keys: dict[str, str] = {}
        for path in paths:
            with suppress(UserError):
                keys[path] = uris.bucket_and_key(uris.below(self.uri, path))[1]
        found = s3.call(
            self.uri,
            lambda fs: listing.remote_stats(fs, bucket, f"{prefix}/" if prefix else "", keys.values()),
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
            local.write(target.uri, partial(local.link, self.uri))
        elif not self.is_local and not target.is_local:
            s3.call(self.uri, lambda fs: fs.cp_file(self.uri, target.uri))
        else:
            target.put_file(self.fetch())

    def read_bytes(self) -> bytes:
        """The whole file. Raises FileNotFoundError, and StorageError for one that cannot be read."""
        if self.is_local:
            with local.readable_errors(self.uri):
                return Path(self.uri).read_bytes()
        # One at a time: else its size is asked for first.
        return s3.call(self.uri, lambda fs: fs.cat_file(self.uri, max_concurrency=1))

    def read_text(self) -> str:
        """The whole file as UTF-8."""
        return self.read_bytes().decode("utf-8")

    def open_read(self) -> BinaryIO:
        """A seekable binary file; remote bytes are fetched in blocks as they are read."""
        if self.is_local:
            with local.readable_errors(self.uri):
                return open(self.uri, "rb")
        return cast(BinaryIO, s3.ReadFile(s3.call(self.uri, lambda fs: fs.open(self.uri, "rb")), self.uri))

    def write_bytes(self, data: bytes) -> None:
        """Write the file in one atomic act: a reader sees the old content or the new, never a part."""
        if not self.is_local:
            return s3.call(self.uri, lambda fs: fs.pipe_file(self.uri, data))
        local.write(self.uri, lambda temp: temp.write_bytes(data))

    def write_text(self, text: str) -> None:
        """Write UTF-8 text in one atomic act."""
        self.write_bytes(text.encode("utf-8"))

    def write_with(self, fill: Callable[[Path], object]) -> None:
        """Write the file in one atomic act; ``fill`` writes a local one, so it need not fit in memory."""
        if self.is_local:
            return local.write(self.uri, fill)
        with tempfile.TemporaryDirectory(prefix="ufvideo-") as folder:
            fill(Path(folder) / self.name)
            self.put_file(Path(folder) / self.name)

    def put_file(self, source: Path) -> None:
        """Copy a local file here in one atomic act."""
        if not self.is_local:
            return s3.call(self.uri, lambda fs: fs.put_file(str(source), self.uri))
        local.write(self.uri, lambda temp: shutil.copyfile(source, temp))

    def put_dir(self, source: Path) -> None:
        """Copy a local folder here, replacing an existing one. On a local disk that is atomic."""
        if not self.is_local:
            self.delete()
            files = sorted(p for p in source.rglob("*") if p.is_file())
            for file in files:
                (self / file.relative_to(source).as_posix()).put_file(file)
            return
        local.put_dir(self.uri, source)

    def fetch(self, stat: Stat | None = None, *, hold: bool = False, again: bool = False) -> Path:
        """A local path with this file's content: the file itself, or a cached copy of a remote one.

        A copy is for immediate use: with a cache limit it may be removed once this process has fetched RECENT
        others. With ``hold`` it stays while the process lives. ``stat`` from a listing saves a request.
        ``again`` replaces a copy that may be damaged.
        """
        if self.is_local:
            return Path(self.uri)
        known = stat or self.stat()
        return self.cache.copy(
            f"{self.uri}@{known.key}",
            self.name,
            lambda target: local.write(target, lambda temp: s3.download(self.uri, known.size, temp)),
            hold=hold,
            again=again,
        )

    def fetch_dir(self, *, hold: bool = False) -> Path:
        """A local folder with this folder's files: the folder itself, or a cached copy of a remote one.

        It stays as with ``fetch``. Raises UserError for a key that would be outside the copy.
        """
        if self.is_local:
            return Path(self.uri)
        files = self.entries(recursive=True)
        if not files:
            raise FileNotFoundError(f"{self.uri} holds no files")
        key = "\n".join(f"{f.place.uri}@{f.stat.key}" for f in files)
        return self.cache.copy(key, self.name, partial(self._download_all, files), hold=hold)

    def _download_all(self, files: Sequence[Entry], target: Path) -> None:
        def fill(temp: Path) -> None:
            for file, stat in files:
                # A key may be any text: `..` or a second slash in it would lead out of the cache.
                place = temp / (self / file.uri[len(self.uri) + 1 :]).uri[len(self.uri) + 1 :]
                place.parent.mkdir(parents=True, exist_ok=True)
                s3.download(file.uri, stat.size, place)

        local.make_dir(target, fill)

    def mkdir(self) -> None:
        """Make a local folder and its parents; S3 has no folders, so nothing happens there."""
        if self.is_local:
            os.makedirs(self.uri, exist_ok=True)

    def delete(self) -> None:
        """Remove a file or a whole tree, if it exists."""
        if not self.is_local:
            uri = self.uri
            return s3.call(uri, lambda fs: fs.rm(uri, recursive=True) if fs.exists(uri) else None)
        local.delete(self.uri)

    def sweep(self) -> None:
        """Remove temporary files and folders of killed writers below this local folder, or beside it.

        Only for a folder without other writers. A copy of ``put_dir`` is beside its target and
        carries its name, so those of other folders stay. An interrupted write to S3 leaves nothing to see.
        """
        if self.is_local:
            local.sweep(self.uri)

    def cache_dir(self) -> Path:
        """The local folder for copies of remote files."""
        return self.cache.path


class Entry(NamedTuple):
    """A file or folder with its stat from the listing."""

    place: Location
    stat: Stat
