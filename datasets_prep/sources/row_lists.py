"""Lists of rows in files of any kind, recognised by content: a JSON array, JSON lines, or Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datasets_prep.sources.json import json_file
from datasets_prep.sources.json.json_file import Chunk, Limits
from datasets_prep.sources.json.opening import open_annotations
from datasets_prep.sources.parquet_rows import MAGIC, holds_rows, parquet_chunks, parquet_records

ENDINGS = (".json", ".jsonl", ".parquet")


def list_chunks(path: Path, limits: Limits) -> Iterator[Chunk]:
    """Chunks of a file, in order. Raises UserError if it is missing or cannot be read as a whole."""
    with open_annotations(path) as file:
        columns = file.read(len(MAGIC)) == MAGIC
    return parquet_chunks(path, limits) if columns else json_file.list_chunks(path, limits)


def list_records(path: Path, chunk: Chunk, *, check_names: bool = True) -> Iterator[Any]:
    """The rows of a chunk; one that cannot be read is yielded as ``Unparsed``.

    With ``check_names`` false, names that occur twice in a JSON object may go unnoticed; the last one counts.
    """
    if holds_rows(chunk):
        return parquet_records(path, chunk)
    return json_file.list_records(path, chunk, check_names=check_names)
