"""The rows of benchmarks, as far as a plan needs them. Each is defined with its prompt and its score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from pipeline.plan.registry import Registry, RegistryRow
from pipeline.records.sample import Task


class PromptStyle(StrEnum):
    """How a benchmark's question is worded. Answers are read in the same way for all of them."""

    PUBLISHED = "published"  # the benchmark's own wording, as UFVideo asks it
    LLAVA_VIDEO = "llava_video"  # options written as LLaVA-Video-178K writes them; for multiple choice
    PREPARED = "prepared"  # the question as the prepared sample holds it


@dataclass(frozen=True, kw_only=True, eq=False)
class BenchmarkFamily(RegistryRow):
    """One family. ``title`` is what tables and pages call it, ``styles`` are its wordings.

    ``times``: it asks when something happens. ``accepts`` are the tasks of the samples that it scores; empty:
    any. ``advice`` says, by the option of a source, what is not scored where the option has its default.
    """

    title: str = ""
    styles: tuple[PromptStyle, ...] = (PromptStyle.PUBLISHED, PromptStyle.PREPARED)
    times: bool = False
    accepts: tuple[Task, ...] = ()
    advice: Mapping[str, str] = field(default_factory=dict)

    @property
    def submits(self) -> bool:
        """Whether answers can go to a server where the truth is hidden."""
        return False

    @property
    def marks(self) -> tuple[str, ...]:
        """Names of the metrics that are marks of a judge."""
        return ()


FAMILIES: Final = Registry("benchmark family", BenchmarkFamily, "evaluation.benchmarks", "ufvideo.benchmarks")
