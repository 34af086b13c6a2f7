"""True descriptions of a scene: names, expressions, events, descriptions. A small closed vocabulary."""

from __future__ import annotations

from dataclasses import dataclass

from datasets_prep.demo.rng import pick, shuffled
from datasets_prep.demo.scene import Motion, Scene, SceneObject
from pipeline.draw import stream

_DIRECTION = {
    Motion.LEFT: "to the left",
    Motion.RIGHT: "to the right",
    Motion.UP: "up",
    Motion.DOWN: "down",
}


@dataclass(frozen=True, slots=True)
class Expression:
    """A referring expression and the indexes of all objects of the scene that it means."""

    text: str
    objects: tuple[int, ...]


def the(item: SceneObject) -> str:
    return f"the {item.name}"


def colour_last(item: SceneObject) -> str:
    """'the circle in red', as the referring expressions say it."""
    return f"the {item.shape} in {item.colour}"


def direction(item: SceneObject) -> str:
    """Where a moving object goes; KeyError for one that rests."""
    return _DIRECTION[item.motion]


def event(item: SceneObject) -> str:
    """The event of which ``Scene.span`` is the time."""
    return f"the {item.name} is visible"


def sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def motion_sentence(item: SceneObject) -> str:
    """'The red circle moves to the left.' or '... rests.'"""
    return sentence(f"the {item.name} moves {direction(item)}" if item.moves else f"the {item.name} rests")


def describe(scene: Scene, item: SceneObject) -> str:
    """A detailed caption of one object."""
    comes, goes = item.first_frame > 0, item.end_frame < scene.frames
    if comes and goes:
        presence = "It appears and then vanishes."
    elif comes:
        presence = "It appears and stays."
    elif goes:
        presence = "It is there at first and then vanishes."
    else:
        presence = "It is always visible."
    motion = f"It moves {direction(item)}." if item.moves else "It rests."
    return f"A {item.name}. {motion} {presence}"


def expressions(scene: Scene) -> list[Expression]:
    """All referring expressions of a scene, single objects first, each true of exactly its objects.

    The colour stands last: a model that repeats the expression in front of its [SEG] then writes [SEG] from a
    state that has just taken in the word that tells the objects apart.
    """
    objects = scene.objects
    rng = stream(scene.seed, "expressions", scene.name)
    found = [Expression(colour_last(item), (i,)) for i, item in enumerate(objects)]
    by_colour = int(rng.integers(len(objects)))
    found.append(Expression(f"the shape in {objects[by_colour].colour}", (by_colour,)))
    for shape in sorted({item.shape for item in objects}):
        alike = tuple(i for i, item in enumerate(objects) if item.shape is shape)
        if len(alike) > 1:
            found.append(Expression(f"the {shape}s", alike))
    if len(objects) > 1:
        one, other = sorted(shuffled(rng, range(len(objects)))[:2])
        found.append(
            Expression(f"the shapes in {objects[one].colour} and {objects[other].colour}", (one, other))
        )
    if len(scene.movers) == 1 and len(objects) > 1:
        mover = objects.index(scene.movers[0])
        found.append(Expression(f"the moving {objects[mover].shape}", (mover,)))
    if scene.largest and pick(rng, (True, False, False)):
        found.append(Expression("the largest shape", (objects.index(scene.largest),)))
    return found
