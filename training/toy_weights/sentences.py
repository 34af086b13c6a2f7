"""Plain English about shapes: descriptions, questions with their answers, and lists of choices.

What a language model has read long before it sees a video. A world is a slide show of eight slides, told in
sentences or listed slide by slide, or drawn; everything that is asked about it is answered by the text or the
pictures. Choices and time tokens are in texts only.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from pipeline.times import temporal
from training.model.tokens import REGION

COLOURS: Final = ("red", "green", "blue", "yellow", "magenta", "cyan")
SHAPES: Final = ("circle", "square", "triangle")
DIRECTIONS: Final = ("to the left", "to the right", "up", "down")
SLIDES: Final = 8
TURNS: Final = 3
"""The most questions about a text or a slide show."""
LETTERS: Final = "ABCD"

_THINGS = (
    *COLOURS,
    *(f"a {shape}" for shape in SHAPES),
    *DIRECTIONS,
    *("it moves", "it rests", "yes", "no"),
    *map(str, range(1, SLIDES + 1)),
)
_IN_ORDER = (("yes", "no"), tuple(map(str, range(1, SLIDES + 1))))  # options that are never shuffled
_INSTRUCTED = 0.2  # share of choices that say how to answer
_LETTER_AND_OPTION = "Please provide your answer by stating the letter followed by the full option."
_LETTER = "Answer with the option's letter from the given choices directly"

# What questions about videos are made of besides, for the tokenizer to have it whole: a large vocabulary has
# every common word.
OTHER_WORDS: Final = (
    "a all always and another appear appears as at circles colours describe detail direction do each end "
    "exactly first form from full give happen happens in it its keep larger largest last mask masks marked "
    "moving none shown slides object objects occur one only or same seen segment segmentation smaller "
    "squares start stays than then there these they this times timestamp triangles up vanish vanishes video "
    "visible what when which will with you your"
)
OTHER_OPENINGS: Final = (
    "A Answer Can List Describe Does Down Give How In Is It Locate No Options Please Question Say Starts "
    "Sure The There To Up What When Where Which Yes object"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Thing:
    """One shape of a world, on slides ``begin`` to before ``end``, counted from 0."""

    colour: str
    shape: str
    begin: int = 0
    end: int = SLIDES
    direction: str = ""

    @property
    def name(self) -> str:
        return f"{self.colour} {self.shape}"

    @property
    def motion(self) -> str:
        return f"moves {self.direction}" if self.direction else "rests"


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A question; ``answer`` may stand in a list of choices with ``wrong``, ``statement`` says it alone."""

    text: str
    statement: str
    answer: str = ""
    wrong: tuple[str, ...] = ()
    word: str = ""
    """the word of ``text`` by which the thing is looked for"""
    subject: str = ""
    """the thing's name, where it is there"""

    @property
    def key(self) -> str:
        return key_of(self.answer)

    def alone(self) -> Exchange:
        """Answered by the statement."""
        return Exchange(self.text, self.statement, self.key, self.word, self.subject)


def key_of(option: str) -> str:
    """The word that tells an option from the others: a colour where there is one, else the last word."""
    words = option.split()
    return next((word for word in words if word in COLOURS), words[-1] if words else "")


class Exchange(NamedTuple):
    """A question and its answer; ``key`` is the word that the answer is about, others as of ``Asked``.

    All three may be empty.
    """

    question: str
    answer: str
    key: str = ""
    word: str = ""
    subject: str = ""


Dialogue = list[Exchange]


def draw_things(rng: random.Random) -> list[Thing]:
    """One to three shapes of different colours."""
    count = rng.randint(1, 3)
    things = []
    for colour in rng.sample(COLOURS, count):
        begin, end = draw_slides(rng)
        direction = rng.choice(DIRECTIONS) if rng.random() < 0.5 else ""
        things.append(
            Thing(colour=colour, shape=rng.choice(SHAPES), begin=begin, end=end, direction=direction)
        )
    return things


