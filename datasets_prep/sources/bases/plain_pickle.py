"""Reads untrusted pickles of plain data, without the instructions that can run code.

A pickle is a program for a small stack machine, and some of its instructions import and call any function.
Here those instructions do not exist: the others build lists, dicts, text, numbers and None. The reader is
Python's implementation in Python; the one in C cannot do without instructions, and reserves as much memory as
a file asks for. RefCOCO takes about ten seconds, once, when the file is cut.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from pathlib import Path
from typing import Any, ClassVar

from pipeline.errors import UserError

# No tuples: a deeply nested tuple as a key crashes the process.
_PLAIN = """
    PROTO FRAME STOP MARK POP POP_MARK DUP PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET
    NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT
    STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8
    EMPTY_LIST LIST APPEND APPENDS EMPTY_DICT DICT SETITEM SETITEMS
"""
_CODES = {ord(op.code): op.name for op in pickletools.opcodes}


class _Unpickler(pickle._Unpickler):
    dispatch: ClassVar[dict[int, Any]] = {
        code: act for code, act in pickle._Unpickler.dispatch.items() if _CODES.get(code) in _PLAIN.split()
    }

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it names {module}.{name}")


def load_plain(path: Path) -> Any:
    """The data in a pickle of any protocol.

    Text that Python 2 wrote as bytes is read as UTF-8; bytes that are not UTF-8 become surrogates, which
    ``without_surrogates`` turns into Latin-1.

    Raises UserError if the file cannot be opened, is damaged, or does anything but build plain data.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(
            str(path), f"cannot be opened ({error.strerror}).", "Correct `annotations` in the plan."
        ) from error
    try:
        return _Unpickler(io.BytesIO(content), encoding="utf-8", errors="surrogateescape").load()
    except KeyError as error:
        code = error.args[0] if error.args else None
        what = f"holds the instruction {_CODES[code]}" if code in _CODES else f"is damaged ({error})"
        raise _refused(path, what) from error
    except Exception as error:  # a damaged pickle can fail in any way
        problem = " ".join(str(error).split())[:160] or type(error).__name__
        raise _refused(path, f"is damaged or not a pickle ({problem})") from error


def without_surrogates(text: str) -> str:
    """A text of ``load_plain`` with bytes that are not UTF-8 read as Latin-1."""
    try:
        text.encode("utf-8")
        return text
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape").decode("latin-1")


def _refused(path: Path, problem: str) -> UserError:
    return UserError(
        str(path),
        f"{problem}. Only lists, dicts, text and numbers are read from a pickle; nothing in it is run.",
        "Download it again from its publisher.",
    )
