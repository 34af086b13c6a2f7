"""Scores of checkpoints, and answers to questions. What needs torch is imported when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evaluation.ask import Checkpoint, load_checkpoint
    from evaluation.asking.answer import Answer
    from pipeline.regions import Box, MaskFile, Point

__all__ = ["Answer", "Box", "Checkpoint", "MaskFile", "Point", "load_checkpoint"]


def __getattr__(name: str) -> Any:
    if name in ("Box", "Point", "MaskFile"):
        from pipeline import regions

        return getattr(regions, name)
    if name in ("Checkpoint", "load_checkpoint"):
        from evaluation import ask

        return getattr(ask, name)
    if name == "Answer":
        from evaluation.asking.answer import Answer

        return Answer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