def draw_slides(rng: random.Random) -> tuple[int, int]:
    """All slides, or two to four in a row."""
    if rng.random() < 0.4:
        return 0, SLIDES
    length = rng.randint(2, 4)
    begin = rng.randint(0, SLIDES - length)
    return begin, begin + length


def listed(things: Sequence[Thing], *, numbers: bool = True) -> str:
    """What each slide shows, "nothing" where it is blank."""
    slides = []
    for slide in range(SLIDES):
        shown = [thing.name for thing in things if thing.begin <= slide < thing.end]
        slides.append((f"{slide + 1}: " if numbers else "") + (", ".join(shown) or "nothing") + ".")
    return " ".join(slides)


def told(things: Sequence[Thing]) -> str:
    """A sentence about the motion of each."""
    return " ".join(f"The {thing.name} {thing.motion}." for thing in things)


def time(slide: int) -> str:
    """When a slide begins, as one of the hundred time tokens; the end of the show for the last one's end."""
    return temporal.token(temporal.to_bin(slide, SLIDES))


def with_choices(rng: random.Random, asked: Asked) -> Exchange:
    """The question with lettered choices in one of three layouts, and the answer by letter and text."""
    return choices(rng, asked)[0]


def choices(rng: random.Random, asked: Asked) -> tuple[Exchange, dict[str, str]]:
    """As ``with_choices``; and what the answer would be if each of the options were the right one."""
    options = [asked.answer, *asked.wrong[: len(LETTERS) - 1]]
    if order := next((order for order in _IN_ORDER if set(options) <= set(order)), None):
        options.sort(key=order.index)
    else:
        rng.shuffle(options)
    place = options.index(asked.answer)
    full = rng.random() < _INSTRUCTED
    layout = rng.randrange(3)
    if layout == 0:
        lines = [f"{letter}. {option}." for letter, option in zip(LETTERS, options, strict=False)]
        text = "\n".join([asked.text, "Options:", *lines, *([_LETTER_AND_OPTION] if full else [])])
        answers = {o: f"{letter}. {o}." for letter, o in zip(LETTERS, options, strict=False)}
        return Exchange(text, answers[options[place]], asked.key, asked.word, asked.subject), answers
    lines = [f"({letter}) {option}" for letter, option in zip(LETTERS, options, strict=False)]
    answers = dict(zip(options, lines, strict=True))
    if layout == 1:
        text = " ".join([asked.text, *lines, *([f"{_LETTER}."] if full else [])])
    else:
        end = [f"{_LETTER} and only give the best option."] if full else []
        text = "\n".join([asked.text, "Options:", *lines, *end])
    return Exchange(text, lines[place], asked.key, asked.word, asked.subject), answers


def lookups(rng: random.Random) -> Dialogue:
    """Which of a few choices is a given one, for all of them."""
    answer, *wrong = rng.sample(_THINGS, rng.randint(2, 4))
    text = f"Which option is {answer}?"
    asked = Asked(text=text, statement="", answer=answer, wrong=tuple(wrong), word=key_of(answer))
    first, answers = choices(rng, asked)
    others = rng.sample(wrong, len(wrong))
    return [
        first,
        *(Exchange(f"Which is {other}?", answers[other], key_of(other), key_of(other)) for other in others),
    ]


def saying(rng: random.Random) -> Exchange:
    """Any words, marks and times in any order, to be said again: every token can be in an answer."""
    words = []
    for _ in range(rng.randint(6, 16)):
        kind = rng.random()
        if kind < 0.12:
            first, last = (temporal.token(rng.randrange(temporal.NUM_BINS)) for _ in range(2))
            words.append(rng.choice([f" {first}", f" {{{first}{last}}}", f"{{{first}{last}}}"]))
        elif kind < 0.3:
            words.append(rng.choice([".", ",", "?", ":", ". It", ". The"]))
        elif kind < 0.45:
            words.append(f" {rng.choice(_THINGS)}")
        else:
            words.append(f" {rng.choice(OTHER_WORDS.split())}")
    text = rng.choice(OTHER_OPENINGS.split()) + "".join(words)
    return Exchange(f"Say: {text}", text)


