"""The data section: which sources become which samples."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from pipeline.plan.base import Config
from pipeline.plan.identity import Bears, Input, Media
from pipeline.plan.rules import DurationMismatch, EarlyMasks, SecondsFrom
from pipeline.times.temporal import Outside


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
    ACTIVITYNET_CAPTIONS = "activitynet_captions"  # {video: {timestamps, sentences}}
    YOUCOOK2 = "youcook2"  # {"database": ...}, or the COCO form
    COIN = "coin"  # {"database": ...}
    DIDEMO = "didemo"  # five-second pieces by several annotators
    HIREST = "hirest"  # {query: {video: {bounds, steps}}}
    QVHIGHLIGHTS = "qvhighlights"  # several windows per query
    NEXTGQA = "nextgqa"  # questions in a CSV file, their spans in gsub_*.json
    VTIMELLM = "vtimellm"  # <s0>, <e0> in the text + meta.token
    ACTIVITYNET_RTL = "activitynet_rtl"  # <12.5>, seconds in the text
    VITT = "vitt"  # starts in milliseconds
    VIDEOREFER_BENCH_Q = "videorefer_bench_q"
    VIDEOREFER_BENCH_D = "videorefer_bench_d"
    CHARADES_STA = "charades_sta"
    UFVIDEO_BENCH = "ufvideo_bench"


_VIDEO_LISTS = (
    SourceFormat.META_EXPRESSIONS,
    SourceFormat.REF_YOUTUBE_VOS,
    SourceFormat.REF_DAVIS,
    SourceFormat.REF_SAV,
    SourceFormat.ACTIVITYNET_CAPTIONS,
    SourceFormat.YOUCOOK2,
    SourceFormat.COIN,
    SourceFormat.HIREST,
    SourceFormat.VITT,
)
_SPLITS = (SourceFormat.REFCOCO, SourceFormat.YOUCOOK2, SourceFormat.COIN)


class TemporalTask(StrEnum):
    """What is asked about events that a set gives with their times."""

    GROUNDING = "grounding"  # words -> when: TVG, one sample per event
    DENSE_CAPTIONS = "dense_captions"  # what happens when: DVC, one sample per video
    REFERRING = "referring"  # when -> words: TR, one sample per event


# Formats of events with times, and what each asks by itself: what UFVideo makes of the set.
TEMPORAL_TASKS = {
    SourceFormat.ACTIVITYNET_CAPTIONS: TemporalTask.GROUNDING,
    SourceFormat.YOUCOOK2: TemporalTask.DENSE_CAPTIONS,
    SourceFormat.COIN: TemporalTask.DENSE_CAPTIONS,
    SourceFormat.DIDEMO: TemporalTask.GROUNDING,
    SourceFormat.HIREST: TemporalTask.GROUNDING,
    SourceFormat.QVHIGHLIGHTS: TemporalTask.GROUNDING,
    SourceFormat.VITT: TemporalTask.DENSE_CAPTIONS,
}
_ONE_EVENT_A_ROW = (SourceFormat.DIDEMO, SourceFormat.QVHIGHLIGHTS)
# Blanks that templates of a question and of an answer must have.
_BLANKS = {
    TemporalTask.GROUNDING: (("{expression}",), ("{span}",)),
    TemporalTask.DENSE_CAPTIONS: ((), ("{span}", "{expression}")),
    TemporalTask.REFERRING: (("{span}",), ("{expression}",)),
}


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

    count: int | None = Field(default=None, ge=0, description="Exactly this many; null: all.")


class SourceConfig(Config):
    """One dataset in a known format. Paths may start with ``${corpora}``, the demo corpora's artifact."""

    name: str = Field(
        pattern=r"^[a-z0-9_]+(/[a-z0-9_]+)*$",
        description="What mixtures, benchmarks and shards call it: small letters, digits, _ and /.",
    )
    format: SourceFormat = Field(
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
        "every file with an ending of the format.",
    )
    masks: Input[str | None] = Field(
        default=None,
        description="Masks that lie apart: mask_dict.json (meta_expressions), instances.json (refcoco), or a "
        "folder: Annotations (ref_youtube_vos, ref_davis), SA-V's masklets (ref_sav). Of nextgqa the spans: "
        "gsub_*.json, or the folder that holds it and map_vid_vidorID.json.",
    )
    media: Media[tuple[str, ...]] = Field(
        min_length=1, description="Folder of the videos, or several that are tried in order."
    )
    select: SelectConfig = Field(
        default=SelectConfig(), description="How many of its valid samples are kept; by default all."
    )
    region_mode: RegionMode = Field(
        default=RegionMode.AS_ANNOTATED,
        description="Frames on which an object is pointed at: as_annotated; single, one of them, chosen by "
        "the sample's name; multi, every annotated one.",
    )
    keep_types: tuple[str, ...] = Field(
        default=(), description="Keep records of these source types only; empty: all."
    )
    keep_videos: Input[str | None] = Field(
        default=None,
        description="File that names the videos to keep: text, one a line, or a meta_expressions.json.",
    )
    drop_videos: Input[str | None] = Field(
        default=None, description="Likewise, the videos to leave out (a test set in a validation file)."
    )
    split: str | None = Field(
        default=None,
        description="Of refcoco, the split to keep: train, val, test, testA or testB. Of youcook2 and coin: "
        "training, validation or testing; needed where a file holds several.",
    )
    outside_spans: Outside = Field(
        default=Outside.REFUSE,
        description="A span past its video's end: reject the record, or clamp and count.",
    )
    seconds_from: SecondsFrom = Field(
        default=SecondsFrom.PLAYER,
        description="What seconds in the annotations count from where sound begins before the picture: "
        "player, the moment at which a player begins (times are mapped and counted), or picture.",
    )
    duration_mismatch: DurationMismatch = Field(
        default=DurationMismatch.KEEP,
        description="A record whose own duration is not its video's, by more than a second and 1 %: keep it "
        "as it is, scale its times from the one duration to the other, or reject it. All are counted.",
    )
    early_masks: EarlyMasks = Field(
        default=EarlyMasks.KEEP,
        description="A video that lists a mask or none for every frame, with all masks of all its objects in "
        "the first half of the frames or in less (a shift known from ReVOS): keep and count, or reject.",
    )
    split_turns: bool = Field(
        default=False, description="Each question with its answer becomes a sample (LLaVA-Video-178K)."
    )
    temporal_task: TemporalTask | None = Field(
        default=None,
        description="What is asked about timed events: grounding, dense_captions or referring. null: the "
        "format's own, dense captions of youcook2, coin and vitt, else grounding.",
    )
    as_questions: bool = Field(
        default=False,
        description="The only question of a row is replaced by one of question_templates, or of our own: "
        "descriptions become questions and answers (videorefer).",
    )
    drop_spatial: bool = Field(
        default=False, description="Rows with boxes in their text are not selected, not rejected (st_align)."
    )
    folder_fps: float | None = Field(
        default=None,
        gt=0,
        description="Frames per second of videos that are folders of stills: 2 for VideoGPT's. null: what "
        "the format says, else 3.",
    )
    min_frames: int | None = Field(
        default=None, ge=1, description="Instead of the data section's: 1 for a set of still images."
    )
    question_templates: tuple[str, ...] = Field(
        default=(),
        description="For sources of bare expressions; {expression} is filled in, for timed events {span} as "
        "well, for videorefer and videorefer_bench_d {regions}. Empty: the published ones, else our own.",
    )
    answer_templates: tuple[str, ...] = Field(
        default=(),
        description="Likewise for answers; each holds one [SEG], or for timed events {span} or {expression}; "
        "for nextgqa {answer} and {span}. Of dense captions, one line of the answer.",
    )

    @field_validator("media", mode="before")
    @classmethod
    def _one_folder(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @property
    def asks(self) -> TemporalTask | None:
        """What is asked about timed events; None for formats without them."""
        return self.temporal_task or TEMPORAL_TASKS.get(self.format)

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
        if self.format is SourceFormat.REFCOCO and self.split is None:
            raise ValueError(f"source {self.name}: refcoco needs a split (train, val, ...)")
        if self.split is not None and self.format not in _SPLITS:
            raise ValueError(f"source {self.name}: split is for {', '.join(_SPLITS)}, not for {self.format}")
        return self

    @model_validator(mode="after")
    def _options_fit(self) -> Self:
        """An option that the format does not know would be ignored without a word."""
        for option, formats in (
            ("split_turns", (SourceFormat.LLAVA_VIDEO,)),
            ("as_questions", (SourceFormat.VIDEOREFER,)),
            ("drop_spatial", (SourceFormat.ST_ALIGN,)),
            ("temporal_task", tuple(TEMPORAL_TASKS)),
        ):
            if getattr(self, option) and self.format not in formats:
                raise ValueError(
                    f"source {self.name}: {option} is for {', '.join(formats)}, not for {self.format}"
                )
        if self.asks is TemporalTask.DENSE_CAPTIONS and self.format in _ONE_EVENT_A_ROW:
            raise ValueError(
                f"source {self.name}: rows of {self.format} are about one event; use grounding or referring"
            )
        self._check_blanks()
        return self

    def _check_blanks(self) -> None:
        questions: tuple[str, ...] = ()
        answers: tuple[str, ...] = ()
        if self.asks is not None:
            questions, answers = _BLANKS[self.asks]
        elif self.format is SourceFormat.NEXTGQA:
            questions, answers = ("{expression}",), ("{answer}", "{span}")
        elif self.format in (SourceFormat.VIDEOREFER, SourceFormat.VIDEOREFER_BENCH_D):
            questions = ("{regions}",)
        for templates, blanks in ((self.question_templates, questions), (self.answer_templates, answers)):
            for template in templates:
                if missing := [b for b in blanks if b not in template]:
                    raise ValueError(
                        f"source {self.name}: the template {template!r} lacks {' and '.join(missing)}"
                    )


def file_stem(source: str) -> str:
    """What the names of a source's files begin with: ``a/b`` -> ``a__b``."""
    return source.replace("/", "__")


class BakeConfig(Config):
    """Frames that are written beside the shards, so that nobody needs the videos any more.

    Of each sample: what a model of ``frames`` frames is shown, and every frame with a mask.
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

    # What a source's shards hold is its own affair; these two are about the dataset as a whole.
    sources: Annotated[tuple[SourceConfig, ...], Bears("prepare")] = Field(
        min_length=1, description="The datasets, each an entry; names must be unique."
    )
    rows_per_shard: int = Field(
        default=2048, ge=1, description="Records of a source that one Parquet shard is made of, at most."
    )
    min_frames: int = Field(default=2, ge=1, description="A video with fewer decodable frames is rejected.")
    max_reject_share: Annotated[float, Bears("prepare")] = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Refuse to finish if more than this share of a source is rejected.",
    )
    bake: BakeConfig | None = Field(
        default=None, description="Write the frames that samples need beside them; null: videos by reference."
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
                    f"sources {other} and {name} would both write data/{file_stem(name)}-00000.parquet; "
                    "rename one of them"
                )
        return self
