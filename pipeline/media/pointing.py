"""What a user points at in a video: a box, a point or a mask file on one frame; its form on a command line.

``frame`` is a frame number from 0 (``12``), or a time in seconds with its unit (``"3.5s"``): the frame that
shows then. Coordinates are pixels of the video as it is displayed, x to the right and y downwards; a pixel
with the index k reaches from k to k + 1.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from pipeline.errors import UserError

_TIME = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*s")
_FRAME = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Box:
    """The rectangle from (x1, y1) to (x2, y2). Raises UserError for one without an area, or a bad frame."""

    frame: int | str
    x1: float
    y1: float
    x2: float
    y2: float

    def __post_init__(self) -> None:
        _check(self, self.frame, (self.x1, self.y1, self.x2, self.y2))
        if self.x2 <= self.x1 or self.y2 <= self.y1:
            raise UserError(
                str(self), "has no area.", "Give its left, upper, right and lower edge: x1 < x2 and y1 < y2."
            )

    def __str__(self) -> str:
        return f"box {self.frame}:{self.x1:g},{self.y1:g},{self.x2:g},{self.y2:g}"


@dataclass(frozen=True, slots=True)
class Point:
    """The disc around (x, y) whose radius is half the diagonal of one of the patches that the model sees.

    That is the frame's diagonal / (2 * patches per side): 1.9 % of it for the published model with 27 patches
    per side. Raises UserError for a bad frame or number.
    """

    frame: int | str
    x: float
    y: float

    def __post_init__(self) -> None:
        _check(self, self.frame, (self.x, self.y))

    def __str__(self) -> str:
        return f"point {self.frame}:{self.x:g},{self.y:g}"


@dataclass(frozen=True, slots=True)
class MaskFile:
    """An image file of the video's size: pixels that are neither black nor transparent are inside."""

    frame: int | str
    path: str

    def __post_init__(self) -> None:
        _check(self, self.frame, ())

    def __str__(self) -> str:
        return f"mask {self.frame}:{self.path}"


Region = Box | Point | MaskFile


def parse_region(kind: str, text: str) -> Region:
    """A region from ``FRAME:X1,Y1,X2,Y2`` (box), ``FRAME:X,Y`` (point) or ``FRAME:FILE`` (mask).

    Raises UserError for anything else.
    """
    frame, colon, rest = text.partition(":")
    if kind == "mask":
        if not colon or not rest:
            raise UserError(f"--mask {text}", "names no frame and file.", "Write it as --mask 12:ball.png.")
        return MaskFile(_number(frame), rest)
    count, form = (4, "12:40,30,90,80") if kind == "box" else (2, "12:64,50")
    try:
        numbers = [float(part) for part in rest.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        raise UserError(
            f"--{kind} {text}",
            f"is not a frame and {count} numbers.",
            f"Write it as --{kind} {form} (frame 12) or --{kind} 3.5s:{form.partition(':')[2]} (at 3.5 s).",
        )
    return Box(_number(frame), *numbers) if kind == "box" else Point(_number(frame), *numbers)


def seconds_of(frame: int | str) -> float | None:
    """The time of ``"3.5s"`` in seconds; None for a frame number."""
    found = _TIME.fullmatch(frame.strip()) if isinstance(frame, str) else None
    return float(found[1]) if found else None


def _number(text: str) -> int | str:
    return int(text) if _FRAME.fullmatch(text.strip()) else text.strip()


def _check(region: Region, frame: int | str, numbers: tuple[float, ...]) -> None:
    whole = isinstance(frame, int) and not isinstance(frame, bool) and frame >= 0
    if not whole and seconds_of(frame) is None:
        raise UserError(
            str(region),
            f"{frame!r} is neither a frame number nor a time.",
            "Write a frame number from 0, such as 12, or seconds with their unit, such as 3.5s.",
        )
    if not all(math.isfinite(n) for n in numbers):
        raise UserError(str(region), "holds a number that is not finite.", "Give pixels of the frame.")
