"""A mask as a grey PNG, the same bytes everywhere. Format: https://www.w3.org/TR/png-3/."""

from __future__ import annotations

import struct
import zlib

import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY = (8, 0, 0, 0, 0)  # bits, colour type, compression, filter method, interlace


def mask_png(mask_HW: np.ndarray) -> bytes:
    """A mask [H, W] uint8 of 0 and 1 as 0 and 255. Rows are not filtered, which suits runs of one value."""
    height, width = mask_HW.shape
    rows = np.zeros((height, width + 1), np.uint8)  # each row begins with its filter, 0
    np.multiply(mask_HW, 255, out=rows[:, 1:])
    packer = zlib.compressobj(6, strategy=zlib.Z_RLE)
    pixels = packer.compress(rows.tobytes()) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, *_GREY)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
