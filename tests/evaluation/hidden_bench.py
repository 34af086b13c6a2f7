"""MeViS valid and Refer-YouTube-VOS valid, tiny: files without masks, prepared by the real job."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_bench import finished, write_checkpoint

from evaluation.answer_store import Answered, AnswerStore
from evaluation.asking import entry_items
from evaluation.prediction import Prediction
from evaluation.run import answer_settings
from pipeline.artifacts.inputs import storage_root
from pipeline.dataset.manifest import read_manifest
from pipeline.dataset.reader import ShardReader
from pipeline.plan.plan import Plan
from pipeline.records import masks
from pipeline.records.sample import MaskTrack, Sample
from pipeline.storage.location import Location
from tests.datasets_prep.prepare_here import prepare_here

HEIGHT, WIDTH = 20, 30
FAMILIES = {"mevis_valid": "mevis", "ytvos_valid": "ref_youtube_vos"}
FORMATS = {"mevis": "meta_expressions", "ref_youtube_vos": "ref_youtube_vos"}

MEVIS: dict[str, Any] = {
    "0a1b": {
        "frames": ["00000", "00001", "00002"],
        "expressions": {"0": {"exp": "A cat"}, "10": {"exp": "b"}},
    },
    "ff": {"frames": ["00003", "00007"], "expressions": {"2": {"exp": "A cat"}}},
}
YTVOS: dict[str, Any] = {
    "v1": {"frames": ["00000", "00005"], "expressions": {"0": {"exp": "a dog"}, "1": {"exp": "a dog"}}},
    "v2": {"frames": ["7", "12"], "expressions": {"0": {"exp": "the man "}}},  # not padded
    "test1": {"frames": ["00000"], "expressions": {"0": {"exp": "of the test split"}}},
}
NAMES = {
    "mevis_valid": [
        *(f"0a1b/{e}/0000{f}.png" for e in ("0", "10") for f in (0, 1, 2)),
        *(f"ff/2/0000{f}.png" for f in (3, 7)),
    ],
    "ytvos_valid": [
        *(f"Annotations/v1/{e}/0000{f}.png" for e in (0, 1) for f in (0, 5)),
        "Annotations/v2/0/7.png",
        "Annotations/v2/0/12.png",
    ],
}
"""The files that each server expects, written by hand."""


def write_sources(folder: Path) -> None:
    """Stills and the files of expressions, with the videos of test in one file."""
    for name, videos in (("mevis_valid", MEVIS), ("ytvos_valid", YTVOS)):
        for n, (video, entry) in enumerate(videos.items()):
            stills = folder / name / "JPEGImages" / video
            stills.mkdir(parents=True)
            for frame in entry["frames"]:
                picture = np.full((HEIGHT, WIDTH, 3), 40 * n + int(frame) % 9, np.uint8)
                Image.fromarray(picture).save(stills / f"{frame}.jpg")
        (folder / name / "meta_expressions.json").write_text(json.dumps({"videos": videos}))
    test = {"videos": {"test1": YTVOS["test1"]}}
    (folder / "test_meta_expressions.json").write_text(json.dumps(test))


def content(folder: Path, **entry: Any) -> dict[str, Any]:
    """A plan that scores one outside checkpoint; ``entry`` are keys of both benchmarks."""
    sources = [
        {
            "name": name,
            "format": FORMATS[family],
            "use": "benchmark",
            "annotations": str(folder / name / "meta_expressions.json"),
            "media": [str(folder / name)],
            "min_frames": 1,
        }
        for name, family in FAMILIES.items()
    ]
    sources[1]["drop_videos"] = str(folder / "test_meta_expressions.json")
    return {
        "name": "hidden",
        "storage": {"root": str(folder / "runs")},
        "ray": {"num_cpus": 2, "object_store_mb": 100},
        "data": {"sources": sources},
        "evaluation": {
            "checkpoints": [str(folder / "checkpoint")],
            "benchmarks": [{"source": name, "family": family, **entry} for name, family in FAMILIES.items()],
            "max_new_tokens": 8,
            "report_samples": 1,
            "use_gpu": False,
            "cpus_per_actor": 1,
            "torch_threads": 1,
        },
    }


def prepared_reader(folder: Path, plan: Plan) -> ShardReader:
    """Makes the dataset of a plan in this process, and commits it where the plan expects it."""
    from datasets_prep.run import build

    with pytest.MonkeyPatch.context() as patch:
        prepare_here(patch)
        build(plan.data, Location.parse, Location.parse(folder / "data"), plan.seed)
    digest = read_manifest(Location.parse(folder / "data")).digest
    return ShardReader(finished(plan, "prepare", folder / "data", digest).location)


def write_outside_checkpoint(folder: Path) -> None:
    """A toy model as a finished artifact."""
    from answering_checkpoint import record

    from pipeline.artifacts.record import commit_artifact

    write_checkpoint(folder)
    commit_artifact(Location.parse(folder), record("init"))


def mask_of(sample: Sample, frame: int) -> np.ndarray:
    """The mask in the answers: a block [H, W] that depends on the expression's key and the frame."""
    mask = np.zeros((sample.video.height, sample.video.width), np.uint8)
    start = sum(map(ord, sample.key)) % 7
    mask[start : start + 4, frame : frame + 5] = 1
    return mask


def answer(sample: Sample) -> Prediction:
    """One [SEG] with a mask on every frame."""
    frames = tuple(range(sample.video.num_frames))
    counts = tuple(masks.encode(mask_of(sample, f)) for f in frames)
    track = MaskTrack(height=sample.video.height, width=sample.video.width, frames=frames, counts=counts)
    return Prediction(key=sample.key, source=sample.dataset, text="[SEG]", masks=(track,))


def store_answers(
    plan: Plan, reader: ShardReader, answer_to: Callable[[Sample], Prediction | None] = answer
) -> Mapping[str, Sample]:
    """Stores an answer to each question where the evaluation reads it; None is not stored."""
    assert plan.evaluation is not None
    store = AnswerStore.at(storage_root(plan), answer_settings(plan.evaluation, "d" * 64, reader))
    samples = {}
    for bench in plan.evaluation.benchmarks:
        answered = []
        for item in entry_items(reader, bench, plan.seed):
            sample = samples[item.key] = reader.sample(bench.source, item.row)
            if (prediction := answer_to(sample)) is not None:
                answered.append(Answered(question=item.question, prediction=prediction))
        for part in (answered[::2], answered[1::2]):  # a video's answers are in several parts
            if part:
                store.write(bench.source, part)
    return samples