def ask(rng: random.Random, things: Sequence[Thing], *, about: str) -> Asked:
    """A question about what is there, and about "slides", "times" of slides, or "motion"."""
    kinds = [_colour, _shape, _seen, _existence, _existence, _count]
    kinds += {
        "slides": [_slides, _slides, _last],
        "times": [_slides, _times, _times, _last],
        "motion": [_direction, _moving, _motion],
    }[about]
    while True:
        if asked := rng.choice(kinds)(rng, things):
            return asked


def _others(rng: random.Random, words: Sequence[str], *not_these: str) -> tuple[str, ...]:
    left = [word for word in words if word not in not_these]
    return tuple(rng.sample(left, min(len(LETTERS) - 1, len(left))))


def _colour(rng: random.Random, things: Sequence[Thing]) -> Asked | None:
    one = rng.choice(things)
    if sum(thing.shape == one.shape for thing in things) > 1:
        return None
    return Asked(
        text=f"What colour is the {one.shape}?",
        statement=f"The {one.shape} is {one.colour}.",
        answer=one.colour,
        wrong=_others(rng, COLOURS, one.colour),
        word=one.shape,
        subject=one.name,
    )


def _shape(rng: random.Random, things: Sequence[Thing]) -> Asked:
    one = rng.choice(things)
    names = [f"a {shape}" for shape in SHAPES]
    return Asked(
        text=f"What is the {one.colour} shape?",
        statement=f"The {one.colour} shape is a {one.shape}.",
        answer=f"a {one.shape}",
        wrong=_others(rng, names, f"a {one.shape}"),
        word=one.colour,
        subject=one.name,
    )


def _seen(rng: random.Random, things: Sequence[Thing]) -> Asked:
    one = rng.choice(things)
    return Asked(
        text="Which of these colours is seen?",
        statement=f"There is a {one.colour} shape.",
        answer=one.colour,
        wrong=_others(rng, COLOURS, *(thing.colour for thing in things)),
    )


def _existence(rng: random.Random, things: Sequence[Thing]) -> Asked:
    one = rng.choice(things)
    if rng.random() < 0.5:
        name = rng.choice([one.name, f"{one.colour} shape"])
        text, statement, answer = name, f"Yes, there is a {name}.", "yes"
    else:
        absent = rng.choice([c for c in COLOURS if c not in {thing.colour for thing in things}])
        names = [f"{absent} {rng.choice(SHAPES)}", f"{absent} shape"]
        names.append(f"{one.colour} {rng.choice([s for s in SHAPES if s != one.shape])}")
        name = rng.choice(names)
        text, statement, answer = name, f"No, there is no {name}.", "no"
    return Asked(
        text=f"Is there a {text}?",
        statement=statement,
        answer=answer,
        wrong=("no" if answer == "yes" else "yes",),
        word=name.split()[0],
        subject=one.name if answer == "yes" else "",
    )


def _count(rng: random.Random, things: Sequence[Thing]) -> Asked:
    many = len(things)
    return Asked(
        text="How many shapes are there?",
        statement="There is 1 shape." if many == 1 else f"There are {many} shapes.",
        answer=str(many),
        wrong=tuple(n for n in "123" if n != str(many)),
    )


def _slides(rng: random.Random, things: Sequence[Thing]) -> Asked:
    one = rng.choice(things)
    return Asked(
        text=f"Where is the {one.name}?",
        statement=f"{one.begin + 1} to {one.end}",
        word=one.colour,
        subject=one.name,
    )


def _times(rng: random.Random, things: Sequence[Thing]) -> Asked:
    one = rng.choice(things)
    return Asked(
        text=f"When is the {one.name}?",
        statement=f"{{{time(one.begin)}{time(one.end)}}}",
        word=one.colour,
        subject=one.name,
    )


