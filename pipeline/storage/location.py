"""One path type for local disk and ``s3://``: list, open, fetch, and write in one atomic act."""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Self, cast

from pipeline.errors import UserError
from pipeline.storage import patterns, s3

_TEMP = ".tmp-"  # temporary siblings; never listed


@dataclass(frozen=True)
class Location:
    """A file or folder, local or on S3. It holds only text, so it pickles and hashes anywhere.

    ``uri`` is an absolute local path or ``s3://bucket/key`` without a slash at its end. ``cache`` is the
    local folder for copies of remote files; None: ``ufvideo`` below the user's cache folder.
    """

    uri: str
    cache: str | None = None

    @classmethod
    def parse(cls, text: str | Path, cache: str | Path | None = None) -> Self:
        """A location from a local path (``~`` works, relative to the working folder) or an S3 URI."""
        text = str(text)
        kept = str(Path(cache).expanduser().absolute()) if cache else None
        if "://" not in text:
            return cls(os.path.abspath(os.path.expanduser(text)), kept)
        scheme, _, rest = text.partition("://")
        if scheme == "file":
            return cls(os.path.abspath(rest), kept)
        bucket, _, key = rest.partition("/")
        if scheme != "s3" or not bucket:
            raise UserError(
                text, "is no place that can be read or written.", "Give a local path or s3://bucket/prefix."
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
        return type(self)(posixpath.join(self.uri, *parts) if parts else self.uri, self.cache)

    def join(self, rel: str) -> Self:
        """Like ``/``, for paths that stand in data: also refuses a symbolic link that leads out."""
        place = self / rel
        if self.is_local:
            root, real = os.path.realpath(self.uri), os.path.realpath(place.uri)
            if real != root and not real.startswith(root.rstrip("/") + "/"):
                raise UserError(
                    self.uri, f"{rel!r} is a link that leaves this folder.", "Copy the file into the folder."
                )
        return place

    def exists(self) -> bool:
        """True for a file, a folder, and on S3 a prefix with anything below it."""
        return os.path.exists(self.uri) if self.is_local else self._remote(lambda fs: fs.exists(self.uri))

    def is_dir(self) -> bool:
        """True for a folder."""
        return os.path.isdir(self.uri) if self.is_local else self._remote(lambda fs: fs.isdir(self.uri))

    def size(self) -> int:
        """Bytes of a file."""
        return os.path.getsize(self.uri) if self.is_local else int(self._info()["size"])

    def stat_key(self) -> str:
        """Text that changes whenever the file is written: size and mtime, or the entity tag."""
        if self.is_local:
            stat = os.stat(self.uri)
            return f"{stat.st_size}-{stat.st_mtime_ns}"
        info = self._info()
        tag = info.get("ETag") or info.get("LastModified")
        return f"{info['size']}-{str(tag).strip(chr(34))}"

    def list(self, suffix: str = "", recursive: bool = False) -> list[Self]:
        """What lies in this folder, sorted: files and folders, or with ``recursive`` every file below it.

        Empty for a folder that does not exist. Only names that end in ``suffix`` are given.
        """
        uris = self._local_entries(recursive) if self.is_local else self._remote_entries(recursive)
        return [type(self)(uri, self.cache) for uri in sorted(uris) if uri.endswith(suffix)]

    def glob(self, pattern: str) -> Sequence[Self]:
        """Files below this folder whose path fits: ``*`` and ``?`` within a name, ``**`` over folders.

        Sorted; hidden files and folders only where the pattern begins a name with a dot. Raises UserError for
        a pattern that leaves the folder.
        """
        fixed, wild = patterns.split((self / pattern).uri[len(self.uri) + 1 :])
        below = self / fixed
        fits, deep = patterns.compile(wild), "/" in wild or "**" in wild
        found = below.list(recursive=deep)
        found = [f for f in found if fits.fullmatch(f.uri[len(below.uri) + 1 :])]
        return found if deep else [f for f in found if not f.is_dir()]

    def copy_to(self, target: Location) -> None:
        """Copy this file there in one atomic act: a link where the disk allows it, by the server on S3."""
        if self.is_local and target.is_local:
            target._commit(partial(_link, self.uri))
        elif not self.is_local and not target.is_local:
            self._remote(lambda fs: fs.cp_file(self.uri, target.uri))
        else:
            target.put_file(self.fetch())

    def read_bytes(self) -> bytes:
        """The whole file. Raises FileNotFoundError."""
        if self.is_local:
            return Path(self.uri).read_bytes()
        return self._remote(lambda fs: fs.cat_file(self.uri))

    def read_text(self) -> str:
        """The whole file as UTF-8."""
        return self.read_bytes().decode("utf-8")

    def open_read(self) -> BinaryIO:
        """A seekable binary file; remote bytes come in blocks as they are read."""
        if self.is_local:
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
        """Copy a local folder here, replacing what is here. On a local disk it appears at once."""
        if not self.is_local:
            self.delete()
            files = sorted(p for p in source.rglob("*") if p.is_file())
            for file in files:
                (self / file.relative_to(source).as_posix()).put_file(file)
            return
        target = self.local_path
        target.parent.mkdir(parents=True, exist_ok=True)
        temp = Path(tempfile.mkdtemp(prefix=f"{_TEMP}{target.name}-", dir=target.parent))
        try:
            shutil.copytree(source, temp, dirs_exist_ok=True)
            # Some libraries write files for their owner alone; others on the cluster have to read these.
            for path in (temp, *temp.rglob("*")):
                path.chmod(0o755 if path.is_dir() else 0o644)
            self.delete()
            temp.rename(target)
        finally:
            shutil.rmtree(temp, ignore_errors=True)

    def fetch(self) -> Path:
        """A local path with this file's content: the file itself, or a cached copy of a remote one."""
        if self.is_local:
            return Path(self.uri)
        target = self._cached(f"{self.uri}@{self.stat_key()}") / self.name
        if not target.exists():
            type(self)(str(target))._commit(self._download)
        return target

    def fetch_dir(self) -> Path:
        """A local folder with this folder's files: the folder itself, or a cached copy of a remote one.

        Raises UserError for a key that would lie outside the copy.
        """
        if self.is_local:
            return Path(self.uri)
        files = self.list(recursive=True)
        if not files:
            raise FileNotFoundError(f"{self.uri} holds no files")
        target = self._cached("\n".join(f"{f.uri}@{f.stat_key()}" for f in files)) / self.name
        if target.is_dir():
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        temp = Path(tempfile.mkdtemp(prefix=_TEMP, dir=target.parent))
        try:
            for file in files:
                # A key is anyone's text: `..` or a second slash in it would lead out of the cache.
                place = temp / (self / file.uri[len(self.uri) + 1 :]).uri[len(self.uri) + 1 :]
                place.parent.mkdir(parents=True, exist_ok=True)
                file._download(place)
            try:
                temp.rename(target)
            except OSError:  # another process was first, with the same content
                if not target.is_dir():
                    raise
        finally:
            shutil.rmtree(temp, ignore_errors=True)
        return target

    def mkdir(self) -> None:
        """Make a local folder and its parents; S3 has no folders, so nothing happens there."""
        if self.is_local:
            os.makedirs(self.uri, exist_ok=True)

    def delete(self) -> None:
        """Remove a file or a whole tree; nothing happens if there is none."""
        if not self.is_local:
            return self._remote(lambda fs: fs.rm(self.uri, recursive=True) if fs.exists(self.uri) else None)
        if os.path.isdir(self.uri) and not os.path.islink(self.uri):
            shutil.rmtree(self.uri)
        elif os.path.lexists(self.uri):
            os.unlink(self.uri)

    def sweep(self) -> None:
        """Remove temporary files and folders that killed writers left below this local folder, or beside it.

        Only for a folder that nobody else is writing to. A copy of ``put_dir`` lies beside its target and
        carries its name, so those of other folders stay. An interrupted write to S3 leaves nothing to see.
        """
        if not self.is_local:
            return
        place = Path(self.uri)
        # mkdtemp's random part has no hyphen: what is for `a-b` is not taken for a copy of `a`.
        own = re.compile(rf"{re.escape(_TEMP + place.name)}-[a-z0-9_]+")
        beside = [p for p in place.parent.glob(_TEMP + "*") if own.fullmatch(p.name)]
        for stale in (*beside, *place.rglob(_TEMP + "*")):
            Location(str(stale)).delete()

    def cache_dir(self) -> Path:
        """The local folder for copies of remote files."""
        if self.cache:
            return Path(self.cache)
        base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        return Path(base) / "ufvideo"

    def _cached(self, key: str) -> Path:
        return self.cache_dir() / "files" / hashlib.sha256(key.encode()).hexdigest()[:32]

    def _remote(self, act: Callable[[Any], Any]) -> Any:
        with s3.readable_errors(self.uri):
            return act(s3.filesystem())

    def _download(self, place: Path) -> None:
        self._remote(lambda fs: fs.get_file(self.uri, str(place)))

    def _info(self) -> dict[str, Any]:
        return self._remote(lambda fs: fs.info(self.uri))

    def _commit(self, fill: Callable[[Path], object]) -> None:
        """Fill a temporary sibling, flush it to the disk, and give it this name."""
        target = self.local_path
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=_TEMP, dir=target.parent)
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

    def _local_entries(self, recursive: bool) -> Sequence[str]:
        if not os.path.isdir(self.uri):
            return []
        if not recursive:
            return [e.path for e in os.scandir(self.uri) if not e.name.startswith(_TEMP)]
        return list(_files_below(self.uri, frozenset()))

    def _remote_entries(self, recursive: bool) -> Sequence[str]:
        def entries(fs: Any) -> Sequence[str]:
            if recursive:
                return fs.find(self.uri)
            try:
                return fs.ls(self.uri, detail=False)
            except FileNotFoundError:
                return []

        return ["s3://" + e.rstrip("/") for e in self._remote(entries) if "s3://" + e.rstrip("/") != self.uri]


def _files_below(folder: str, above: frozenset[str]) -> Iterator[str]:
    """Files at any depth. Links are followed, but not back into a folder that they lie in: ``above``."""
    real = os.path.realpath(folder)
    if real in above:
        return
    try:
        names = [name for name in os.listdir(folder) if not name.startswith(_TEMP)]
    except OSError as error:
        raise UserError(folder, f"cannot be listed ({error.strerror}).", "Check its rights.") from error
    for path in (os.path.join(folder, name) for name in names):
        if os.path.isdir(path):
            yield from _files_below(path, above | {real})
        else:
            yield path


def _link(source: str, temp: Path) -> None:
    temp.unlink()
    try:
        os.link(source, temp)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, temp)
