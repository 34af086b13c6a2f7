"""Whether a video file is still the one that a dataset was prepared from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from pipeline.errors import MissingFileError, UserError
from pipeline.records.sample import VideoRef

HEAD_BYTES = 64 << 10  # one disk read; any two encodings differ in headers or first pictures


class VerifyVideos(StrEnum):
    """How closely a video is compared with the one that was prepared, when it is opened again."""

    OFF = "off"
    HEAD = "head"  # its size and its first bytes
    WHOLE = "whole"  # the sha256 of all of it


_verified: set[tuple[str, str, VerifyVideos]] = set()  # (path, digest, mode) compared in this process


class OtherVideoError(UserError):
    """Another file is where a dataset's video was."""


class MissingVideoError(MissingFileError):
    """A dataset's video is no longer there."""


def whole_sha256(folder_or_file: Path, names: Sequence[str]) -> str:
    """SHA-256 of a file; for stills ``names`` of a folder, of their concatenated digests."""
    if not names:
        return _sha256(folder_or_file)
    digests = "".join(_sha256(folder_or_file / name) for name in names)
    return hashlib.sha256(digests.encode()).hexdigest()


def head_sha256(folder_or_file: Path, names: Sequence[str]) -> str:
    """SHA-256 of a file's first ``HEAD_BYTES``; for stills ``names``, of their names and sizes."""
    if names:
        sizes = [[name, (folder_or_file / name).stat().st_size] for name in names]
        return hashlib.sha256(json.dumps(sizes).encode()).hexdigest()
    with folder_or_file.open("rb") as file:
        return hashlib.sha256(file.read(HEAD_BYTES)).hexdigest()


def verify(path: Path, video: VideoRef, how: VerifyVideos) -> None:
    """Compare the file or folder at ``path`` with the probed ``video``, once a process.

    HEAD compares size and head, and costs one small read; WHOLE hashes all of it. A video without digests
    passes. Raises OtherVideoError, or FileNotFoundError for a file that is gone.
    """
    key = (str(path), video.sha256, how)
    if how is VerifyVideos.OFF or not video.head_sha256 or key in _verified:
        return
    files = [path / name for name in video.frames] or [path]
    size = sum(file.stat().st_size for file in files)
    if size != video.size_bytes:
        raise _other(path, f"{size:,} bytes instead of {video.size_bytes:,}")
    found, expected, part = head_sha256(path, video.frames), video.head_sha256, "head"
    if video.frames:
        part = "names and sizes"
    if found == expected and how is VerifyVideos.WHOLE:
        found, expected, part = whole_sha256(path, video.frames), video.sha256, "content"
    if found != expected:
        raise _other(path, f"sha256 of its {part} {found[:12]} instead of {expected[:12]}")
    _verified.add(key)


def _other(path: Path, difference: str) -> OtherVideoError:
    return OtherVideoError(
        str(path),
        f"is not the video that the dataset was prepared from ({difference}).",
        "Put that video back, or prepare the dataset again.",
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
