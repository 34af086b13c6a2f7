"""The data section: which sources become which samples."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from pipeline.config.base import Config
from pipeline.schema.temporal import Outside


class SourceFormat(StrEnum):
    """Annotation formats; each has one reader in ``datasets_prep/sources``."""

    LLAVA_VIDEO = "llava_video"  # LLaVA-Video-178K JSON lists
    VIDEOREFER = "videorefer"  # VideoRefer-700K JSON lists
    META_EXPRESSIONS = "meta_expressions"  # MeViS, ReVOS: meta_expressions.json + mask_dict.json
    REF_YOUTUBE_VOS = "ref_youtube_vos"  # Refer-YouTube-VOS: meta_expressions.json + label images
    REF_DAVIS = "ref_davis"  # Ref-DAVIS17: Davis17_annot*.txt + label images
    REF_SAV = "ref_sav"  # Ref-SAV.json + SA-V masklets
    REFCOCO = "refcoco"  # RefCOCO, RefCOCO+, RefCOCOg: refs(*).p + instances.json
    UFVIDEO_SEG = "ufvideo_seg"  # segmentation rows of UFVideo's own training lists
    ST_ALIGN = "st_align"  # ST-Align placeholders + variables
    TIME_STAMP = "time_stamp"  # InternVid-TG and DisTime: <TIME_STAMP> + tgt
    MVBENCH = "mvbench"
    VIDEOREFER_BENCH_Q = "videorefer_bench_q"
    CHARADES_STA = "charades_sta"
    UFVIDEO_BENCH = "ufvideo_bench"


_VIDEO_LISTS = (
    SourceFormat.META_EXPRESSIONS,
    SourceFormat.REF_YOUTUBE_VOS,
    SourceFormat.REF_DAVIS,
    SourceFormat.REF_SAV,
)


class Use(StrEnum):
    """What a source is for. Benchmark samples never enter a training mixture."""

    TRAIN = "train"
    BENCHMARK = "benchmark"


class RegionMode(StrEnum):
    """How many annotated frames of a pointed-at object are kept."""

    AS_ANNOTATED = "as_annotated"
    SINGLE = "single"  # one frame, chosen by the sample's name
    MULTI = "multi"  # every annotated frame


class SelectConfig(Config):
    """How many of a source's valid samples are kept, chosen by a hash of (seed, key)."""

    count: int | None = Field(default=None, ge=0, description="Exactly this many; None: all.")


class SourceConfig(Config):
    """One dataset in a known format. Paths may start with ``${corpora}``, the demo corpora's artifact."""

    name: str = Field(pattern=r"^[a-z0-9_]+(/[a-z0-9_]+)*$")
    format: SourceFormat
    use: Use = Use.TRAIN
    annotations: str = Field(description="The annotation file, or the folder that holds the format's files.")
    files: tuple[str, ...] = Field(
        default=(),
        description="Patterns (* and ? within a name, ** over folders) of the files in that folder; empty: "
        "every file with an ending of the format.",
    )
    masks: str | None = Field(
        default=None,
        description="Masks that lie apart: mask_dict.json (meta_expressions), instances.json (refcoco), or a "
        "folder: Annotations (ref_youtube_vos, ref_davis), SA-V's masklets (ref_sav).",
    )
    media: tuple[str, ...] = Field(
        min_length=1, description="Folders tried in order for a record's video path."
    )
    select: SelectConfig = SelectConfig()
    region_mode: RegionMode = RegionMode.AS_ANNOTATED
    keep_types: tuple[str, ...] = Field(
        default=(), description="Keep records of these source types only; empty: all."
    )
    keep_videos: str | None = Field(
        default=None,
        description="File that names the videos to keep: text, one a line, or a meta_expressions.json.",
    )
    drop_videos: str | None = Field(
        default=None, description="Likewise, the videos to leave out (a test set in a validation file)."
    )
    split: str | None = Field(
        default=None, description="Of refcoco, the split to keep: train, val, test, testA or testB."
    )
    outside_spans: Outside = Field(
        default=Outside.REFUSE,
        description="A span past its video's end: reject the record, or clamp and count.",
    )
    split_turns: bool = Field(
        default=False, description="Each question with its answer becomes a sample (LLaVA-Video-178K)."
    )
    min_frames: int | None = Field(
        default=None, ge=1, description="Instead of the data section's: 1 for a set of still images."
    )
    question_templates: tuple[str, ...] = Field(
        default=(),
        description="For sources of bare expressions; {expression} is filled in. Empty: the published ones.",
    )
    answer_templates: tuple[str, ...] = Field(
        default=(), description="Likewise for answers; each holds one [SEG]."
    )

    @model_validator(mode="after")
    def _parts_are_named(self) -> Self:
        """A part of a set that a reader cannot tell, or did not ask for, would be mixed in without a word."""
        if (self.keep_videos or self.drop_videos) and self.format not in _VIDEO_LISTS:
            raise ValueError(
                f"source {self.name}: keep_videos and drop_videos are for {', '.join(_VIDEO_LISTS)}, "
                f"not for {self.format}"
            )
        if self.format is SourceFormat.REF_DAVIS and not self.keep_videos:
            raise ValueError(
                f"source {self.name}: the texts of ref_davis cover training and validation videos; "
                "set keep_videos to DAVIS/ImageSets/2017/train.txt or val.txt"
            )
        if (self.split is not None) != (self.format is SourceFormat.REFCOCO):
            raise ValueError(f"source {self.name}: split is for refcoco, which needs it (train, val, ...)")
        return self


def file_stem(source: str) -> str:
    """What the names of a source's files begin with: ``a/b`` -> ``a__b``."""
    return source.replace("/", "__")


class PrepConfig(Config):
    """Everything that decides the content of the shards."""

    sources: tuple[SourceConfig, ...] = Field(min_length=1)
    rows_per_shard: int = Field(default=2048, ge=1)
    min_frames: int = Field(default=2, ge=1, description="A video with fewer decodable frames is rejected.")
    max_reject_share: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Refuse to finish if more than this share of a source is rejected.",
    )

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [s.name for s in self.sources]
        doubled = sorted({n for n in names if names.count(n) > 1})
        if doubled:
            raise ValueError(f"source names must be unique, {', '.join(doubled)} is used more than once")
        owner: dict[str, str] = {}
        for name in names:
            other = owner.setdefault(file_stem(name), name)
            if other != name:
                raise ValueError(
                    f"sources {other} and {name} would both write {file_stem(name)}-00000.parquet; "
                    "rename one of them"
                )
        return self
