"""Symbolic links in data: which are followed, so that data cannot give access to other files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

_HUB_KINDS = ("datasets--", "models--", "spaces--")


def strays(place: str, root: str, folders: Sequence[str]) -> str | None:
    """The target of a local path, if it is neither below ``root`` nor below one of ``folders``.

    None for a path that may be used. The files in a snapshot of huggingface_hub's cache are links into the
    ``blobs`` beside it, which are of the same repository and belong to the snapshot.
    """
    real = os.path.realpath(place)
    if any(_is_below(real, os.path.realpath(folder)) for folder in (root, *folders)):
        return None
    blobs = _blobs_of(root)
    return None if blobs is not None and _is_below(real, blobs) else real


def _is_below(real: str, folder: str) -> bool:
    return real == folder or real.startswith(folder.rstrip("/") + "/")


def _blobs_of(root: str) -> str | None:
    """``.../datasets--owner--name/blobs`` for a folder in ``snapshots/<revision>`` beside it."""
    parts = Path(os.path.realpath(root)).parts
    for at, part in enumerate(parts[1:], 1):
        if part == "snapshots" and len(parts) > at + 1 and parts[at - 1].startswith(_HUB_KINDS):
            return os.path.join(*parts[:at], "blobs")
    return None
