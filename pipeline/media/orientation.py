"""How a player turns and mirrors pictures: the display matrix, applied as ffmpeg's ``autorotate`` does."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.media.files import VideoError


@dataclass(frozen=True, slots=True)
class Orientation:
    """First transposed, then mirrored."""

    transposed: bool = False
    upside_down: bool = False
    left_right: bool = False

    def apply(self, picture: np.ndarray) -> np.ndarray:
        """The picture [H, W, 3] as shown, contiguous in memory."""
        if self.transposed:
            picture = picture.swapaxes(0, 1)
        if self.upside_down:
            picture = picture[::-1]
        if self.left_right:
            picture = picture[:, ::-1]
        return np.ascontiguousarray(picture)

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width as shown."""
        return (width, height) if self.transposed else (height, width)


AS_STORED = Orientation()


def orientation(path: Path, frame: Any) -> Orientation:
    """The orientation of a decoded frame. Raises VideoError for an angle that is not a quarter turn."""
    matrix = next((data for data in frame.side_data if data.type.name == "DISPLAYMATRIX"), None)
    return AS_STORED if matrix is None else from_matrix(path, struct.unpack("=9i", bytes(matrix)[:36]))


def from_matrix(path: Path, matrix: tuple[int, ...]) -> Orientation:
    """The orientation from nine numbers as MP4 stores them (ISO/IEC 14496-12, 6.2.2)."""
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    across, down = math.hypot(a, c), math.hypot(b, d)
    if not across or not down:
        return AS_STORED  # it gives no angle; ffmpeg ignores it too
    degrees = round(math.degrees(math.atan2(b / down, a / across))) % 360  # clockwise
    if degrees == 90:
        return Orientation(True, left_right=not c > 0)
    if degrees == 180:
        return Orientation(False, upside_down=d < 0, left_right=a < 0)
    if degrees == 270:
        return Orientation(True, upside_down=True, left_right=c < 0)
    if degrees == 0:
        return Orientation(False, upside_down=d < 0)
    raise VideoError(
        f"{path}: is to be shown turned by {degrees} degrees, and only quarter turns and mirrors can be; "
        "write it anew as it should look (`ffmpeg -i VIDEO NEW.mp4`)"
    )
