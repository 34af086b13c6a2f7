"""Open video files in any format that FFmpeg reads, and still images.

A file from elsewhere can ask for gigabytes of memory or refer to other files; both are refused.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

MOST_PIXELS = 1 << 26  # of a frame, as many as two 8K frames; a file of a few bytes can ask for gigabytes
_OTHER_FILES = frozenset(
    {"concat", "dash", "hls", "imf", "lavfi", "rtp", "rtsp", "sap", "sdp", "webm_dash_manifest"}
)


class VideoError(ValueError):
    """A video that cannot be read: missing, corrupt, or without a frame."""


def open_video(path: Path, *, parse: bool = True) -> Any:
    """A container with a video stream.

    Without ``parse``, the packets of an MP4 are read as its tables list them, in half the time: whole
    frames with their times. Other containers need FFmpeg's parsers for that, and always get them.

    Raises VideoError for a file that is not a video, or a list of other files.
    """
    library = av()
    try:
        container = None if parse else _open_tables(path)
        if container is None:
            container = library.open(
                str(path), metadata_errors="ignore", options={"format_whitelist": _formats()}
            )
    except library.ArgumentError as error:  # also for a format that is not on the list
        raise VideoError(f"{path}: no readable video, or a playlist of other files") from error
    except (library.FFmpegError, OSError) as error:
        raise VideoError(f"{path}: no readable video ({plain(error)})") from error
    if not container.streams.video:
        container.close()
        raise VideoError(f"{path}: holds no video stream")
    return container


def _open_tables(path: Path) -> Any | None:
    """An MP4 whose packets are not parsed, or None for any other file."""
    library = av()
    try:
        options = {"format_whitelist": "mov", "fflags": "noparse"}
        return library.open(str(path), metadata_errors="ignore", options=options)
    except library.ArgumentError:
        return None


@cache
def av() -> Any:
    """PyAV, without FFmpeg's messages on stderr."""
    import av

    av.logging.set_level(av.logging.PANIC)
    return av


@cache
def _formats() -> str:
    """FFmpeg's formats without playlists and streams, which refer to other files anywhere."""
    return ",".join(sorted(av().formats_available - _OTHER_FILES))


def open_image(path: Path) -> Any:
    """A still image whose pixels are not read yet. Raises VideoError for any other file."""
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(path)
    except UnidentifiedImageError as error:  # an OSError; its text is the path
        raise VideoError(f"{path}: no readable image (of no known format)") from error
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise VideoError(f"{path}: no readable image ({plain(error)})") from error


def check_size(path: Path, width: int, height: int) -> None:
    """Raise VideoError for a frame that would fill the memory."""
    if width * height > MOST_PIXELS:
        raise VideoError(f"{path}: a frame of {height}x{width} is more than any video has")


def plain(error: Exception) -> str:
    """A library's error message in one line, without the path."""
    text = getattr(error, "strerror", None) or str(error)  # str() of FFmpeg's errors includes the path
    return " ".join(text.split())[:160] or type(error).__name__
