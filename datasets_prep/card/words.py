"""Length of text in words and signs, fast enough for every text of a large dataset.

A word is a run of letters, digits and underscores; every other sign that is no space counts as one, and so
does every token that stands for an object or a time.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.schema.sample import REGION

_SPACE, _WORD, _SIGN, _MORE = range(4)
# How many words and signs the written form of a token would count as, were it plain text.
_TOKENS = ((r"<TEMP-\d{3}>", 5), (REGION, 3), (r"\[SEG\]", 3))


def _table() -> np.ndarray:
    """What each byte of UTF-8 is. Letters of most alphabets begin with C2-DF, E0 or E1.

    From E2 on come signs and the scripts that put no space between words, where each character counts.
    """
    kind = np.full(256, _SIGN, np.uint8)
    kind[: ord(" ") + 1] = _SPACE
    kind[0x7F] = _SPACE
    for first, last in ("09", "AZ", "az", "__"):
        kind[ord(first) : ord(last) + 1] = _WORD
    kind[0x80:0xC0] = _MORE  # the rest of a character
    kind[0xC2:0xE2] = _WORD
    return kind


_KIND = _table()


def count_words(texts: pa.Array) -> np.ndarray:
    """Words and signs of each text (Arrow strings without nulls), int64."""
    if not len(texts):
        return np.zeros(0, np.int64)
    ends = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
    if ends[-1] == ends[0]:
        return np.zeros(len(texts), np.int64)
    kind = _KIND[np.frombuffer(texts.buffers()[2], np.uint8)[ends[0] : ends[-1]]]
    ends = ends - ends[0]
    whole = kind != _MORE
    if not whole.all():
        ends = np.concatenate([[0], np.cumsum(whole)])[ends]
        kind = kind[whole]
    begins = kind == _WORD
    begins[1:] &= kind[:-1] != _WORD
    firsts = ends[:-1][ends[:-1] < ends[1:]]
    begins[firsts] = kind[firsts] == _WORD  # a text does not go on where the one before it ended
    places = np.flatnonzero(begins | (kind == _SIGN))
    counts = np.diff(np.searchsorted(places, ends))
    for pattern, pieces in _TOKENS:
        counts = counts - (pieces - 1) * pc.count_substring_regex(texts, pattern).to_numpy()
    return counts
