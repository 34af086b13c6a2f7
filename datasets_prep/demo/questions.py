"""Questions about a scene with true answers and a few options; training and benchmarks ask the same ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from datasets_prep.demo.phrases import direction, sentence, the
from datasets_prep.demo.rng import Deck, pick, shuffled
from datasets_prep.demo.scene import Colour, Scene, SceneObject, Shape
from pipeline.draw import stream
from pipeline.plan.demo import QuestionKind

_DIRECTIONS = ("to the left", "to the right", "up", "down")
_BY_COLOUR = 0.5  # share of existence questions that ask for a colour, whatever the shape
_HARD_NO = 0.3  # share of other "no" answers in which the colour is there, in another shape
_OPTIONS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """``answer`` is one of ``options``; ``statement`` says it in a sentence that names the object."""

    kind: QuestionKind
    text: str
    answer: str
    options: tuple[str, ...]
    statement: str


def existence(scene: Scene, present: bool) -> Question:
    """Half of the asked shapes should be present; the caller balances that."""
    rng = stream(scene.seed, "question", QuestionKind.EXISTENCE, present, scene.name)
    by_colour = rng.random() < _BY_COLOUR
    if present:
        item = pick(rng, scene.objects)
        name = f"{item.colour} shape" if by_colour else item.name
        statement = f"Yes, there is a {name} in the video."
    else:
        if not by_colour and rng.random() < _HARD_NO:
            item = pick(rng, scene.objects)
            name = f"{item.colour} {pick(rng, [s for s in Shape if s is not item.shape])}"
        else:
            shape = "shape" if by_colour else pick(rng, tuple(Shape))
            name = f"{pick(rng, _absent(scene))} {shape}"
        statement = f"No, there is no {name} in the video."
    return Question(
        kind=QuestionKind.EXISTENCE,
        text=f"Is there a {name} in the video?",
        answer="yes" if present else "no",
        options=("yes", "no"),
        statement=statement,
    )


def ask(scene: Scene, kind: QuestionKind) -> Question | None:
    """The question of that kind, or None where the scene does not have exactly one answer to it."""
    rng = stream(scene.seed, "question", kind, scene.name)
    objects = scene.objects
    if kind is QuestionKind.COLOUR_PRESENT:
        item = pick(rng, objects)
        return Question(
            kind=kind,
            text="Which of these colours is seen in the video?",
            answer=str(item.colour),
            options=(str(item.colour), *map(str, _absent(scene))),
            statement=f"There is a {item.colour} shape in the video.",
        )
    if kind is QuestionKind.COLOUR_OF_SHAPE:
        single = [o for o in objects if sum(p.shape is o.shape for p in objects) == 1]
        if not single:
            return None
        item = pick(rng, single)
        subject = f"the {item.shape}"
        return _colour(scene, kind, f"What colour is {subject}?", item, subject)
    if kind is QuestionKind.COLOUR_OF_MOVING:
        if len(scene.movers) != 1 or len(objects) < 2:
            return None
        return _colour(scene, kind, "What colour is the moving shape?", scene.movers[0], "the moving shape")
    if kind is QuestionKind.COLOUR_OF_LARGEST:
        if scene.largest is None:
            return None
        return _colour(scene, kind, "What colour is the largest shape?", scene.largest, "the largest shape")
    if kind is QuestionKind.SHAPE_OF_COLOUR:
        item = pick(rng, objects)
        return Question(
            kind=kind,
            text=f"What is the {item.colour} shape?",
            answer=f"a {item.shape}",
            options=tuple(f"a {shape}" for shape in Shape),
            statement=f"The {item.colour} shape is a {item.shape}.",
        )
    if kind is QuestionKind.COUNT:
        many = len(objects)
        counted = f"is {many} shape" if many == 1 else f"are {many} shapes"
        return Question(
            kind=kind,
            text="How many shapes are there in the video?",
            answer=str(many),
            options=("1", "2", "3"),
            statement=f"There {counted} in the video.",
        )
    if kind is QuestionKind.LAST:
        return _last(scene)
    if kind is QuestionKind.DIRECTION:
        if not scene.movers:
            return None
        item = pick(rng, scene.movers)
        return Question(
            kind=kind,
            text=f"In which direction does {the(item)} move?",
            answer=direction(item),
            options=_DIRECTIONS,
            statement=sentence(f"{the(item)} moves {direction(item)}"),
        )
    assert kind is not QuestionKind.EXISTENCE, "existence() takes the wanted answer"
    raise AssertionError(kind)


def _absent(scene: Scene) -> list[Colour]:
    """Colours of the palette that no object of the scene has."""
    return [c for c in scene.palette if c not in {o.colour for o in scene.objects}]


def _colour(scene: Scene, kind: QuestionKind, text: str, item: SceneObject, subject: str) -> Question:
    """Options: the answer and other colours of the palette, seen in the scene or not."""
    rng = stream(scene.seed, "options", kind, scene.name)
    others = shuffled(rng, [c for c in scene.palette if c is not item.colour])[: _OPTIONS - 1]
    return Question(
        kind=kind,
        text=text,
        answer=str(item.colour),
        options=(str(item.colour), *map(str, others)),
        statement=sentence(f"{subject} is {item.colour}"),
    )


def _last(scene: Scene) -> Question | None:
    """Which shape appears last; three options, the scene's own shapes before invented ones."""
    ranked = sorted(scene.objects, key=lambda item: item.first_frame)
    if len(ranked) < 2 or ranked[-1].first_frame - ranked[-2].first_frame < scene.frames // 10:
        return None
    rng = stream(scene.seed, "options", QuestionKind.LAST, scene.name)
    names = [the(item) for item in reversed(ranked)]
    absent = _absent(scene)
    while len(names) < 3:
        names.append(f"the {pick(rng, absent)} {pick(rng, tuple(Shape))}")
    return Question(
        kind=QuestionKind.LAST,
        text="Which shape appears last?",
        answer=names[0],
        options=tuple(names),
        statement=sentence(f"{names[0]} appears last"),
    )


class Choice(Protocol):
    """A question with options, of any kind."""

    @property
    def kind(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def answer(self) -> str: ...
    @property
    def options(self) -> tuple[str, ...]: ...


def dealt(question: Choice, deck: Deck, name: str) -> tuple[list[str], int]:
    """Options in their final order and the answer's place.

    Yes and no, and numbers, stand in their natural order; their answers are even, so their places are too. Of
    other options each place comes up equally often for each answer, and the rest is shuffled by ``name``, the
    scene's: by the question alone, one order would go with one answer, and a reader could guess it.
    """
    if question.kind in (QuestionKind.EXISTENCE, QuestionKind.COUNT):
        return list(question.options), question.options.index(question.answer)
    place = deck.deal(len(question.options), f"{question.kind}/{question.answer}")
    rng = stream(0, "order", name, question.text, place, *question.options)
    order = shuffled(rng, [option for option in question.options if option != question.answer])
    order.insert(place, question.answer)
    return order, place


def scene_questions(scene: Scene, deck: Deck, kinds: Sequence[QuestionKind]) -> list[Question]:
    """Existence, every other question of ``kinds`` that the scene answers in an order of its own, and at the
    end existence with the other answer."""
    order = shuffled(
        stream(scene.seed, "kinds", scene.name), [k for k in QuestionKind if k is not QuestionKind.EXISTENCE]
    )
    asked = [ask(scene, kind) for kind in order if kind in kinds]
    found = [question for question in asked if question is not None]
    if QuestionKind.EXISTENCE not in kinds:
        return found
    present = bool(deck.deal(2, "existence"))
    return [existence(scene, present), *found, existence(scene, not present)]
