"""The row of an annotation format: what plans are checked against, and its reader."""

from __future__ import annotations

from dataclasses import dataclass

from datasets_prep.sources.bases.reader import Reader
from pipeline.plan.formats import AnnotationFormat


@dataclass(frozen=True, kw_only=True, eq=False)
class Format(AnnotationFormat):
    """One format with its reader. Each one at the top level of a module of ``formats/`` is registered.

    ``one_file``: if a folder has only one file, its name is not part of the keys. ``named_alone``: the file's
    name is part of every key, also if ``annotations`` is a single file.
    """

    reader: Reader
    one_file: bool = False
    named_alone: bool = False
