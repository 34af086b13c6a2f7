"""Random still pictures of coloured shapes, many at a time. Another generator than the demo's.

Coordinates and sizes are shares of the picture's sides. Shapes are flattened at random, as they are when a
video of any aspect ratio is stretched to a square.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

COLOURS: Final = (
    (220.0, 40.0, 40.0),
    (40.0, 185.0, 60.0),
    (50.0, 85.0, 230.0),
    (235.0, 215.0, 45.0),
    (215.0, 60.0, 215.0),
    (40.0, 205.0, 215.0),
)
"""Red, green, blue, yellow, magenta and cyan, each the centre of what is drawn, from 0 to 255."""
SHAPES: Final = 3
"""Circle, square and triangle."""
MOST: Final = 3
"""Shapes in one picture."""

# Half of the side of the box of a shape, relative to the radius of a circle of the same area.
_HALF_BOX = torch.tensor([1.0, math.sqrt(math.pi) / 2, math.sqrt(2 * math.pi) / 2])
_RADII = torch.tensor([[0.16, 0.28], [0.13, 0.25], [0.11, 0.21]])  # of one, two and three shapes
_TRIES = 12  # placements, of which the one with the least overlap is taken
_SPREAD = 12.0  # of colours around their centres


@dataclass(frozen=True, kw_only=True, slots=True)
class Pictures:
    """B pictures of at most O = 3 shapes; a later shape lies on top of an earlier one."""

    pixels: Tensor
    """[B, 3, S, S] float, from 0 to 255"""
    masks: Tensor
    """[B, O, S, S] bool: the visible part of each shape; empty where there is none"""
    there: Tensor
    """[B, O] bool"""
    colours: Tensor
    """[B, O] int64; no two shapes of a picture have the same"""
    shapes: Tensor
    """[B, O] int64"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Layers:
    """The parts that ``Pictures`` are made of; of each picture, some of the shapes may be left out."""

    background: Tensor
    """[B, 3, S, S] float, from 0 to 255"""
    opacity: Tensor
    """[B, O, S, S] float, from 0 to 1"""
    paint: Tensor
    """[B, O, 3] float, from 0 to 255"""
    there: Tensor
    """[B, O] bool"""
    colours: Tensor
    """[B, O] int64"""
    shapes: Tensor
    """[B, O] int64"""

    def pictures(self, shown: Tensor | None = None) -> Pictures:
        """With the ``shown`` [B, O] shapes alone; None: with all that are there."""
        there = self.there if shown is None else self.there & shown
        opacity = self.opacity * there[..., None, None]
        pixels = self.background
        for i in range(MOST):
            alpha = opacity[:, i, None]
            pixels = pixels * (1 - alpha) + self.paint[:, i, :, None, None] * alpha
        inside = opacity > 0.5
        above = torch.stack([inside[:, i + 1 :].any(1) for i in range(MOST)], 1)
        return Pictures(
            pixels=pixels, masks=inside & ~above, there=there, colours=self.colours, shapes=self.shapes
        )


def draw_pictures(generator: torch.Generator, count: int, side: int) -> Pictures:
    """``count`` pictures of ``side`` pixels, of one to three shapes each."""
    return draw_layers(generator, count, side).pictures()


def draw_layers(generator: torch.Generator, count: int, side: int) -> Layers:
    """What ``count`` pictures of ``side`` pixels are made of."""

    def uniform(*size: int) -> Tensor:
        return torch.rand(*size, generator=generator)

    number = torch.randint(1, MOST + 1, (count,), generator=generator)
    there = torch.arange(MOST) < number[:, None]
    colours = uniform(count, len(COLOURS)).argsort(1)[:, :MOST]
    shapes = torch.randint(SHAPES, (count, MOST), generator=generator)
    low, high = _RADII[number - 1].unbind(1)
    radius = low[:, None] + (high - low)[:, None] * uniform(count, MOST)
    aspect = torch.exp(0.9 * (uniform(count) - 0.5))
    flattened = torch.stack([1 / aspect.clamp(min=1), aspect.clamp(max=1)], 1)
    half = (radius * _HALF_BOX[shapes])[..., None] * flattened[:, None]  # [B, O, 2]
    centre, half = _placed(uniform(count, _TRIES, MOST, 2), half, there)

    x = ((torch.arange(side) + 0.5) / side).expand(side, side)
    y = x.T
    plain = uniform(count, 1) < 0.6
    base = torch.where(
        plain, 112 + 16 * uniform(count, 3), 70 + 110 * uniform(count, 1) + 24 * uniform(count, 3) - 12
    )
    slope = 30 * (uniform(count, 2, 1, 1) - 0.5)
    noise = 6 * uniform(count, 1, 1) * torch.randn(count, side, side, generator=generator) * side / 128
    pixels = base[:, :, None, None] + (slope[:, 0] * x + slope[:, 1] * y + noise)[:, None]
    paint = torch.tensor(COLOURS)[colours] + _SPREAD * (2 * uniform(count, MOST, 3) - 1)
    opacity = torch.stack([_opacity(shapes[:, i], centre[:, i], half[:, i], x, y) for i in range(MOST)], 1)
    return Layers(
        background=pixels, opacity=opacity, paint=paint, there=there, colours=colours, shapes=shapes
    )


def _placed(draws_BKO2: Tensor, half_BO2: Tensor, there_BO: Tensor) -> tuple[Tensor, Tensor]:
    """Centres [B, O, 2] and half boxes [B, O, 2] of the first of K placements with little overlap.

    Each placement has smaller shapes than the one before it. If none will do, the one that shares least.
    """
    tries = draws_BKO2.shape[1]
    half = half_BO2[:, None] * torch.linspace(1, 0.7, tries)[:, None, None]
    margin = half + 0.01
    centre = margin + draws_BKO2 * (1 - 2 * margin).clamp(min=0)
    worst = torch.zeros(draws_BKO2.shape[:2])
    for i in range(MOST):
        for j in range(i):
            reach = half[:, :, i] + half[:, :, j] - (centre[:, :, i] - centre[:, :, j]).abs()
            smaller = 4 * torch.minimum(half[:, :, i].prod(-1), half[:, :, j].prod(-1))
            shared = reach.clamp(min=0).prod(-1) / smaller
            worst = torch.maximum(worst, shared * (there_BO[:, i] & there_BO[:, j])[:, None])
    rank = torch.where(worst < 0.15, torch.arange(tries) * 1e-3, 1 + worst)
    row, best = torch.arange(len(rank)), rank.argmin(1)
    return centre[row, best], half[row, best]


def _opacity(shape_B: Tensor, centre_B2: Tensor, half_B2: Tensor, x_SS: Tensor, y_SS: Tensor) -> Tensor:
    """How much of each pixel [B, S, S] a shape covers, by its distance from the outline."""
    dx = (x_SS - centre_B2[:, 0, None, None]) / half_B2[:, 0, None, None]
    dy = (y_SS - centre_B2[:, 1, None, None]) / half_B2[:, 1, None, None]
    circle = (dx.square() + dy.square()).sqrt() - 1
    square = torch.maximum(dx.abs(), dy.abs()) - 1
    triangle = torch.maximum(dy.abs() - 1, (2 * dx.abs() - (dy + 1)) / math.sqrt(5))
    which = shape_B[:, None, None]
    outside = torch.where(which == 0, circle, torch.where(which == 1, square, triangle))
    scale = half_B2.mean(1)[:, None, None] * 3 * len(x_SS)
    return torch.sigmoid(-outside * scale)
