"""Symbolic links in data: which of them are followed, so that no file leads anybody to what is not meant."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

_HUB_KINDS = ("datasets--", "models--", "spaces--")


def strays(place: str, root: str, folders: Sequence[str]) -> str | None:
    """Where a local path really leads, if that is neither below ``root`` nor below one of ``folders``.

    None for a path that may be used. What lies in a snapshot of huggingface_hub's cache is links into the
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
