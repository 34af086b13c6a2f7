"""What a plan has to know of an annotation format. Each stands beside its reader, in one row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from pipeline.plan.registry import Registry, RegistryRow


class TemporalTask(StrEnum):
    """What is asked about events that a set gives with their times."""

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
    """Marks an option of a source that only some formats know: elsewhere it would be ignored in silence."""


@dataclass(frozen=True, kw_only=True, eq=False)
class AnnotationFormat(RegistryRow):
    """One format.

    ``options`` are the source's options marked ``FormatOption`` that its reader knows, ``needs`` those that
    have to be given, each with the reason. ``temporal_tasks`` are what can be asked about its events, the
    format's own choice first; none for a format without timed events. ``question_blanks`` and
    ``answer_blanks`` are what templates must hold, where no temporal task says it.
    """

    options: tuple[str, ...] = ()
    needs: Mapping[str, str] = field(default_factory=dict)
    temporal_tasks: tuple[TemporalTask, ...] = ()
    question_blanks: tuple[str, ...] = ()
    answer_blanks: tuple[str, ...] = ()

    @property
    def accepts(self) -> frozenset[str]:
        """Every option marked ``FormatOption`` that may be set."""
        timed = ("temporal_task", "question_templates", "answer_templates") if self.temporal_tasks else ()
        return frozenset((*self.options, *self.needs, *timed))


FORMATS: Final = Registry(
    "annotation format", AnnotationFormat, "datasets_prep.sources.formats", "ufvideo.formats"
)
