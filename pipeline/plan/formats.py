"""The rows of annotation formats, as far as a plan needs them. Each is defined with its reader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from pipeline.plan.registry import Registry, RegistryRow
from pipeline.records.sample import Task


class TemporalTask(StrEnum):
    """What is asked about events with times."""

    GROUNDING = "grounding"  # words -> when: TVG, one sample per event
    DENSE_CAPTIONS = "dense_captions"  # what happens when: DVC, one sample per video
    REFERRING = "referring"  # when -> words: TR, one sample per event


# Blanks that templates of a question and of an answer must have.
BLANKS: Final = {
    TemporalTask.GROUNDING: (("{expression}",), ("{span}",)),
    TemporalTask.DENSE_CAPTIONS: ((), ("{span}", "{expression}")),
    TemporalTask.REFERRING: (("{span}",), ("{expression}",)),
}


@dataclass(frozen=True)
class FormatOption:
    """Marks an option of a source that only some formats have; for others it is an error."""


@dataclass(frozen=True, kw_only=True, eq=False)
class AnnotationFormat(RegistryRow):
    """One format. ``tasks`` are those that its samples can have; empty: any.

    ``options`` are the source's options marked ``FormatOption`` that its reader uses, ``needs`` those that
    have to be set, each with the reason. ``temporal_tasks`` are the questions about its events, the
    format's default first; none for a format without timed events. ``question_blanks`` and
    ``answer_blanks`` are the blanks that templates must have if there is no temporal task. ``truth_in`` is
    the option that names the truth of a benchmark: without it the truth is hidden, unless a file called
    ``masks_beside`` lies in the folder of annotations. ``columns`` are the fields of a record that may have
    other names in the file. ``own_data``: records ask their own questions, of any task, and the type of a
    record is its task.
    """

    tasks: tuple[Task, ...] = ()
    options: tuple[str, ...] = ()
    needs: Mapping[str, str] = field(default_factory=dict)
    temporal_tasks: tuple[TemporalTask, ...] = ()
    question_blanks: tuple[str, ...] = ()
    answer_blanks: tuple[str, ...] = ()
    truth_in: str = ""
    masks_beside: str = ""
    columns: tuple[str, ...] = ()
    own_data: bool = False

    @property
    def accepts(self) -> frozenset[str]:
        """Every option marked ``FormatOption`` that may be set."""
        timed = ("temporal_task", "question_templates", "answer_templates") if self.temporal_tasks else ()
        return frozenset((*self.options, *self.needs, *timed))


FORMATS: Final = Registry(
    "annotation format", AnnotationFormat, "datasets_prep.sources.formats", "ufvideo.formats"
)