def _last(rng: random.Random, things: Sequence[Thing]) -> Asked | None:
    ranked = sorted(things, key=lambda thing: thing.begin)
    if len(ranked) < 2 or ranked[-1].begin == ranked[-2].begin:
        return None
    name = f"the {ranked[-1].name}"
    return Asked(
        text="Which shape appears last?",
        statement=f"The {ranked[-1].name} appears last.",
        answer=name,
        wrong=tuple(f"the {thing.name}" for thing in ranked[:-1]),
    )


def _direction(rng: random.Random, things: Sequence[Thing]) -> Asked | None:
    one = rng.choice(things)
    if not one.direction:
        return None
    return Asked(
        text=f"In which direction does the {one.name} move?",
        statement=f"The {one.name} moves {one.direction}.",
        answer=one.direction,
        word=one.colour,
        subject=one.name,
        wrong=_others(rng, DIRECTIONS, one.direction),
    )


def _moving(rng: random.Random, things: Sequence[Thing]) -> Asked | None:
    movers = [thing for thing in things if thing.direction]
    if len(movers) != 1:
        return None
    return Asked(
        text="What colour is the moving shape?",
        statement=f"The moving shape is {movers[0].colour}.",
        answer=movers[0].colour,
        wrong=_others(rng, COLOURS, movers[0].colour),
    )


def _motion(rng: random.Random, things: Sequence[Thing]) -> Asked:
    one = rng.choice(things)
    answers = ("it moves", "it rests")
    return Asked(
        text=f"Does the {one.name} move or rest?",
        statement=f"The {one.name} {one.motion}.",
        answer=answers[not one.direction],
        word=one.colour,
        subject=one.name,
        wrong=(answers[bool(one.direction)],),
    )


def reading(rng: random.Random) -> Dialogue:
    """A text with questions about it, most of them with choices."""
    things = draw_things(rng)
    slides = rng.random() < 0.5
    text = listed(things, numbers=rng.random() < 0.6) if slides else told(things)
    opening, *rest = conversation(
        rng, things, about="times" if slides else "motion", turns=TURNS, choosing=0.7
    )
    return [opening._replace(question=f"{text}\n{opening.question}"), *rest]


def conversation(
    rng: random.Random, things: Sequence[Thing], *, about: str, turns: int, choosing: float
) -> Dialogue:
    """Different questions; a share of ``choosing`` of those that can be asked with choices have them."""
    pairs: Dialogue = []
    before: set[str] = set()
    for _ in range(turns):
        asked = ask(rng, things, about=about)
        if asked.text not in before:
            before.add(asked.text)
            choice = asked.answer and rng.random() < choosing
            pairs.append(with_choices(rng, asked) if choice else asked.alone())
    return pairs


def naming(rng: random.Random, things: Sequence[Thing]) -> Dialogue:
    """Questions about a drawn slide show: lists, names, where each shape is, and some with choices."""
    pairs = conversation(rng, things, about="slides", turns=TURNS, choosing=0.4)
    kind = rng.random()
    if kind < 0.3:
        return [Exchange("List the slides.", listed(things)), *pairs[1:]]
    if kind < 0.6:
        return [Exchange("What is shown?", ", ".join(thing.name for thing in things) + "."), *pairs[1:]]
    return pairs


def pointing(rng: random.Random, thing: Thing) -> Exchange:
    """A question about the shape that a region marks; some with choices."""
    if rng.random() < 0.4:
        return Exchange("What is <region>?", f"A {thing.name}.", thing.colour, REGION)
    if rng.random() < 0.5:
        text, statement, answer = "What colour is <region>?", f"It is {thing.colour}.", thing.colour
        wrong = _others(rng, COLOURS, thing.colour)
    else:
        text, statement, answer = "What shape is <region>?", f"It is a {thing.shape}.", f"a {thing.shape}"
        wrong = _others(rng, [f"a {shape}" for shape in SHAPES], answer)
    asked = Asked(text=text, statement=statement, answer=answer, wrong=wrong, word=REGION)
    return with_choices(rng, asked) if rng.random() < 0.4 else asked.alone()
