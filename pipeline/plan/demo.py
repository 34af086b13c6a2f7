"""Settings of the demo corpora. Imports are few on purpose: plans are read without numpy, Ray or torch."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from pydantic import Field

from pipeline.plan.base import Config
from pipeline.plan.section_errors import Problem

Share = float


class QuestionKind(StrEnum):
    """What multiple-choice and open questions are about."""

    EXISTENCE = "existence"
    COLOUR_PRESENT = "colour_present"
    COLOUR_OF_SHAPE = "colour_of_shape"
    SHAPE_OF_COLOUR = "shape_of_colour"
    COLOUR_OF_MOVING = "colour_of_moving"
    COLOUR_OF_LARGEST = "colour_of_largest"
    COUNT = "count"
    LAST = "last"
    DIRECTION = "direction"


class DemoConfig(Config):
    """How many demo videos to draw, and how rich their scenes are.

    ``train_videos`` scales every training corpus; each ``*_share`` is the part of those videos that the
    corpus annotates (the first ones, so corpora overlap and ask about the same objects). Benchmarks draw
    scenes of their own. The media and annotations are a pure function of this model.
    """

    seed: int = Field(
        default=7, ge=0, description="Seed of everything that is drawn; independent of the plan's seed."
    )
    train_videos: int = Field(default=160, ge=2, description="How many videos are drawn for training.")

    llava_video_share: Share = Field(
        default=1.0, ge=0, le=1, description="Part of the training videos that LLaVA-Video annotates."
    )
    videorefer_share: Share = Field(
        default=0.75, ge=0, le=1, description="Part of the training videos that VideoRefer annotates."
    )
    mevis_share: Share = Field(
        default=1.0, ge=0, le=1, description="Part of the training videos that MeViS annotates."
    )
    st_align_share: Share = Field(
        default=1.0, ge=0, le=1, description="Part of the training videos that ST-Align annotates."
    )
    internvid_tg_share: Share = Field(
        default=0.5, ge=0, le=1, description="Part of the training videos that InternVid-TG annotates."
    )
    ufvideo_bench_share: Share = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Part of the training videos that UFVideo-Bench's training lists annotate.",
    )

    questions: tuple[QuestionKind, ...] = Field(
        default=tuple(QuestionKind),
        min_length=1,
        description="Kinds of questions in LLaVA-Video, ST-Align and MVBench; a toy model learns the "
        "easy ones.",
    )
    mvbench_items: int = Field(default=24, ge=7, description="Questions over seven tasks, easy ones first.")
    mevis_valid_videos: int = Field(default=10, ge=1, description="Two expressions each.")
    videorefer_bench_items: int = Field(default=20, ge=1, description="Asked over the valid_u videos.")
    charades_sta_items: int = Field(default=20, ge=1, description="Queries, one span each.")
    ufvideo_bench_items: int = Field(default=18, ge=3, description="A third for each of the three tasks.")

    colours: int = Field(default=4, ge=3, le=6, description="Size of the palette.")
    max_objects: int = Field(default=3, ge=2, le=3, description="The most objects in one scene.")
    event_grid: int = Field(
        default=8,
        ge=0,
        description="Events begin and end on k/grid of the video, so that as many frames distinguish them; "
        "0 places them anywhere.",
    )
    min_seconds: float = Field(default=4.0, ge=2, description="Length of the shortest video.")
    max_seconds: float = Field(default=20.0, le=60, description="Length of the longest video.")
    damage: bool = Field(default=True, description="Add broken videos and records, listed in the summary.")

    def problems(self) -> Iterator[Problem]:
        """Scenes that could not be made."""
        if len(set(self.questions)) < len(self.questions):
            yield Problem(("questions",), "questions names a kind twice; name each once")
        if self.colours <= self.max_objects:
            yield Problem(
                ("colours",),
                f"colours={self.colours} must exceed max_objects={self.max_objects}: "
                "a question about an absent colour needs one; raise colours",
            )
        if self.max_seconds < self.min_seconds:
            yield Problem(
                ("max_seconds",), f"max_seconds={self.max_seconds} is below min_seconds={self.min_seconds}"
            )
        if self.event_grid and self.event_grid < 6:
            yield Problem(("event_grid",), f"event_grid={self.event_grid} must be 0 or at least 6")

    def videos_of(self, share: Share) -> int:
        """Number of training videos that a corpus with this share annotates."""
        return round(self.train_videos * share)
