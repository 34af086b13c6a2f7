"""A demo scene: coloured shapes that rest or move, appear and vanish. Pure data, no pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction


class Colour(StrEnum):
    RED = "red"
    GREEN = "green"
    BLUE = "blue"
    YELLOW = "yellow"
    MAGENTA = "magenta"
    CYAN = "cyan"


class Shape(StrEnum):
    CIRCLE = "circle"
    SQUARE = "square"
    TRIANGLE = "triangle"


class Motion(StrEnum):
    REST = "rest"
    LEFT = "left"
    RIGHT = "right"
    UP = "up"
    DOWN = "down"


RGB: dict[Colour, tuple[int, int, int]] = {
    Colour.RED: (220, 40, 40),
    Colour.GREEN: (40, 185, 60),
    Colour.BLUE: (50, 85, 230),
    Colour.YELLOW: (235, 215, 45),
    Colour.MAGENTA: (215, 60, 215),
    Colour.CYAN: (40, 205, 215),
}

# Half of the box of a shape whose area is that of a unit circle: "largest" is then a statement about the
# radius alone.
_HALF_BOX = {
    Shape.CIRCLE: 1.0,
    Shape.SQUARE: math.sqrt(math.pi) / 2,
    Shape.TRIANGLE: math.sqrt(2 * math.pi) / 2,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class SceneObject:
    """One shape. Positions are centres in pixels (x right, y down); it shows in [first_frame, end_frame)."""

    colour: Colour
    shape: Shape
    motion: Motion
    radius: float
    start_xy: tuple[float, float]
    end_xy: tuple[float, float]
    first_frame: int
    end_frame: int

    @property
    def half_box(self) -> float:
        """Half of the side of the bounding square, in pixels."""
        return self.radius * _HALF_BOX[self.shape]

    @property
    def moves(self) -> bool:
        return self.motion is not Motion.REST

    @property
    def name(self) -> str:
        """Unique in its scene, because no two shapes of a scene share a colour."""
        return f"{self.colour} {self.shape}"

    def shows_in(self, frame: int) -> bool:
        return self.first_frame <= frame < self.end_frame

    def centre(self, frame: int) -> tuple[float, float]:
        """Centre at a frame in which the object shows; it travels its whole path while visible."""
        steps = max(1, self.end_frame - self.first_frame - 1)
        part = (frame - self.first_frame) / steps
        (x0, y0), (x1, y1) = self.start_xy, self.end_xy
        return x0 + (x1 - x0) * part, y0 + (y1 - y0) * part


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """One video before rendering. Later objects lie on top of earlier ones."""

    seed: int
    name: str
    width: int
    height: int
    fps: Fraction
    frames: int
    palette: tuple[Colour, ...]
    objects: tuple[SceneObject, ...]

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the end of the last."""
        return float(self.frames / self.fps)

    def seconds(self, frame: int) -> float:
        """When a frame begins; ``frames`` gives the end of the video."""
        return float(frame / self.fps)

    def span(self, item: SceneObject) -> tuple[float, float]:
        """Seconds in which the object shows."""
        return self.seconds(item.first_frame), self.seconds(item.end_frame)

    def is_event(self, item: SceneObject) -> bool:
        """Whether the object shows only in a part of the video."""
        return item.first_frame > 0 or item.end_frame < self.frames

    @property
    def events(self) -> tuple[SceneObject, ...]:
        """Objects that appear or vanish, in order of their spans."""
        partial = (item for item in self.objects if self.is_event(item))
        return tuple(sorted(partial, key=lambda item: (item.first_frame, item.end_frame, item.name)))

    @property
    def movers(self) -> tuple[SceneObject, ...]:
        return tuple(item for item in self.objects if item.moves)

    @property
    def largest(self) -> SceneObject | None:
        """The object whose area beats every other by half at least, when there is one."""
        ranked = sorted(self.objects, key=lambda item: item.radius)
        if len(ranked) < 2 or ranked[-1].radius ** 2 < 1.5 * ranked[-2].radius ** 2:
            return None
        return ranked[-1]
