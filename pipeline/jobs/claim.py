"""One writer for each artifact: a process claims the folder before it writes, and others can read its name.

On a disk a claim is a locked file, which the kernel unlocks when its holder ends. On S3 it is an object
that its holder renews every few seconds; a claim that is not renewed expires.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Protocol

from pipeline.artifacts.record import now
from pipeline.jobs.owner import owner_token
from pipeline.storage import s3, uris
from pipeline.storage.location import Location

RUN, STEP = "run", "step"
"""Kinds of claims: by the command that runs a whole plan, or by the process that makes one artifact."""

BEAT_S = 10.0
LAPSE_S = 45.0  # a claim on S3 expires if it is not renewed for so long


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who has a claim. ``jobs_url`` and ``job`` are the job that can be followed."""

    process: str  # pid and start time, as owner_token gives it
    host: str
    since: str
    command: str
    jobs_url: str = ""
    job: str = ""

    def __str__(self) -> str:
        pid = self.process.partition(":")[0]
        return f"{self.command} (process {pid} on {self.host}, since {self.since})"


class Claim(Protocol):
    """A claim of this process."""

    def publish(self, jobs_url: str, job: str) -> None:
        """Write into the claim which job can be followed."""

    def release(self) -> None:
        """Release the claim."""


def take(folder: Location, kind: str, command: str) -> Claim | None:
    """Claim the folder of an artifact. None if another process has it: see ``holder``."""
    own = Holder(process=owner_token(), host=socket.gethostname(), since=now(), command=command)
    place = _place(folder, kind)
    return _LockedFile.take(place.local_path, own) if place.is_local else _Lease.take(place, own)


def holder(folder: Location, kind: str) -> Holder | None:
    """Who has claimed the folder; None if nobody has, or if the claim cannot be read."""
    try:
        return Holder(**json.loads(_place(folder, kind).read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):  # the last two: it is being written at this moment
        return None


def _place(folder: Location, kind: str) -> Location:
    root, step, fingerprint = folder.uri.rsplit("/", 2)
    return Location(root, folder.cache) / f"claims/{step}-{fingerprint}.{kind}.json"


def _text(own: Holder) -> bytes:
    return json.dumps(asdict(own)).encode()


class _LockedFile:
    """A claim on a disk; also on one that several machines share, if its file system has locks."""

    def __init__(self, path: Path, file: int, own: Holder) -> None:
        self._path, self._file, self._own = path, file, own
        self._write()

    @classmethod
    def take(cls, path: Path, own: Holder) -> _LockedFile | None:
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                return None
            except OSError as error:
                print(
                    f"note: {path.parent} cannot be locked ({error.strerror}); run no plan twice", flush=True
                )
                return cls(path, file, own)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file), os.stat(path)):
                    return cls(path, file, own)
            os.close(file)  # the previous holder deleted it between the two calls

    def publish(self, jobs_url: str, job: str) -> None:
        self._own = replace(self._own, jobs_url=jobs_url, job=job)
        self._write()

    def release(self) -> None:
        with suppress(FileNotFoundError):
            self._path.unlink()
        os.close(self._file)

    def _write(self) -> None:
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, _text(self._own), 0)


class _Lease:
    """A claim on S3 by conditional writes: only one of several processes can write the next version."""

    def __init__(self, place: Location, own: Holder, tag: str) -> None:
        self._place, self._own, self._tag = place, own, tag
        self._lock, self._stop = threading.Lock(), threading.Event()
        threading.Thread(target=self._beat, name="claim", daemon=True).start()

    @classmethod
    def take(cls, place: Location, own: Holder) -> _Lease | None:
        tag = _put(place, _text(own), IfNoneMatch="*")
        if tag is None and (lapsed := _lapsed(place)):
            tag = _put(place, _text(own), IfMatch=lapsed)
        return cls(place, own, tag) if tag else None

    def publish(self, jobs_url: str, job: str) -> None:
        with self._lock:
            self._own = replace(self._own, jobs_url=jobs_url, job=job)
            self._write()

    def release(self) -> None:
        self._stop.set()
        with self._lock:
            if self._tag:
                self._place.delete()

    def _beat(self) -> None:
        while not self._stop.wait(BEAT_S):
            with self._lock, suppress(Exception):  # the server may be back for the next beat
                if not self._stop.is_set():
                    self._write()

    def _write(self) -> None:
        if self._tag:
            self._tag = _put(self._place, _text(self._own), IfMatch=self._tag) or ""
            if not self._tag:
                print(f"note: {self._place.uri} was taken over, since it was not renewed in time", flush=True)


def _put(place: Location, data: bytes, **condition: str) -> str | None:
    """Write an object if the condition holds. Returns its new entity tag, else None."""
    import botocore.exceptions as boto

    bucket, key = uris.bucket_and_key(place.uri)

    def act(fs: Any) -> str | None:
        try:
            answer = fs.call_s3("put_object", Bucket=bucket, Key=key, Body=data, **condition)
        except OSError as error:
            cause = error.__cause__ if error.__cause__ is not None else error
            code = cause.response["Error"]["Code"] if isinstance(cause, boto.ClientError) else ""
            if code in ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey", "412", "409"):
                return None
            raise
        return str(answer["ETag"])

    return s3.call(place.uri, act)


def _lapsed(place: Location) -> str | None:
    """The entity tag of a claim that has expired by the server's own clock, or None."""
    bucket, key = uris.bucket_and_key(place.uri)

    def act(fs: Any) -> str | None:
        try:
            found = fs.call_s3("head_object", Bucket=bucket, Key=key)
        except FileNotFoundError:
            return None
        date = found["ResponseMetadata"]["HTTPHeaders"].get("date")
        present = parsedate_to_datetime(date).timestamp() if date else time.time()
        age = present - found["LastModified"].astimezone(UTC).timestamp()
        return str(found["ETag"]) if age > LAPSE_S else None

    return s3.call(place.uri, act)
