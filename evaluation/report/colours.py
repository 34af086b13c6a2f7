"""Colours of outlines: of a few, each sample takes those that differ most from what its outlines cover.

So a green line never lies on grass. A halo in the opposite tone does the rest, and no colour is the only
sign: the truth is solid, a prediction dashed, an object that the question points at dotted. With several
objects each has one colour, for its truth and for its prediction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from pipeline.page.pictures import Colour

TRUE_COLOURS = ((46, 204, 113), (0, 229, 255), (255, 234, 0))
PREDICTED_COLOURS = ((255, 64, 129), (150, 80, 255), (255, 87, 34))
REGION_COLOURS = ((33, 150, 243), (255, 255, 255))
OBJECT_COLOURS = (
    (255, 234, 0), (0, 229, 255), (255, 64, 129), (46, 204, 113), (150, 80, 255), (255, 128, 0),
    (255, 255, 255), (33, 80, 243),
)  # fmt: skip
_CLOSE = 10  # percentile: how well the worst part of an outline stands out
_MIDDLE = 100  # of 255: a lighter colour gets a dark halo


class Kind(StrEnum):
    """What an outline shows; the page's style sheet has a line style for each."""

    TRUE = "true"
    PREDICTED = "predicted"
    REGION = "region"


WORDS = {
    Kind.TRUE: "truth",
    Kind.PREDICTED: "prediction",
    Kind.REGION: "object that the question points at",
}
_PALETTES = {
    Kind.TRUE: TRUE_COLOURS,
    Kind.PREDICTED: PREDICTED_COLOURS,
    Kind.REGION: REGION_COLOURS,
}
Outlines = tuple[Kind, int]  # of which kind, of the how-manyth object


@dataclass(frozen=True, kw_only=True, slots=True)
class Legend:
    """One line of the legend: a kind of outline with its colour; ``""`` for a kind of several colours."""

    kind: Kind | None
    colour: str
    words: str
    halo: str = "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class Colours:
    """The colours of a sample's outlines, by kind and object."""

    of: Mapping[Outlines, Colour]

    @property
    def legend(self) -> tuple[Legend, ...]:
        """What lines and colours mean. With several objects: line styles first, then a colour for each."""
        kinds = [kind for kind in Kind if any(kind is one for one, _ in self.of)]
        objects = sorted({number for _, number in self.of})
        if len(objects) < 2:
            pairs = [(kind, self.of[kind, number]) for kind in kinds for number in objects]
            return tuple(
                Legend(kind=kind, colour=css(colour), words=WORDS[kind], halo=css(halo(colour)))
                for kind, colour in pairs
            )
        styles = [Legend(kind=kind, colour="", words=WORDS[kind]) for kind in kinds]
        colours = {number: colour for (_, number), colour in self.of.items()}
        named = [
            Legend(kind=None, colour=css(colours[number]), words=f"object {number + 1}") for number in objects
        ]
        return (*styles, *named)


def choose_colours(below: Mapping[Outlines, Sequence[np.ndarray]]) -> Colours:
    """A colour for every outline; ``below`` has the pixels [N, 3] that each covers, in all pictures."""
    objects = sorted({number for _, number in below})
    if len(objects) < 2:
        return Colours(of={one: _farthest(_PALETTES[one[0]], below[one]) for one in below})
    colours: dict[int, Colour] = {}
    for number in objects:
        pixels = [found for (_, of), group in below.items() if of == number for found in group]
        free = [colour for colour in OBJECT_COLOURS if colour not in colours.values()]
        colours[number] = _farthest(free or OBJECT_COLOURS, pixels)
    return Colours(of={one: colours[one[1]] for one in below})


def halo(colour: Colour) -> Colour:
    """Black for a light colour, white for a dark one."""
    return (0, 0, 0) if _lightness(colour) > _MIDDLE else (255, 255, 255)


def css(colour: Colour) -> str:
    """``#2ecc71``."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def distance(pixels: np.ndarray, colour: Colour) -> np.ndarray:
    """How different sRGB colours [N, 3] look from one: [N], 0 to about 765 ("redmean", CompuPhase)."""
    first, second = pixels.astype(float), np.array(colour, float)
    red = (first[:, 0] + second[0]) / 2
    squares = (first - second) ** 2
    weights = np.stack([2 + red / 256, np.full_like(red, 4.0), 2 + (255 - red) / 256], axis=1)
    return np.sqrt((weights * squares).sum(axis=1))


def _farthest(colours: Sequence[Colour], pixels: Iterable[np.ndarray]) -> Colour:
    found = np.concatenate([np.zeros((0, 3)), *pixels])
    if not len(found):
        return colours[0]
    return max(colours, key=lambda colour: np.percentile(distance(found, colour), _CLOSE))


def _lightness(colour: Colour) -> float:
    """0 to 255, as television weighs the channels."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
