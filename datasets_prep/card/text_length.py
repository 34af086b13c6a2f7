"""Length of text in words and signs, fast enough for every text of a large dataset.

A word is a run of letters, digits and underscores; every other sign that is not a space counts as one, and so
does every token that stands for an object or a time.
"""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.records.sample import REGION, SEG

_SPACE, _WORD, _SIGN, _MORE = 0, 1, 2, 4  # only words have the lowest bit
# How tokens begin, their pattern, and the number of words and signs as which they would count in plain text.
_TOKENS = (
    (b"<TEMP-", r"<TEMP-\d{3}>", 5),
    (REGION.encode(), re.escape(REGION), 3),
    (SEG.encode(), re.escape(SEG), 3),
)


def _table() -> bytes:
    """The kind of each byte of UTF-8. Letters of most alphabets begin with C2-DF, E0 or E1.

    Bytes from E2 on begin signs and the scripts without spaces between words, where each character counts.
    """
    kind = bytearray([_SIGN] * 256)
    kind[: ord(" ") + 1] = bytes([_SPACE] * (ord(" ") + 1))
    kind[0x7F] = _SPACE
    for first, last in ("09", "AZ", "az", "__", "\xc2\xe1"):
        for code in range(ord(first), ord(last) + 1):
            kind[code] = _WORD
    kind[0x80:0xC0] = bytes([_MORE] * 0x40)  # the rest of a character
    return bytes(kind)


_KIND = _table()


def count_words(texts: pa.Array) -> np.ndarray:
    """Words and signs of each text (Arrow strings without nulls), int64."""
    out = np.zeros(len(texts), np.int64)
    if not len(texts):
        return out
    ends = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
    if ends[-1] == ends[0]:
        return out
    data = texts.buffers()[2].slice(ends[0], ends[-1] - ends[0]).to_pybytes()
    ends = ends - ends[0]
    kind = np.frombuffer(data.translate(_KIND), np.uint8)
    if not data.isascii():
        whole = kind != _MORE
        ends = np.concatenate([[0], np.cumsum(whole)])[ends]
        kind = kind[whole]
    begins = np.empty(len(kind), bool)
    # A sign always counts, a letter only if the character before it is not a letter.
    np.greater(kind[1:], kind[:-1] & _WORD, out=begins[1:])
    filled = ends[:-1] < ends[1:]
    firsts = ends[:-1][filled]
    begins[firsts] = kind[firsts] > 0  # a text does not go on where the one before it ended
    out[filled] = np.add.reduceat(begins, firsts, dtype=np.int32)
    for start, pattern, pieces in _TOKENS:
        if start in data:
            out -= (pieces - 1) * pc.count_substring_regex(texts, pattern).to_numpy()
    return out
