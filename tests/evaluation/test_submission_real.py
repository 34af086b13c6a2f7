"""The archive of the real Refer-YouTube-VOS valid, name by name; and that no truth reaches a model."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from answering_checkpoint import TEXT, predictor, sample_of
from PIL import Image
from tiny_bench import FRAMES, HEIGHT, WIDTH

from datasets_prep.sources.bases.reader import Files
from datasets_prep.sources.formats.ref_youtube_vos import FORMAT
from evaluation.answer_store import Answered, AnswerStore
from evaluation.asking import entry_items
from evaluation.benchmarks import benchmark_of
from evaluation.predict.clip import open_clip
from evaluation.prediction import Prediction
from evaluation.preparing import Request
from evaluation.submission.export import Export, Submission
from evaluation.submission.layout import Layout
from pipeline.dataset.arrow import to_table
from pipeline.dataset.manifest import SourceEntry, make_manifest, write_manifest
from pipeline.dataset.reader import ShardReader
from pipeline.dataset.writer import write_shard
from pipeline.plan.data import SourceConfig, Use
from pipeline.plan.evaluation import BenchmarkConfig
from pipeline.records import masks
from pipeline.records.sample import MaskTrack, Role, Sample, Task, Turn, VideoRef
from pipeline.storage.location import Location
from pipeline.times import temporal

NAME = "bench/ytvos"  # a source's name may hold a slash
SIZE = (4, 6)


def real_samples(meta: Path, keep: Path | None = None) -> Iterator[Sample]:
    """The samples that preparation would make, with frames of 4 x 6 pixels."""
    source = SourceConfig(
        name=NAME, format="ref_youtube_vos", use=Use.BENCHMARK, annotations=str(meta), media=("m",),
        keep_videos=str(keep) if keep else None,
    )  # fmt: skip
    for record in FORMAT.reader.records(source, Files(annotations=meta, keep_videos=keep)):
        if record.left_out:
            continue
        (draft,) = FORMAT.reader.convert(record, source, 1)
        video = VideoRef(
            path=draft.media.candidates[-1],  # below JPEGImages
            frames=tuple(f"{frame}.jpg" for frame in draft.media.frames),
            num_frames=len(draft.media.frames),
            height=SIZE[0],
            width=SIZE[1],
            sha256="a" * 64,
        )
        turns = tuple(Turn(role=turn.role, text=turn.text) for turn in draft.turns)
        yield Sample(
            key=record.key,
            dataset=NAME,
            task=Task.SEGMENT,
            video=video,
            turns=turns,
            expression=draft.expression,
        )


def exported_archive(folder: Path, samples: list[Sample]) -> tuple[Submission, zipfile.ZipFile, Export]:
    data, count = Location.parse(folder / "data"), len(samples)
    shard = write_shard(data, NAME, 0, to_table(samples))
    counts = {"read": count, "kept": count, "rejected": 0, "not_selected": 0, "rejects": {}}
    entry = SourceEntry.model_validate({"name": NAME, "use": Use.BENCHMARK, "media": ("m",), **counts})
    write_manifest(data, make_manifest([shard], [entry], 4096))
    reader, config = ShardReader(data), BenchmarkConfig(source=NAME, family="ref_youtube_vos")
    layout = benchmark_of("ref_youtube_vos").submission
    assert layout is not None
    items = entry_items(reader, config, 1)
    assert all(item.hidden for item in items)
    export = Export.of(config, layout, reader, items)
    store = AnswerStore.at(Location.parse(folder), {})
    answers = []
    for item, sample in zip(items, samples, strict=True):
        mask = np.zeros(SIZE, np.uint8)
        mask[0, 0] = 1
        frames = tuple(range(sample.video.num_frames))
        track = MaskTrack(
            height=SIZE[0], width=SIZE[1], frames=frames, counts=(masks.encode(mask),) * len(frames)
        )
        made = Prediction(key=sample.key, source=NAME, text="[SEG]", masks=(track,))
        answers.append(Answered(question=item.question, prediction=made))
    index = {}
    for at in range(0, len(answers), 256):
        index |= store.write(NAME, answers[at : at + 256])
    made = export.write(Location.parse(folder), reader, store, index, [])
    return made, zipfile.ZipFile(io.BytesIO((folder / made.file).read_bytes())), export


def test_the_archive_has_every_mask_of_the_real_file(realdata: Path, tmp_path: Path) -> None:
    meta = realdata / "ref_youtube_vos_valid_meta" / "meta_expressions.json"
    made, archive, export = exported_archive(tmp_path, list(real_samples(meta)))
    expected = {
        f"Annotations/{video}/{expression}/{frame}.png"
        for video, entry in json.loads(meta.read_bytes())["videos"].items()
        for expression in entry["expressions"]
        for frame in entry["frames"]
    }
    names = archive.namelist()
    assert len(names) == len(expected) == made.masks
    assert set(names) == expected
    assert names == list(export.paths())
    assert (made.videos, made.expressions, made.complete) == (507, 2096, False)
    assert "drop_videos" in made.about
    for name in names[:: len(names) // 50]:
        picture = Image.open(io.BytesIO(archive.read(name)))
        assert (picture.mode, picture.size) == ("L", (SIZE[1], SIZE[0]))
        assert sorted(set(np.asarray(picture).ravel().tolist())) == [0, 255]


def test_keep_videos_limits_the_archive_to_its_list(realdata: Path, tmp_path: Path) -> None:
    """The list of the 202 is not public here; any list of names works in the same way."""
    meta = realdata / "ref_youtube_vos_valid_meta" / "meta_expressions.json"
    videos = json.loads(meta.read_bytes())["videos"]
    kept = sorted(videos)[:5]
    (tmp_path / "keep.txt").write_text("\n".join(kept))
    made, archive, _ = exported_archive(tmp_path, list(real_samples(meta, tmp_path / "keep.txt")))
    assert {name.split("/")[1] for name in archive.namelist()} == set(kept)
    assert made.expressions == sum(len(videos[video]["expressions"]) for video in kept)


def test_a_submission_is_complete_with_all_videos_and_expressions() -> None:
    for family, size in (("ref_youtube_vos", (202, 834)), ("mevis", (140, 2236))):
        layout = benchmark_of(family).submission
        assert isinstance(layout, Layout)
        assert layout.is_complete(*size)
        assert not layout.is_complete(size[0], size[1] - 1)


def tracks(value: int) -> tuple[MaskTrack, ...]:
    counts = (masks.encode(np.full((HEIGHT, WIDTH), value, np.uint8)),) * FRAMES
    return (MaskTrack(height=HEIGHT, width=WIDTH, frames=tuple(range(FRAMES)), counts=counts),)


def test_no_truth_reaches_the_model(home: Path) -> None:
    """A model that saw masks, spans, the answer or the reference would answer each sample differently."""
    clip = open_clip(home / "clip.mp4")
    model = predictor(home / "checkpoint", clip.footage)
    hidden = replace(sample_of(clip), expression="the square")
    answer_turn = Turn(role=Role.ASSISTANT, text="It is [SEG].")
    span = temporal.span(0.5, 2.0, 2.0)
    truths: list[dict[str, Any]] = [
        {},
        {"targets": tracks(0), "turns": (*hidden.turns, answer_turn)},
        {
            "targets": tracks(1),
            "turns": (*hidden.turns, answer_turn),
            "reference": "a red square",
            "spans": (span,),
        },
        {"answer_index": 1, "category": "referring", "reference": "nothing"},
    ]
    found = []
    for truth in truths:
        sample = replace(hidden, **truth)
        (made,) = model.predict([Request(sample=sample, turns=hidden.turns)])
        found.append(made)
    assert all(made == found[0] for made in found)
    assert isinstance(found[0], Prediction)
    assert found[0].text == TEXT
    (track,) = found[0].masks
    assert track.frames == tuple(range(FRAMES)), "a mask on every frame that the server expects"
    assert (track.height, track.width) == (HEIGHT, WIDTH)
