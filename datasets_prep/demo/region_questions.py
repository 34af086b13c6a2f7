"""Questions about marked objects (``<region>``), shared by VideoRefer's QA and VideoRefer-Bench-Q."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from datasets_prep.demo.phrases import direction, motion_sentence, sentence
from datasets_prep.demo.questions import dealt
from datasets_prep.demo.rng import Deck, shuffled
from datasets_prep.demo.scene import Scene, Shape
from pipeline.draw import stream

_DIRECTIONS = ("to the left", "to the right", "up", "down")


class RegionKind(StrEnum):
    """Types as the benchmark names them."""

    BASIC = "Basic Questions"
    SEQUENTIAL = "Sequential Questions"
    RELATIONSHIP = "Relationship Questions"
    REASONING = "Reasoning Questions"
    FUTURE = "Future Predictions"


@dataclass(frozen=True, kw_only=True, slots=True)
class RegionQuestion:
    """The k-th ``<region>`` of ``text`` is object ``objects[k]``; ``answer`` is one of ``options``."""

    kind: RegionKind
    text: str
    answer: str
    options: tuple[str, ...]
    statement: str
    objects: tuple[int, ...]


def region_questions(scene: Scene) -> list[RegionQuestion]:
    """Everything that may be asked about single objects and pairs of this scene."""
    found: list[RegionQuestion] = []
    for index, item in enumerate(scene.objects):
        rng = stream(scene.seed, "region", scene.name, index)
        others = shuffled(rng, [c for c in scene.palette if c is not item.colour])[:3]
        found.append(
            RegionQuestion(
                kind=RegionKind.BASIC,
                text="What colour is <object1><region>?",
                answer=str(item.colour),
                options=(str(item.colour), *map(str, others)),
                statement=f"It is {item.colour}.",
                objects=(index,),
            )
        )
        found.append(
            RegionQuestion(
                kind=RegionKind.BASIC,
                text="What shape is <object1><region>?",
                answer=f"a {item.shape}",
                options=tuple(f"a {shape}" for shape in Shape),
                statement=f"It is a {item.shape}.",
                objects=(index,),
            )
        )
        found.append(
            RegionQuestion(
                kind=RegionKind.SEQUENTIAL,
                text="Does <object1><region> move or rest?",
                answer="it moves" if item.moves else "it rests",
                options=("it moves", "it rests"),
                statement=motion_sentence(item),
                objects=(index,),
            )
        )
        alike = sum(other.shape is item.shape for other in scene.objects)
        if len(scene.objects) > 1:
            found.append(
                RegionQuestion(
                    kind=RegionKind.REASONING,
                    text="Is there another shape of the same form as <object1><region>?",
                    answer="yes" if alike > 1 else "no",
                    options=("yes", "no"),
                    statement="Yes, there is." if alike > 1 else "No, there is none.",
                    objects=(index,),
                )
            )
        if item.moves:
            found.append(
                RegionQuestion(
                    kind=RegionKind.FUTURE,
                    text="In which direction will <object1><region> keep moving?",
                    answer=direction(item),
                    options=_DIRECTIONS,
                    statement=sentence(direction(item)),
                    objects=(index,),
                )
            )
    if scene.largest:
        big = scene.objects.index(scene.largest)
        small = next(i for i in range(len(scene.objects)) if i != big)
        for larger in (True, False):
            found.append(
                RegionQuestion(
                    kind=RegionKind.RELATIONSHIP,
                    text="Is <object1><region> larger than <object2><region>?",
                    answer="yes" if larger else "no",
                    options=("yes", "no"),
                    statement="Yes, it is larger." if larger else "No, it is smaller.",
                    objects=(big, small) if larger else (small, big),
                )
            )
    return found


def lettered(question: RegionQuestion, deck: Deck, name: str) -> tuple[list[str], int]:
    """Options as "(A) red" in the order of ``dealt``, and the place of the answer."""
    order, place = dealt(question, deck, name)
    return [f"({chr(65 + k)}) {option}" for k, option in enumerate(order)], place
