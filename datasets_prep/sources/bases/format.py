"""The row of an annotation format: what a plan is checked by, and its reader."""

from __future__ import annotations

from dataclasses import dataclass

from datasets_prep.sources.bases.reader import Reader
from pipeline.plan.formats import AnnotationFormat


@dataclass(frozen=True, kw_only=True, eq=False)
class Format(AnnotationFormat):
    """One format with its reader. Every one at the top level of a module of ``formats/`` is registered.

    ``one_file``: the name of its only file, found in a folder, stands in no key. ``named_alone``: the name of
    a single file stands in every key. ``masks_beside`` is the file of masks that may lie beside the
    annotations in their folder.
    """

    reader: Reader
    one_file: bool = False
    named_alone: bool = False
    masks_beside: str = ""
