"""The data section: which sources become which samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, TypeVar

from pydantic import Field, field_validator

from pipeline.draw import draw
from pipeline.plan.base import Config
from pipeline.plan.formats import BLANKS, FORMATS, AnnotationFormat, FormatOption, TemporalTask
from pipeline.plan.identity import Bears, Input, Media, Runtime
from pipeline.plan.rules import DurationMismatch, EarlyMasks, SecondsFrom
from pipeline.plan.section_errors import Problem
from pipeline.plan.suggest import suggest
from pipeline.times.temporal import Outside


class Use(StrEnum):
    """What a source is for. Benchmark samples never enter a training mixture."""

    TRAIN = "train"
    BENCHMARK = "benchmark"


class RegionMode(StrEnum):
    """How many annotated frames of a pointed-at object are kept."""

    AS_ANNOTATED = "as_annotated"
    SINGLE = "single"  # one frame, chosen by the sample's name
    MULTI = "multi"  # every annotated frame


T = TypeVar("T")
OfFormat = Annotated[T, FormatOption()]
"""An option that only some formats have."""


ALL_VIDEOS: Final = (0.0, 1.0)
"""The range of ``select.videos`` that leaves nothing out."""


class SelectConfig(Config):
    """Which of a source's valid samples are kept, chosen by hashes of (seed, key) and (seed, video)."""

    count: int | None = Field(default=None, ge=0, description="Exactly this many; null: all.")
    videos: tuple[float, float] = Field(
        default=ALL_VIDEOS,
        description="Only videos whose number is in this range. The number, 0 to 1, is drawn from (seed, "
        "name of the video as its record writes it): [0, 0.8] for training and [0.8, 1] for a benchmark "
        "divide one list by videos. Samples of other videos count as not selected.",
    )

    def problems(self) -> Iterator[Problem]:
        """A range that is none."""
        start, end = self.videos
        if not 0 <= start < end <= 1:
            yield Problem(("videos",), f"[{start:g}, {end:g}] is no range within 0 and 1, such as [0, 0.8]")

    def takes_video(self, name: str, seed: int) -> bool:
        """Whether a video is in the range, by its name as the record writes it."""
        if self.videos == ALL_VIDEOS:
            return True
        start, end = self.videos
        drawn = draw("videos", seed, name) / 2**64
        return start <= drawn < end or drawn >= end == 1  # the division rounds the largest draws to 1

    def shares_videos(self, other: SelectConfig) -> bool:
        """Whether some videos are in both ranges."""
        return max(self.videos[0], other.videos[0]) < min(self.videos[1], other.videos[1])


