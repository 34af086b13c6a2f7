"""Masks of one bit per pixel, laid out so that a shift of pixels is a read at another offset.

A mask's rows are cut into eight bands, one below the other. Byte ``[r, x]`` of a packed mask [B, W] holds
pixel ``x`` of row ``r`` of every band: bit 0 of the highest, bit 7 of the lowest. So the right neighbours of
eight pixels are the next byte, their lower neighbours the byte one row down, and no bit moves across bytes.
Only at the end of a band, the neighbours are in the next band, which is one bit further up.

The lowest bands may reach beyond the image. No pixel of a mask is set there.
"""

from __future__ import annotations

import math

import numpy as np

_BANDS = 8


def rows_of_band(height: int, radius: int) -> int:
    """Rows B of a packed mask. At least ``radius``: dilation reaches the next band, never the one after.

    A multiple of 8: then a packed mask of any width is a whole number of 64-bit words.
    """
    return 8 * max(math.ceil(height / (8 * _BANDS)), math.ceil(radius / 8), 1)


def pack(mask_HW: np.ndarray, rows: int) -> np.ndarray:
    """Packed mask [B, W] uint8 of a mask whose non-zero pixels are inside."""
    bits = np.zeros((rows, mask_HW.shape[1]), np.uint8)
    for band in reversed(range(_BANDS)):
        pixels = mask_HW[band * rows : (band + 1) * rows] != 0
        bits += bits  # up by one bit
        bits[: len(pixels)] |= pixels.view(np.uint8)
    return bits


def unpack(bits_BW: np.ndarray, height: int) -> np.ndarray:
    """The mask [H, W] bool again."""
    return np.concatenate([bits_BW & 1 << band != 0 for band in range(_BANDS)])[:height]


def count(bits_BW: np.ndarray) -> int:
    """How many pixels are set."""
    return int(np.bitwise_count(bits_BW.ravel().view(np.uint64)).sum())


def boundary(bits_BW: np.ndarray, height: int) -> np.ndarray:
    """Pixels that differ from their right, lower or lower-right neighbour, packed as the mask is.

    The last row and column are repeated beyond the image, so its border is not a boundary.
    """
    below = np.empty_like(bits_BW)
    below[:-1] = bits_BW[1:]
    below[-1] = bits_BW[0] >> 1
    band, row = divmod(max(height - 1, 0), len(bits_BW))
    below[row] |= bits_BW[row] & 1 << band  # the last row is repeated below the image
    edge = bits_BW ^ below
    here = bits_BW[:, :-1]
    edge[:, :-1] |= (here ^ bits_BW[:, 1:]) | (here ^ below[:, 1:])
    return edge


def grow(bits_BW: np.ndarray, radius: int) -> np.ndarray:
    """Everything within ``radius`` pixels of a set pixel (dilation by a disk), packed [B, W].

    A disk is a stack of 2 * radius + 1 horizontal runs. ``run[i]`` says whether any of the ``length`` bytes
    from ``i`` on is set. Runs only become longer from the poles of the disk to its equator, and each is the
    union of two shorter ones that overlap. Below the last row of the image there may be pixels too; nothing
    reads them.
    """
    rows, width = bits_BW.shape
    stride = width + radius  # zeros between the rows, so that runs do not wrap into the next row
    around = np.zeros((rows + 2 * radius, stride), np.uint8)
    around[:radius, :width] = bits_BW[rows - radius :] << 1  # above a band is the end of the band before
    around[radius : radius + rows, :width] = bits_BW
    around[radius + rows :, :width] = bits_BW[:radius] >> 1
    grown = np.zeros(rows * stride, np.uint8)
    run, length = around.ravel(), 1
    for dy in range(radius, -1, -1):
        half = math.isqrt(radius * radius - dy * dy)
        while length < 2 * half + 1:
            more = min(length, 2 * half + 1 - length)
            run = run[:-more] | run[more:]
            length += more
        for row in {radius - dy, radius + dy}:
            start = row * stride - half
            grown |= run[start : start + len(grown)]
    return grown.reshape(rows, stride)[:, :width]
