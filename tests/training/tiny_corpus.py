"""A small prepared dataset with real videos, and a stage of the toy model, for the training tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.dataset.arrow import to_table
from pipeline.dataset.manifest import SourceEntry, make_manifest, write_manifest
from pipeline.dataset.writer import write_shard
from pipeline.media.same_video import head_sha256, whole_sha256
from pipeline.plan.data import Use
from pipeline.plan.layout import LayoutConfig
from pipeline.plan.training import OptimizerConfig, StageConfig
from pipeline.records import masks
from pipeline.records.sample import MaskTrack, Role, Sample, Task, Turn, VideoRef
from pipeline.storage.location import Location
from pipeline.times import temporal

HEIGHT, WIDTH, FRAMES, FPS = 48, 64, 16, 8
COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (40, 60, 230), "yellow": (230, 220, 40)}
VIDEOS = 8


def box(video: int, frame: int) -> tuple[int, int]:
    """Top left corner of the square in a frame."""
    return 4 + 3 * (video % 5), 2 + (3 * frame + 5 * video) % (WIDTH - 20)


def square(video: int, frame: int) -> np.ndarray:
    """Mask [H, W] of the square; absent in the first two frames."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    if frame >= 2:
        top, left = box(video, frame)
        mask[top : top + 16, left : left + 16] = 1
    return mask


def write_video(path: Path, video: int) -> None:
    """A square of one colour that moves to the right, as H.264."""
    import av

    colour = list(COLOURS.values())[video % len(COLOURS)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"crf": "12", "threads": "1"}
        for frame in range(FRAMES):
            picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
            picture[square(video, frame) > 0] = colour
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def track(video: int, frames: Sequence[int]) -> MaskTrack:
    """The square's masks on some frames."""
    counts = tuple(masks.encode(square(video, f)) for f in frames)
    return MaskTrack(height=HEIGHT, width=WIDTH, frames=tuple(frames), counts=counts)


def samples(video: int) -> dict[str, Sample]:
    """One sample of each source for a video."""
    colour = list(COLOURS)[video % len(COLOURS)]
    ref = VideoRef(
        path=f"v{video}.mp4", num_frames=FRAMES, fps=FPS, duration_s=FRAMES / FPS, height=HEIGHT, width=WIDTH
    )

    def make(source: str, task: Task, question: str, answer: str, **more: object) -> Sample:
        turns = (Turn(role=Role.USER, text=question), Turn(role=Role.ASSISTANT, text=answer))
        return Sample(key=f"{source}/{video}", dataset=source, task=task, video=ref, turns=turns, **more)  # type: ignore[arg-type]

    span = temporal.span(0.25, 2.0, 2.0)
    return {
        "qa": make("qa", Task.QA, "What colour is the square?", f"The square is {colour}."),
        "refer": make(
            "refer",
            Task.REFER,
            "What is <region>?",
            f"A {colour} square.",
            regions=(track(video, (3 + video % 4, 9)),),
        ),
        "seg": make(
            "seg",
            Task.SEGMENT,
            f"Segment the {colour} square.",
            f"The {colour} square is [SEG].",
            targets=(track(video, range(FRAMES)),),
        ),
        "when": make(
            "when", Task.TEMPORAL, "When is the square there?", f"In {temporal.write(span)}.", spans=(span,)
        ),
    }


def with_digests(video: VideoRef, media: Path) -> VideoRef:
    """A video with the size and the digests of its file."""
    path = media / video.path
    return replace(
        video,
        size_bytes=path.stat().st_size,
        sha256=whole_sha256(path, ()),
        head_sha256=head_sha256(path, ()),
    )


def write_dataset(
    folder: Path, *, broken: Sequence[int] = (), empty: Sequence[str] = (), hashed: bool = False
) -> Location:
    """Videos and shards of four sources; the videos in ``broken`` are cut off in the middle.

    Every record of the sources in ``empty`` was rejected. ``hashed``: samples have the digests of their
    videos as they are then, cut off or not.
    """
    media, out = folder / "media", Location.parse(folder / "data")
    media.mkdir(parents=True)
    for video in range(VIDEOS):
        write_video(media / f"v{video}.mp4", video)
        if video in broken:
            (media / f"v{video}.mp4").write_bytes((media / f"v{video}.mp4").read_bytes()[:200])
    shards, entries = [], []
    for source in ("qa", "refer", "seg", "when"):
        kept = 0 if source in empty else VIDEOS
        if kept:
            rows = [samples(v)[source] for v in range(VIDEOS)]
            if hashed:
                rows = [replace(row, video=with_digests(row.video, media)) for row in rows]
            shards.append(write_shard(out, source, 0, to_table(rows)))
        entries.append(
            SourceEntry(
                name=source,
                use=Use.TRAIN,
                read=VIDEOS,
                kept=kept,
                rejected=VIDEOS - kept,
                not_selected=0,
                rejects={},
                media=(str(media),),
            )
        )
    write_manifest(out, make_manifest(shards, entries, 2048))
    return out


def stage(**changes: object) -> StageConfig:
    """A stage of the toy model on one CPU worker."""
    layout = {
        "workers": 1,
        "micro_batch": 2,
        "use_gpu": False,
        "cpus_per_worker": 1,
        "loader_threads": 1,
        "precision": "fp32",
        "torch_threads": 1,
        "gradient_checkpointing": False,
        "save_every": 2,
    }
    layout.update(changes.pop("layout", {}))  # type: ignore[call-overload]
    values = {
        "name": "one",
        "global_batch": 4,
        "steps": 4,
        "optimizer": OptimizerConfig(lr=1e-3),
        "layout": LayoutConfig.model_validate(layout),
    }
    return StageConfig.model_validate(values | changes)
