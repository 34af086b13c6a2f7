"""Frames of a sample as small JPEGs, each stored once, and the outlines that a picture lays over one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from evaluation.report.colours import Colours, Kind, Outlines, choose_colours, css, halo
from evaluation.report.outlines import SCALE, covered, outline
from pipeline.page.pictures import jpeg, shown_size, shrunk

WIDTH = 320  # pixels of a frame: sharp at the 215 of a page on most screens


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One outline as an SVG path, with its colour and that of its halo as CSS has them."""

    kind: Kind
    path: str
    colour: str
    halo: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FramePicture:
    """A frame of the sample by its number among the stored ones, its size in pixels, and what lies on it.

    ``alt`` is for those who do not see it, ``caption`` is the text below it.
    """

    frame: int
    width: int
    height: int
    alt: str
    caption: str = ""
    lines: tuple[Line, ...] = ()

    @property
    def box(self) -> str:
        """The viewBox of the lines."""
        return f"0 0 {SCALE * self.width} {SCALE * self.height}"


@dataclass
class Album:
    """The frames of one sample, [H, W, 3] by index; the outlines on them are added before any is drawn."""

    frames: Mapping[int, np.ndarray]
    _small: dict[int, np.ndarray] = field(default_factory=dict)
    _below: dict[Outlines, list[np.ndarray]] = field(default_factory=dict)
    _uris: list[str] = field(default_factory=list)
    _numbers: dict[int, int] = field(default_factory=dict)
    _drawn: dict[tuple[int, bytes], tuple[np.ndarray, str]] = field(default_factory=dict)

    def outline(self, index: int, kind: Kind, number: int, mask_HW: np.ndarray) -> tuple[Outlines, str]:
        """The outline of a mask on a frame, in any resolution; the colours will suit what it covers."""
        pixels = self._shown(index)
        mask = shrunk(mask_HW, (pixels.shape[1], pixels.shape[0]))
        name = index, mask.tobytes()  # the truth is the same beside every checkpoint's answer
        if name not in self._drawn:
            self._drawn[name] = pixels[covered(mask)], outline(mask)
        below, path = self._drawn[name]
        if mask.any():
            self._below.setdefault((kind, number), []).append(below)
        return (kind, number), path

    def colours(self) -> Colours:
        """Of all outlines so far."""
        return choose_colours(self._below)

    def picture(
        self,
        index: int,
        lines: Sequence[tuple[Outlines, str]],
        colours: Colours,
        *,
        alt: str,
        caption: str = "",
    ) -> FramePicture:
        """The frame with these outlines; an empty mask has none."""
        pixels = self._shown(index)
        if index not in self._numbers:
            self._numbers[index] = len(self._uris)
            self._uris.append(jpeg(pixels))
        drawn = tuple(
            Line(kind=of[0], path=path, colour=css(colours.of[of]), halo=css(halo(colours.of[of])))
            for of, path in lines
            if path
        )
        return FramePicture(
            frame=self._numbers[index],
            width=pixels.shape[1],
            height=pixels.shape[0],
            alt=alt,
            caption=caption,
            lines=drawn,
        )

    @property
    def uris(self) -> tuple[str, ...]:
        """Data URIs of the frames that were drawn, by their number."""
        return tuple(self._uris)

    def _shown(self, index: int) -> np.ndarray:
        if index not in self._small:
            frame = self.frames[index]
            image = Image.fromarray(frame).resize(shown_size(frame, WIDTH), Image.Resampling.BICUBIC)
            self._small[index] = np.asarray(image)
        return self._small[index]
