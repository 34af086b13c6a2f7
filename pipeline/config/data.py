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
    META_EXPRESSIONS = "meta_expressions"  # MeViS: meta_expressions.json + mask_dict.json
    ST_ALIGN = "st_align"  # ST-Align placeholders + variables
    TIME_STAMP = "time_stamp"  # InternVid-TG and DisTime: <TIME_STAMP> + tgt
    MVBENCH = "mvbench"
    VIDEOREFER_BENCH_Q = "videorefer_bench_q"
    CHARADES_STA = "charades_sta"
    UFVIDEO_BENCH = "ufvideo_bench"


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
    masks: str | None = Field(default=None, description="mask_dict.json of a meta_expressions set.")
    media: tuple[str, ...] = Field(
        min_length=1, description="Folders tried in order for a record's video path."
    )
    select: SelectConfig = SelectConfig()
    region_mode: RegionMode = RegionMode.AS_ANNOTATED
    keep_types: tuple[str, ...] = Field(
        default=(), description="Keep records of these source types only; empty: all."
    )
    outside_spans: Outside = Field(
        default=Outside.REFUSE,
        description="A span past its video's end: reject the record, or clamp and count.",
    )
    question_templates: tuple[str, ...] = Field(
        default=(),
        description="For sources of bare expressions; {expression} is filled in. Empty: the published ones.",
    )
    answer_templates: tuple[str, ...] = Field(
        default=(), description="Likewise for answers; each holds one [SEG]."
    )


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
