"""What a plan has to know of a benchmark. Each stands in one row, beside how it asks and how it scores."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pipeline.plan.registry import Registry, RegistryRow


class PromptStyle(StrEnum):
    """How a benchmark's question is worded; what counts as an answer is the same in all of them."""

    PUBLISHED = "published"  # the benchmark's own wording, as UFVideo asks it
    LLAVA_VIDEO = "llava_video"  # options written as LLaVA-Video-178K writes them; for multiple choice
    PREPARED = "prepared"  # the question as the prepared sample holds it


@dataclass(frozen=True, kw_only=True, eq=False)
class BenchmarkFamily(RegistryRow):
    """One family. ``styles`` are the wordings that it has; ``times``: it asks when something happens."""

    styles: tuple[PromptStyle, ...] = (PromptStyle.PUBLISHED, PromptStyle.PREPARED)
    times: bool = False


FAMILIES: Final = Registry("benchmark family", BenchmarkFamily, "evaluation.benchmarks", "ufvideo.benchmarks")
