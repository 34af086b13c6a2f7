"""Scores of checkpoints, and answers to questions. What needs torch is imported when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evaluation.predict.answer import Answer
    from evaluation.predict.ask import Checkpoint, load_checkpoint
    from pipeline.media.pointing import Box, MaskFile, Point

__all__ = ["Answer", "Box", "Checkpoint", "MaskFile", "Point", "load_checkpoint"]


def __getattr__(name: str) -> Any:
    if name in ("Box", "Point", "MaskFile"):
        from pipeline.media import pointing

        return getattr(pointing, name)
    if name in ("Checkpoint", "load_checkpoint"):
        from evaluation.predict import ask

        return getattr(ask, name)
    if name == "Answer":
        from evaluation.predict.answer import Answer

        return Answer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
