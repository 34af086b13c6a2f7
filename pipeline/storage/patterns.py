"""Patterns of file names: ``*`` and ``?`` within a name, ``**`` over any number of folders, none included."""

from __future__ import annotations

import re


def split(pattern: str) -> tuple[str, str]:
    """The folders in front of the first wildcard, and the rest: ``a/b/*.json`` -> ``a/b``, ``*.json``."""
    parts = pattern.split("/")
    fixed = next((n for n, part in enumerate(parts[:-1]) if "*" in part or "?" in part), len(parts) - 1)
    return "/".join(parts[:fixed]), "/".join(parts[fixed:])


def compile(pattern: str) -> re.Pattern[str]:
    """The regular expression for a whole path. As in a shell, wildcards do not match a hidden name's dot."""
    *folders, name = pattern.split("/")
    folder = "".join(r"(?:(?!\.)[^/]+/)*" if part == "**" else _name(part) + "/" for part in folders)
    last = r"(?:(?!\.)[^/]+/)*(?!\.)[^/]+" if name == "**" else _name(name)
    return re.compile(folder + last, re.DOTALL)


def _name(part: str) -> str:
    wild = {"*": "[^/]*", "?": "[^/]"}
    text = "".join(wild.get(char, re.escape(char)) for char in re.sub(r"\*+", "*", part))
    return (r"(?!\.)" if part[:1] in wild else "") + text
