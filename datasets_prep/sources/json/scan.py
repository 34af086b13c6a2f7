"""Finds where the elements of a JSON array or object end, without parsing them.

Vectorised over blocks: only quotes, backslashes, brackets and commas matter, so a file of many GB is cut into
records at some hundred MB per second, with one block in memory. Whether an element is valid JSON is checked
when it is parsed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from datasets_prep.sources.json.opening import SPACE

_BLOCK = 1 << 20  # bytes; its intermediate arrays stay in a core's cache
_QUOTE, _BACKSLASH, _OPEN, _CLOSE, _COMMA = range(1, 6)

_MEANING = {b'"': _QUOTE, b"\\": _BACKSLASH, b"[{": _OPEN, b"]}": _CLOSE, b",": _COMMA}
_CLASS_OF = np.array(
    [next((c for chars, c in _MEANING.items() if byte in chars), 0) for byte in range(256)], np.uint8
)
_LOWER = 0x20  # with this bit set, [ and ] become { and }, and the backslash between them becomes |
_STEP = np.array([0, 0, 0, 1, -1, 0], np.int32)  # what each class does to the depth
_CLOSER = {b"[": b"]", b"{": b"}"}


class ScanError(ValueError):
    """A container that does not end, has something after it, or lacks a comma between two elements."""


def element_ends(file: BinaryIO, start: int, *, whole: bool) -> Iterator[np.ndarray]:
    """Positions just after each element of the container whose opening bracket is at ``start``.

    Arrays of int64, ascending: the positions of the commas between elements, and last of the closing bracket;
    an element begins one byte after the end of the one before it. An empty container gives only its closing
    bracket. ``whole``: only white space may follow the container.

    Raises ScanError for a container that does not end before the file does, ends in the wrong bracket, or is
    followed by something although ``whole``; and for an array or object that follows another without a comma,
    because the two would be counted as one record.
    """
    file.seek(start)
    opening = file.read(1)
    file.seek(start)
    inside_text, depth, at = 0, 0, start
    parted = True  # the next element is the first one, or a comma is in front of it
    while block := _block(file):
        byte_N = np.frombuffer(block, np.uint8)
        token_K = _candidates(byte_N)
        class_K = _CLASS_OF.take(byte_N.take(token_K))
        _unescape(token_K, class_K)
        quote_K = class_K == _QUOTE
        # Only the parity of the sum matters, which a sum modulo 256 keeps.
        within_K = (np.cumsum(quote_K, dtype=np.uint8) + inside_text) & 1
        inside_text = int(within_K[-1]) if len(within_K) else inside_text
        bare_K = ~quote_K & (within_K == 0) & (class_K != _BACKSLASH)
        token_M, class_M = token_K[bare_K], class_K[bare_K]
        depth_M = depth + np.cumsum(_STEP[class_M], dtype=np.int32)
        depth = int(depth_M[-1]) if len(depth_M) else depth
        closed = np.flatnonzero((class_M == _CLOSE) & (depth_M == 0))
        last = int(closed[0]) if len(closed) else len(class_M)
        comma_M = (class_M[:last] == _COMMA) & (depth_M[:last] == 1)
        begun_M = (class_M[:last] == _OPEN) & (depth_M[:last] == 2)
        parted = _check_parted(np.flatnonzero(comma_M | begun_M), begun_M, parted, token_M, at)
        ends = token_M[:last][comma_M]
        if len(closed):
            here = int(token_M[last])
            if block[here : here + 1] != _CLOSER[opening]:
                raise ScanError(f"{opening.decode()} is closed by {block[here : here + 1].decode()}")
            yield np.append(ends, here) + at
            if whole:
                _only_blanks(file, block[here + 1 :], at + here + 1)
            return
        if len(ends):
            yield ends + at
        at += len(block)
    what = "inside a text" if inside_text else f"{depth} levels deep"
    raise ScanError(f"the file ends {what}")


def _check_parted(
    at_E: np.ndarray, begun_M: np.ndarray, parted: bool, token_M: np.ndarray, offset: int
) -> bool:
    """Check that among commas and beginnings of elements, ``at_E``, no two beginnings follow each other.

    ``parted``: whether the block before ended in a comma; returns the same for this block.
    """
    begun_E = begun_M[at_E]
    if not len(begun_E):
        return parted
    again_E = begun_E & np.append(not parted, begun_E[:-1])
    if again_E.any():
        where = offset + int(token_M[at_E[np.flatnonzero(again_E)[0]]])
        raise ScanError(f"no comma in front of the value at byte {where}")
    return not begun_E[-1]


def _block(file: BinaryIO) -> bytes:
    """The next block; it never ends in a backslash, so that escapes are complete."""
    block = file.read(_BLOCK)
    while block.endswith(b"\\") and (more := file.read(1)):
        block += more
    return block


def _candidates(byte_N: np.ndarray) -> np.ndarray:
    """Positions of all bytes with a class and of few others, with three comparisons instead of seven."""
    lower_N = byte_N | _LOWER
    found_N = (lower_N - ord("{")) <= ord("}") - ord("{")  # what is below { wraps around to more than that
    found_N |= lower_N == ord('"')
    found_N |= lower_N == ord(",")
    return np.flatnonzero(found_N)


def _unescape(token_K: np.ndarray, class_K: np.ndarray) -> None:
    """Remove the class of every token after an odd number of backslashes."""
    slash_S = np.flatnonzero(class_K == _BACKSLASH)
    if not len(slash_S):
        return
    at_S = token_K[slash_S]
    first_R = np.flatnonzero(np.diff(at_S, prepend=-2) != 1)
    length_R = np.diff(first_R, append=len(at_S))
    last_R = (first_R + length_R - 1)[length_R % 2 == 1]
    next_R = slash_S[last_R] + 1
    last_R, next_R = last_R[next_R < len(token_K)], next_R[next_R < len(token_K)]
    class_K[next_R[token_K[next_R] == at_S[last_R] + 1]] = 0


def _only_blanks(file: BinaryIO, rest: bytes, at: int) -> None:
    while rest:
        left = rest.lstrip(SPACE)
        if left:
            raise ScanError(f"something follows its end at byte {at + len(rest) - len(left)}")
        at += len(rest)
        rest = file.read(_BLOCK)
