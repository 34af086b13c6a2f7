"""How the report draws masks: as outlines, the truth's solid and a prediction's dashed.

Each kind has a few colours that no other kind has. Of these a sample gets the one that differs most from what
its outlines cover, so that a green line never lies on grass; a dark or light edge beside every line does the
rest. All pictures of a sample share their colours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.page.pictures import Colour, Layer, draw, outlined_pixels, shown_size

TRUE_COLOURS = ((46, 204, 113), (0, 229, 255), (255, 234, 0))
PREDICTED_COLOURS = ((255, 64, 129), (150, 80, 255), (255, 87, 34))
REGION_COLOURS = ((33, 150, 243), (255, 255, 255))
_CLOSE = 10  # percentile: how well the worst part of an outline stands out


@dataclass(frozen=True, kw_only=True, slots=True)
class Masks:
    """The masks [H, W] on one frame, and the frame [H, W, 3]; masks may have another resolution."""

    frame: np.ndarray
    true: Sequence[np.ndarray] = ()
    predicted: Sequence[np.ndarray] = ()
    regions: Sequence[np.ndarray] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Colours:
    """The colours of a sample's outlines."""

    true: Colour = TRUE_COLOURS[0]
    predicted: Colour = PREDICTED_COLOURS[0]
    region: Colour = REGION_COLOURS[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class FramePicture:
    """An image with its size in pixels, a text for those who do not see it, and what is said below it."""

    uri: str
    alt: str
    width: int
    height: int
    caption: str = ""


def choose_colours(pictures: Iterable[Masks]) -> Colours:
    """Of each kind the colour that differs most from what is below its outlines in all pictures."""
    below: dict[str, list[np.ndarray]] = {"true": [], "predicted": [], "regions": []}
    for one in pictures:
        for kind, found in below.items():
            found += [outlined_pixels(one.frame, mask) for mask in getattr(one, kind)]
    return Colours(
        true=_farthest(TRUE_COLOURS, below["true"]),
        predicted=_farthest(PREDICTED_COLOURS, below["predicted"]),
        region=_farthest(REGION_COLOURS, below["regions"]),
    )


def picture(masks: Masks, colours: Colours, *, alt: str, caption: str = "") -> FramePicture:
    """The frame with its outlines."""
    layers = [
        *(Layer(mask_HW=m, outline=colours.region, edged=True) for m in masks.regions),
        *(Layer(mask_HW=m, outline=colours.true, edged=True) for m in masks.true),
        *(Layer(mask_HW=m, outline=colours.predicted, edged=True, dashed=True) for m in masks.predicted),
    ]
    width, height = shown_size(masks.frame)
    return FramePicture(uri=draw(masks.frame, layers), alt=alt, width=width, height=height, caption=caption)


def _farthest(colours: Sequence[Colour], pixels: Sequence[np.ndarray]) -> Colour:
    found = np.concatenate(pixels) if pixels else np.zeros((0, 3))
    if not len(found):
        return colours[0]
    return max(colours, key=lambda colour: np.percentile(distance(found, colour), _CLOSE))


def distance(pixels: np.ndarray, colour: Colour) -> np.ndarray:
    """How different sRGB colours [N, 3] look from one: [N], 0 to about 765 ("redmean", CompuPhase)."""
    first, second = pixels.astype(float), np.array(colour, float)
    red = (first[:, 0] + second[0]) / 2
    squares = (first - second) ** 2
    weights = np.stack([2 + red / 256, np.full_like(red, 4.0), 2 + (255 - red) / 256], axis=1)
    return np.sqrt((weights * squares).sum(axis=1))
