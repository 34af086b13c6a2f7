"""Readers of annotations: one file per format in ``formats/``, with its reader and its row."""

from __future__ import annotations

from datasets_prep.sources.bases.format import Format
from datasets_prep.sources.bases.reader import Files, Reader, Record
from pipeline.plan.formats import FORMATS


def format_of(name: str) -> Format:
    """The row of a format of this or another package. Raises ValueError for a format without a reader."""
    row = FORMATS[name]
    if not isinstance(row, Format):
        raise ValueError(f"the format {name} is registered without a reader; make it a Format")
    return row


def reader_of(name: str) -> Reader:
    """The reader of a format."""
    return format_of(name).reader


__all__ = ["Files", "Format", "Reader", "Record", "format_of", "reader_of"]
