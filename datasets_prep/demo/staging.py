"""Draws scenes from names: the same (config, name) always gives the same scene."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np

from datasets_prep.demo.rng import pick, shuffled
from datasets_prep.demo.scene import Colour, Motion, Scene, SceneObject, Shape
from pipeline.draw import stream
from pipeline.plan.demo import DemoConfig

SIZES = ((128, 96), (160, 120), (96, 128), (192, 108), (112, 112))  # width, height
RATES = (Fraction(6), Fraction(8), Fraction(10), Fraction(25, 2))
# Radius as a part of the short side: fewer shapes may be larger.
RADII = {1: (0.18, 0.22, 0.26), 2: (0.15, 0.19, 0.245), 3: (0.125, 0.16, 0.205)}
_EVENT_SHARE = 0.45
_TRIES_PER_SIZE = 60
_OVERLAP = 0.15
_TAKES = 2000


def derive_scene(config: DemoConfig, name: str) -> Scene:
    """The scene of that name. Shapes of one scene differ in colour; at least one appears or vanishes."""
    rng = stream(config.seed, "scene", name)
    width, height = pick(rng, SIZES)
    fps = pick(rng, RATES)
    seconds = config.min_seconds + (config.max_seconds - config.min_seconds) * float(rng.random()) ** 2
    frames = max(8, round(seconds * fps))
    palette = tuple(Colour)[: config.colours]
    count = 1 + int(rng.integers(config.max_objects))
    colours = shuffled(rng, palette)[:count]
    shapes = [pick(rng, tuple(Shape)) for _ in colours]
    motions = [pick(rng, tuple(Motion)[1:]) if rng.random() < 0.5 else Motion.REST for _ in colours]
    radii = [pick(rng, RADII[count]) * min(width, height) for _ in colours]
    event_first = int(rng.integers(count))
    windows = [
        _window(rng, config, frames) if i == event_first or rng.random() < _EVENT_SHARE else (0, frames)
        for i in range(count)
    ]
    traits = list(zip(colours, shapes, motions, radii, windows, strict=True))
    objects = _lay_out(rng, traits, width, height)
    return Scene(
        seed=config.seed,
        name=name,
        width=width,
        height=height,
        fps=fps,
        frames=frames,
        palette=palette,
        objects=objects,
    )


def find_scene(config: DemoConfig, name: str, accepts: Callable[[Scene], bool]) -> Scene:
    """The first of ``name``, ``name.1``, ``name.2`` ... whose scene ``accepts`` returns true for."""
    for take in range(_TAKES):
        scene = derive_scene(config, f"{name}.{take}" if take else name)
        if accepts(scene):
            return scene
    raise AssertionError(f"no scene in {_TAKES} takes of {name} is accepted")


def train_scenes(config: DemoConfig, count: int) -> list[Scene]:
    """The first ``count`` training scenes."""
    return [derive_scene(config, f"train-{i:05d}") for i in range(count)]


def _window(rng: np.random.Generator, config: DemoConfig, frames: int) -> tuple[int, int]:
    """First frame and end of an event: a quarter to a half of the video."""
    if config.event_grid:
        grid = config.event_grid
        shortest, longest = -(-grid // 4), grid // 2
        length = shortest + int(rng.integers(longest - shortest + 1))
        begin = int(rng.integers(grid - length + 1))
        return round(begin * frames / grid), round((begin + length) * frames / grid)
    length = round(frames * (0.25 + 0.25 * float(rng.random())))
    begin = int(rng.integers(frames - length + 1))
    return begin, begin + length


Trait = tuple[Colour, Shape, Motion, float, tuple[int, int]]


def _lay_out(
    rng: np.random.Generator, traits: list[Trait], width: int, height: int
) -> tuple[SceneObject, ...]:
    """Paths on which shapes hardly cover each other; shapes shrink a little until such paths are found."""
    scale = 1.0
    while True:
        for _ in range(_TRIES_PER_SIZE):
            objects = tuple(_place(rng, trait, scale, width, height) for trait in traits)
            if not _collide(objects):
                return objects
        scale *= 0.93


def _place(rng: np.random.Generator, trait: Trait, scale: float, width: int, height: int) -> SceneObject:
    colour, shape, motion, radius, (first, end) = trait
    still = SceneObject(
        colour=colour,
        shape=shape,
        motion=motion,
        radius=radius * scale,
        start_xy=(0.0, 0.0),
        end_xy=(0.0, 0.0),
        first_frame=first,
        end_frame=end,
    )
    margin = still.half_box + 1
    room = (width - 2 * margin, height - 2 * margin)
    place = [margin + float(rng.random()) * room[0], margin + float(rng.random()) * room[1]]
    goal = list(place)
    if still.moves:
        axis = 0 if motion in (Motion.LEFT, Motion.RIGHT) else 1
        travel = room[axis] * (0.75 + 0.25 * float(rng.random()))
        low = margin + float(rng.random()) * (room[axis] - travel)
        place[axis], goal[axis] = low, low + travel
        if motion in (Motion.LEFT, Motion.UP):
            place[axis], goal[axis] = goal[axis], place[axis]
    return SceneObject(
        colour=colour,
        shape=shape,
        motion=motion,
        radius=radius * scale,
        start_xy=(place[0], place[1]),
        end_xy=(goal[0], goal[1]),
        first_frame=first,
        end_frame=end,
    )


def _collide(objects: tuple[SceneObject, ...]) -> bool:
    """Whether two boxes ever share more than a small part of the smaller one."""
    for i, one in enumerate(objects):
        for other in objects[i + 1 :]:
            first = max(one.first_frame, other.first_frame)
            end = min(one.end_frame, other.end_frame)
            smaller = (2 * min(one.half_box, other.half_box)) ** 2
            reach = one.half_box + other.half_box
            for frame in {first + (end - 1 - first) * k // 12 for k in range(13)} if end > first else ():
                (ax, ay), (bx, by) = one.centre(frame), other.centre(frame)
                shared = max(0.0, reach - abs(ax - bx)) * max(0.0, reach - abs(ay - by))
                if shared > _OVERLAP * smaller:
                    return True
    return False
