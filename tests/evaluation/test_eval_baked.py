"""Evaluation and report from baked frames alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_bench import (
    BROKEN,
    FRAMES,
    HEIGHT,
    PER_SOURCE,
    SOURCES,
    WIDTH,
    flawless,
    make_plan,
    write_checkpoint,
    write_dataset,
)

from evaluation.answer_store import AnswerStore
from evaluation.asking import entry_items
from evaluation.checkpoint import ScoredCheckpoint
from evaluation.frames import Frames
from evaluation.prediction import Prediction
from evaluation.predictor import Predictor
from evaluation.preparing import Request
from evaluation.report import examples
from evaluation.setup import Setup
from evaluation.work import units
from evaluation.worker import Worker
from pipeline.dataset.reader import ShardReader
from pipeline.errors import UserError
from pipeline.media.frame_choice import frames_to_segment
from pipeline.plan.data import BakeConfig
from pipeline.records import masks
from pipeline.records.sample import Sample
from pipeline.storage.location import Location
from tests.baking import baked_copy
from training.model.processor import View

SEG = "bench/mevis"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same samples four times, ``data`` by reference to videos and three baked; and a toy checkpoint."""
    root = tmp_path_factory.mktemp("bench")
    plain = write_dataset(root)
    for name, bake in (
        ("baked", BakeConfig(frames=8)),
        ("small", BakeConfig(frames=8, longest_side=40)),
        ("other", BakeConfig(frames=4)),
    ):
        baked_copy(plain, root / name, bake)
    write_checkpoint(root / "checkpoint")
    return root


def reader_of(home: Path, name: str) -> ShardReader:
    return ShardReader(Location.parse(home / name))


def first_samples(reader: ShardReader) -> list[Sample]:
    return [reader.sample(source, 0) for source in SOURCES]


def predictor(home: Path, reader: ShardReader) -> Predictor:
    return Predictor(
        home / "checkpoint" / "model",
        home / "checkpoint" / "tokenizer",
        footage=reader.footage,
        max_new_tokens=4,
        seed=1,
        use_gpu=False,
    )


def test_baked_frames_give_readable_answers_and_nearly_the_masks_of_videos(home: Path) -> None:
    answers: dict[str, list[Prediction]] = {}
    predicted_masks: dict[str, np.ndarray] = {}
    for name in ("data", "baked", "small"):
        reader = reader_of(home, name)
        model = predictor(home, reader)
        answers[name] = model.predict([Request(sample=s, turns=s.turns) for s in first_samples(reader)])
        seg = reader.sample(SEG, 0)
        frames = Frames(reader.footage(seg), {view: model.processor.side(view) for view in View})
        embedding = torch.linspace(-1, 1, model.model.config.sam2.hidden_dim)[None]
        indices, height, width = frames_to_segment(seg)
        (track,) = model.segment(frames, embedding, indices, (height, width))
        # Masks have the video's size and every scored frame, whatever the size of the baked frames.
        assert (track.height, track.width, track.frames) == (HEIGHT, WIDTH, tuple(range(FRAMES)))
        predicted_masks[name] = masks.decode_many(track.counts, HEIGHT, WIDTH)
    for name in ("baked", "small"):
        assert [(p.key, p.failure) for p in answers[name]] == [(p.key, None) for p in answers["data"]]
    assert (predicted_masks["baked"] != predicted_masks["data"]).mean() < 0.1


def test_a_worker_predicts_and_scores_without_a_video(home: Path, tmp_path: Path) -> None:
    reader = reader_of(home, "baked")
    assert reader.manifest.source(SEG).media == ("/nowhere",)
    assert reader.count(SEG) == PER_SOURCE - 1, f"sample {BROKEN} does not decode"
    config = make_plan(tmp_path).evaluation
    assert config is not None

    def worker(name: str) -> Worker:
        return Worker(
            Setup(
                config=config,
                checkpoint=ScoredCheckpoint.in_folder(Location.parse(home / "checkpoint")),
                dataset=Location.parse(home / name),
                store=AnswerStore.at(Location.parse(tmp_path), {"data": name}),
                seed=1,
            )
        )

    for bench in config.benchmarks:
        (unit,) = units(entry_items(reader, bench, 1)[:2])
        done = worker("baked").answer(unit)
        assert set(done.stored[bench.source]) == {item.name for item in unit.items}
        assert done.unreadable == ()
        with pytest.raises(UserError, match=r"models that look at 4 of a video; this one looks at 8"):
            worker("other").answer(unit)


def test_the_report_shows_as_many_pictures_as_from_videos(home: Path, tmp_path: Path) -> None:
    evaluation = make_plan(tmp_path).evaluation
    assert evaluation is not None
    benchmarks = {b.source: b for b in evaluation.benchmarks}
    drawn: dict[str, list[tuple[int, int, int]]] = {}
    for name in ("data", "baked", "small"):
        reader = reader_of(home, name)
        made = []
        for sample in first_samples(reader):
            text, tracks = flawless(sample)
            answer = Prediction(
                key=sample.key,
                source=sample.dataset,
                text=text,
                spans=sample.spans,
                masks=tracks,
                failure=None,
            )
            given = examples.Given(prediction=answer, score=None)
            page = examples.example(reader, benchmarks[sample.dataset], sample, {"one": given})
            assert page.problem == ""
            shown = [p.alt for p in page.answers[0].pictures]
            lost = [alt for alt in shown if "object shows" in alt and "no predicted mask" in alt]
            assert not lost, "no mask is left out for its size"
            made.append((len(page.pictures), len(shown), sum("1 predicted mask" in a for a in shown)))
        drawn[name] = made
    assert sum(p + q for p, q, _ in drawn["data"]) > 20
    assert drawn["baked"] == drawn["small"] == drawn["data"]