class SourceConfig(Config):
    """One dataset in a known format. Paths may start with ``${corpora}``, the demo corpora's artifact."""

    name: str = Field(
        pattern=r"^[a-z0-9_]+(/[a-z0-9_]+)*$",
        description="Its name in mixtures, benchmarks and shards: lower-case letters, digits, _ and /.",
    )
    format: str = Field(
        description="The form of its annotations; docs/data-format.md says which dataset has which."
    )
    use: Use = Field(
        default=Use.TRAIN, description="train, or benchmark: its samples then enter no training mixture."
    )
    annotations: Input[str] = Field(
        description="The annotation file, or the folder that holds the format's files."
    )
    files: tuple[str, ...] = Field(
        default=(),
        description="Patterns (* and ? within a name, ** over folders) of the files in that folder; empty: "
        "every file with an extension of the format.",
    )
    masks: OfFormat[Input[str | None]] = Field(
        default=None,
        description="Masks in other files: mask_dict.json (meta_expressions), instances.json (refcoco), or a "
        "folder: Annotations (ref_youtube_vos, ref_davis), SA-V's masklets (ref_sav). Of nextgqa the spans: "
        "gsub_*.json, or the folder that holds it and map_vid_vidorID.json. Of jsonl the folder of the PNG "
        "files.",
    )
    columns: OfFormat[Mapping[str, str]] = Field(
        default={},
        description="Names that fields of a record have in the file, {video: path}; of jsonl.",
    )
    void: OfFormat[bool] = Field(
        default=False,
        description="Of a benchmark in ref_davis, keep the pixels that are void (255) in the label images, "
        "which the authors' protocol of Ref-DAVIS17 does not judge. false: they are background.",
    )
    media: Media[tuple[str, ...]] = Field(
        min_length=1, description="Folder of the videos, or several that are tried in order."
    )
    select: SelectConfig = Field(
        default=SelectConfig(), description="How many of its valid samples are kept; by default all."
    )
    region_mode: OfFormat[RegionMode] = Field(
        default=RegionMode.AS_ANNOTATED,
        description="Frames on which an object is pointed at: as_annotated; single, one of them, chosen by "
        "the sample's name; multi, every annotated one.",
    )
    keep_types: tuple[str, ...] = Field(
        default=(), description="Keep records of these source types only; empty: all."
    )
    keep_videos: OfFormat[Input[str | None]] = Field(
        default=None,
        description="File that names the videos to keep: text, one per line, or a meta_expressions.json.",
    )
    drop_videos: OfFormat[Input[str | None]] = Field(
        default=None, description="Likewise, the videos to leave out (a test set in a validation file)."
    )
    split: OfFormat[str | None] = Field(
        default=None,
        description="Of refcoco, the split to keep: train, val, test, testA or testB. Of youcook2 and coin: "
        "training, validation or testing; needed where a file holds several.",
    )
    outside_spans: Outside = Field(
        default=Outside.REFUSE,
        description="A span past its video's end: refuse (the record is rejected), clamp, or, for a "
        "benchmark, keep the true span as it is written; all are counted.",
    )
    seconds_from: SecondsFrom = Field(
        default=SecondsFrom.PLAYER,
        description="What seconds in the annotations count from where sound begins before the picture: "
        "player, the moment at which a player begins (times are mapped and counted), or picture.",
    )
    duration_mismatch: DurationMismatch = Field(
        default=DurationMismatch.KEEP,
        description="A record whose own duration differs from its video's by more than a second and 1 %: "
        "keep it "
        "as it is, scale its times from the one duration to the other, or reject it. All are counted.",
    )
    early_masks: EarlyMasks = Field(
        default=EarlyMasks.KEEP,
        description="A video that lists a mask or none for every frame, with all masks of all its "
        "objects within the first half of the frames (a shift known from ReVOS): keep and count, or reject.",
    )
    split_turns: OfFormat[bool] = Field(
        default=False, description="Each question with its answer becomes a sample (LLaVA-Video-178K)."
    )
    temporal_task: OfFormat[TemporalTask | None] = Field(
        default=None,
        description="What is asked about timed events: grounding, dense_captions or referring. null: the "
        "format's own, dense captions of youcook2, coin and vitt, else grounding.",
    )
    as_questions: OfFormat[bool] = Field(
        default=False,
        description="The only question of a row is replaced by one of question_templates, or one of this "
        "project's: descriptions become questions and answers (videorefer).",
    )
    drop_spatial: OfFormat[bool] = Field(
        default=False,
        description="Rows with boxes in their text count as not selected instead of rejected (st_align).",
    )
    folder_fps: float | None = Field(
        default=None,
        gt=0,
        description="Frames per second of videos that are folders of stills: 2 for VideoGPT's. null: "
        "that of the format, or 3.",
    )
    min_frames: int | None = Field(
        default=None, ge=1, description="Instead of the data section's: 1 for a set of still images."
    )
    question_templates: OfFormat[tuple[str, ...]] = Field(
        default=(),
        description="For sources of bare expressions; {expression} is filled in, for timed events {span} as "
        "well, for videorefer and videorefer_bench_d {regions}. Empty: the published ones, or this "
        "project's.",
    )
    answer_templates: OfFormat[tuple[str, ...]] = Field(
        default=(),
        description="Likewise for answers; each holds one [SEG], or for timed events {span} or {expression}; "
        "for nextgqa {answer} and {span}. Of dense captions, one line of the answer.",
    )

    @field_validator("media", mode="before")
    @classmethod
    def _one_folder(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @property
    def row(self) -> AnnotationFormat:
        """The row of the format."""
        return FORMATS[self.format]

    @property
    def asks(self) -> TemporalTask | None:
        """What is asked about timed events; None for formats without them."""
        return self.temporal_task or next(iter(self.row.temporal_tasks), None)

    @field_validator("format")
    @classmethod
    def _format_is_known(cls, name: str) -> str:
        FORMATS[name]
        return name

    def problems(self) -> Iterator[Problem]:
        """Options that the format does not have or that are missing, and templates without their blanks."""
        row = self.row
        for name, field in type(self).model_fields.items():
            if any(isinstance(mark, FormatOption) for mark in field.metadata):
                value, default = getattr(self, name), field.get_default()
                if value != default and name not in row.accepts:
                    known = ", ".join(n for n, other in FORMATS.own().items() if name in other.accepts)
                    yield Problem(
                        (name,), f"source {self.name}: {name} is for {known}, not for {self.format}"
                    )
                if name in row.needs and value == default:
                    yield Problem((), f"source {self.name}: {row.needs[name]}")
        for name in self.columns if row.columns else ():
            if name not in row.columns:
                yield Problem(
                    ("columns", name),
                    f"source {self.name}: {name} is no field of {self.format}; "
                    f"{suggest(name, row.columns, 'They are')}",
                )
        for at, kind in enumerate(self.keep_types if row.own_data else ()):
            if kind not in tuple(row.tasks):
                yield Problem(
                    ("keep_types", at),
                    f"source {self.name}: a record of {self.format} is of no type {kind}; "
                    f"{suggest(kind, row.tasks, 'They are')}",
                )
        if self.outside_spans is Outside.KEEP and self.use is Use.TRAIN:
            yield Problem(
                ("outside_spans",),
                f"source {self.name}: keep is for the truth of a benchmark; for training choose refuse or "
                "clamp",
            )
        if self.void and self.use is Use.TRAIN:
            yield Problem(
                ("void",), f"source {self.name}: void is for the scores of a benchmark; leave it out"
            )
        if self.temporal_task and row.temporal_tasks and self.temporal_task not in row.temporal_tasks:
            yield Problem(
                ("temporal_task",),
                f"source {self.name}: {self.format} cannot be asked for {self.temporal_task}; "
                f"use {' or '.join(row.temporal_tasks)}",
            )
        blanks = BLANKS[self.asks] if self.asks else (row.question_blanks, row.answer_blanks)
        for key, wanted in zip(("question_templates", "answer_templates"), blanks, strict=True):
            for template in getattr(self, key):
                if missing := [blank for blank in wanted if blank not in template]:
                    yield Problem(
                        (key,), f"source {self.name}: the template {template!r} lacks {' and '.join(missing)}"
                    )


def file_stem(source: str) -> str:
    """The beginning of the names of a source's files: ``a/b`` -> ``a__b``."""
    return source.replace("/", "__")


class BakeConfig(Config):
    """Frames that are written beside the shards, so that the videos are no longer needed.

    For each sample: the frames that a model of ``frames`` frames is shown, and every frame with a mask.
    """

    frames: int = Field(
        default=32, gt=0, description="How many frames of a video or clip the model takes: its num_frames."
    )
    longest_side: int | None = Field(
        default=None,
        gt=0,
        description="Larger pictures are reduced to so many pixels, aspect kept. null: as decoded.",
    )
    quality: int = Field(default=95, ge=1, le=100, description="Of the JPEGs; colour is never subsampled.")


class PrepConfig(Config):
    """Everything that decides the content of the shards."""

    # Shards depend on their own source only; these two fields are about the dataset as a whole.
    sources: Annotated[tuple[SourceConfig, ...], Bears("prepare")] = Field(
        min_length=1, description="The datasets, each an entry; names must be unique."
    )
    rows_per_shard: int = Field(
        default=2048, ge=1, description="The most records of a source in one Parquet shard."
    )
    min_frames: int = Field(default=2, ge=1, description="A video with fewer decodable frames is rejected.")
    max_reject_share: Annotated[float, Bears("prepare")] = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Fail if more than this share of a source is rejected.",
    )
    allow_links_to: Runtime[tuple[str, ...]] = Field(
        default=(),
        description="Folders into which links in media folders may lead, besides the media folders of all "
        "sources. Links into the blobs of huggingface_hub's cache are followed without it.",
    )
    bake: BakeConfig | None = Field(
        default=None, description="Write the frames that samples need beside them; null: videos by reference."
    )

    def problems(self) -> Iterator[Problem]:
        """Sources of one name, or whose shards would have one name."""
        names = [s.name for s in self.sources]
        doubled = sorted({n for n in names if names.count(n) > 1})
        if doubled:
            yield Problem(
                ("sources",), f"source names must be unique, {', '.join(doubled)} is used more than once"
            )
        yield from self._trained_and_tested()
        owner: dict[str, str] = {}
        for at, name in enumerate(names):
            other = owner.setdefault(file_stem(name), name)
            if other != name:
                yield Problem(
                    ("sources", at, "name"),
                    f"sources {other} and {name} would both write data/{file_stem(name)}-00000.parquet; "
                    "rename one of them",
                )

    def _trained_and_tested(self) -> Iterator[Problem]:
        """Benchmarks that are a part of a list by videos, and share some of these with a training source."""
        for at, held_out in enumerate(self.sources):
            for source in self.sources if held_out.use is Use.BENCHMARK else ():
                divided = {held_out.select.videos, source.select.videos} != {ALL_VIDEOS}
                same = source.use is Use.TRAIN and source.annotations == held_out.annotations
                if same and divided and source.select.shares_videos(held_out.select):
                    (start, end), rest = source.select.videos, held_out.select.videos
                    yield Problem(
                        ("sources", at, "select", "videos"),
                        f"{held_out.name} takes [{rest[0]:g}, {rest[1]:g}] of the videos, and {source.name} "
                        f"trains on [{start:g}, {end:g}] of the same list; the ranges must not overlap",
                    )
