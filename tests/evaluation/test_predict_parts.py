"""Regions as masks, the overlay's drawing, frames that stream, and the mask settings of evaluation."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from answering_checkpoint import ANSWER_TOKENS, TEXT, write_answering_checkpoint
from PIL import Image
from tiny_bench import HEIGHT, WIDTH, make_plan, write_dataset

from evaluation.answer_store import AnswerStore
from evaluation.asking import entry_items
from evaluation.checkpoint import ScoredCheckpoint
from evaluation.frames import Frames, pictures
from evaluation.predict.overlay import OBJECT_COLOURS, SPAN_COLOUR, _Encoder, painted
from evaluation.predict.pointing import region_track
from evaluation.predict.question import frames_to_segment
from evaluation.run import answer_settings
from evaluation.setup import Setup
from evaluation.work import units
from evaluation.worker import Worker
from pipeline.dataset.reader import ShardReader
from pipeline.errors import UserError
from pipeline.media.footage import VideoFootage
from pipeline.media.pointing import Box, MaskFile, Point, Region
from pipeline.media.video import VideoError, probe
from pipeline.page.pictures import Colour
from pipeline.plan.evaluation import SegState
from pipeline.records.masks import decode, encode
from pipeline.records.sample import MaskTrack, Role, Sample, Task, Turn, VideoRef
from pipeline.storage.location import Location
from pipeline.times import temporal
from pipeline.times.frame_times import FrameTimes
from training.model.processor import View, decode_views
from training.model.propagation import prompted_frames
from training.model.regions import on_grid

VIDEO = VideoRef(path="clip.mp4", num_frames=20, fps=10, duration_s=2.0, height=100, width=180)
GRID = 27


def mask_of(region: Region, video: VideoRef = VIDEO, grid: int = GRID) -> np.ndarray:
    track = region_track(region, video, grid)
    return decode(track.counts[0], track.height, track.width)


def test_a_box_covers_the_pixels_between_its_edges() -> None:
    """Catches x and y that are swapped, and an edge that is off by one."""
    expected = np.zeros((100, 180), np.uint8)
    expected[20:50, 30:90] = 1
    np.testing.assert_array_equal(mask_of(Box(3, 30, 20, 90, 50)), expected)
    np.testing.assert_array_equal(mask_of(Box(3, 0, 0, 180, 100)), np.ones((100, 180), np.uint8))


def test_a_frame_may_be_a_number_or_a_time() -> None:
    """Catches seconds that are taken for frames."""
    assert region_track(Point(7, 50, 50), VIDEO, GRID).frames == (7,)
    assert region_track(Point("0.75s", 50, 50), VIDEO, GRID).frames == (7,)
    uneven = replace(VIDEO, num_frames=3, frame_starts_s=(0.0, 0.1, 1.5))
    assert region_track(Point("1.2 s", 50, 50), uneven, GRID).frames == (1,)


@pytest.mark.parametrize("grid", [4, 14, 27])
@pytest.mark.parametrize("size", [(100, 180), (1080, 1920), (720, 405)])
def test_a_point_is_never_too_small_for_the_model(grid: int, size: tuple[int, int]) -> None:
    """Catches a smaller radius: at every position of the point its disc has to cover a patch."""
    video = replace(VIDEO, height=size[0], width=size[1])
    rng = np.random.default_rng(0)
    spots = [(0, 0), (size[1] - 1, size[0] - 1), *rng.integers(0, (size[1], size[0]), (8, 2)).tolist()]
    spots += [(size[1] / grid, size[0] / grid)]  # where four patches meet
    for x, y in spots:
        mask = mask_of(Point(0, x, y), video, grid)
        assert on_grid(torch.from_numpy(mask)[None], grid).any()
        radius = np.hypot(*size) / (2 * grid) + 1
        rows, columns = np.nonzero(mask)
        assert np.hypot(rows - y, columns - x).max() <= radius


def test_mask_files_of_every_kind_give_the_same_mask(tmp_path: Path) -> None:
    """Catches an alpha channel or palette indices that are taken for the mask."""
    inside = np.zeros((100, 180), bool)
    inside[40:90, 20:70] = True
    colour = np.zeros((100, 180, 3), np.uint8)
    colour[inside] = (200, 0, 0)
    opaque = np.dstack([colour, np.full((100, 180), 255, np.uint8)])
    palette = Image.fromarray(inside.astype(np.uint8), mode="P")
    palette.putpalette([0, 0, 0, 0, 0, 0])  # two blacks, as label images have any colours
    inverse = Image.fromarray((~inside).astype(np.uint8), mode="P")
    inverse.putpalette([255, 255, 255, 0, 0, 0])  # white first, as some programs reduce two colours
    made = {
        "bit": Image.fromarray(inside),
        "grey": Image.fromarray(inside.astype(np.uint8) * 255),
        "colour": Image.fromarray(colour),
        "opaque": Image.fromarray(opaque),
        "palette": palette,
        "inverse": inverse,
        "inks": Image.fromarray(colour).convert("CMYK"),
    }
    for name, image in made.items():
        file = tmp_path / f"{name}.{'tiff' if name == 'inks' else 'png'}"
        image.save(file)
        found = mask_of(MaskFile(0, str(file)))
        np.testing.assert_array_equal(found, inside.astype(np.uint8), err_msg=name)
    made["grey"].resize((90, 50)).save(tmp_path / "small.png")
    Image.new("L", (180, 100)).save(tmp_path / "black.png")
    (tmp_path / "text.png").write_text("no image")
    Image.new("1", (20_000, 20_000)).save(tmp_path / "huge.png")
    for name, message in (
        ("small", "is 90x50, the video 180x100"),
        ("black", "is empty"),
        ("huge", "is larger than any video"),
        ("text", "not a readable image"),
        ("gone", "does not exist"),
    ):
        with pytest.raises(UserError, match=message):
            mask_of(MaskFile(0, str(tmp_path / f"{name}.png")))


@pytest.mark.parametrize(
    ("region", "message"),
    [
        (Box(0, -1, 0, 10, 10), "extends beyond the frame, which is 180x100"),
        (Box(0, 100, 0, 181, 10), "extends beyond"),
        (Point(0, 180, 0), "extends beyond"),
        (Point(20, 5, 5), "Choose a frame from 0 to 19"),
        (Point("2.5s", 5, 5), "after the end of a video of 20 frames and 2.00 s"),
        (Box(0, 1, 1, 2, 2), "covers none of the 27 x 27 patches"),
    ],
)
def test_regions_that_the_model_cannot_see_are_refused(region: Region, message: str) -> None:
    """Catches clamping, and a region that would give the model only zeros."""
    with pytest.raises(UserError, match=message):
        mask_of(region)


def test_frames_to_segment_are_limited_and_include_those_of_regions() -> None:
    """Catches a default that grows with the video, and regions whose frames are left out."""
    assert frames_to_segment(300, None, ()) == tuple(range(300))
    many = frames_to_segment(9000, None, ())
    assert (len(many), many[0], many[-1]) == (300, 0, 8999)
    assert frames_to_segment(9000, "all", ()) == tuple(range(9000))
    track = region_track(Point(7, 50, 50), VIDEO, GRID)
    assert frames_to_segment(20, 2, (track,)) == (0, 7, 19)
    for wrong in (0, "some"):
        with pytest.raises(UserError, match="not a number of frames"):
            frames_to_segment(20, wrong, ())


def square(top: int, left: int, side: int) -> MaskTrack:
    mask = np.zeros((100, 180), np.uint8)
    mask[top : top + side, left : left + side] = 1
    return MaskTrack(height=100, width=180, frames=(3,), counts=(encode(mask),))


def test_the_overlay_colours_objects_and_nothing_else() -> None:
    """Catches two objects of one colour, and paint on a frame that was not segmented."""
    grey = np.full((100, 180, 3), 100, np.uint8)
    times = FrameTimes.even(20, 2.0)
    drawn = painted(grey, 3, times, [square(10, 10, 20), square(50, 100, 30)], [], [])

    def blend(colour: Colour) -> list[int]:
        return [int(0.55 * 100 + 0.45 * c) for c in colour]

    assert drawn[20, 20].tolist() == blend(OBJECT_COLOURS[0])
    assert drawn[60, 120].tolist() == blend(OBJECT_COLOURS[1])
    assert drawn[10, 15].tolist() == list(OBJECT_COLOURS[0]), "the outline is not blended"
    assert (drawn != 100).any(-1).sum() == 20 * 20 + 30 * 30
    np.testing.assert_array_equal(painted(grey, 4, times, [square(10, 10, 20)], [], []), grey)
    assert (grey == 100).all(), "the decoded frame is not changed"


def test_the_overlay_marks_a_span_while_it_lasts() -> None:
    """Catches a border on all frames or on those next to the span."""
    grey = np.full((100, 180, 3), 100, np.uint8)
    times, span = FrameTimes.even(20, 2.0), temporal.span(0.5, 1.0, 2.0)
    marked = [
        k for k in range(20) if painted(grey, k, times, [], [], [span])[0, 90].tolist() == list(SPAN_COLOUR)
    ]
    assert marked == [5, 6, 7, 8, 9]


# ---------------------------------------------------------------------------------------------- streaming


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> VideoFootage:
    """60 frames of 480 x 640: 55 MB when all are decoded."""
    folder = tmp_path_factory.mktemp("large")
    picture = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    names = tuple(f"{k:02d}.jpg" for k in range(60))
    for k, name in enumerate(names):
        Image.fromarray(np.roll(picture, 10 * k, 1)).save(folder / name)
    ref = VideoRef(path="x", frames=names, num_frames=60, fps=3, duration_s=20, height=480, width=640)
    return VideoFootage(folder, ref)


def test_frames_are_decoded_one_at_a_time(large: VideoFootage) -> None:
    """Catches a video that is decoded at full size as a whole, and pixels other than training's."""
    sides = {View.VISION: 56, View.SAM: 64}
    requested = {View.VISION: [0, 30, 30, 59], View.SAM: list(range(60))}
    turns = (Turn(role=Role.USER, text="x"),)
    sample = Sample(key="a/1", dataset="a", task=Task.QA, video=large.video, turns=turns)
    frames = Frames(large, sides)
    tracemalloc.start()
    found = frames.get(sample, requested)
    each = list(frames.each(View.SAM, range(60)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6, "two frames, and all of them resized"
    expected = decode_views(large, requested, sides)
    assert {view: sorted(found[view]) for view in found} == {
        View.VISION: [0, 30, 59],
        View.SAM: list(range(60)),
    }
    for view, at in expected.items():
        for index, picture in at.items():
            np.testing.assert_array_equal(found[view][index], picture)
    np.testing.assert_array_equal(np.stack(each), np.stack([expected[View.SAM][i] for i in range(60)]))


def test_frames_of_another_size_are_refused(tmp_path: Path) -> None:
    """Catches a frame in the middle that is silently stretched."""
    for k, size in enumerate([(64, 48), (64, 48), (32, 24)]):
        Image.new("RGB", size).save(tmp_path / f"{k}.png")
    ref = VideoRef(path="x", frames=("0.png", "1.png", "2.png"), num_frames=3, fps=3, duration_s=1)
    with pytest.raises(VideoError, match=r"frame 2 is \(24, 32\), others are \(48, 64\)"):
        list(pictures(VideoFootage(tmp_path, ref), [0, 1, 2]))


# ---------------------------------------------------------------------------------------------- [SEG] state


def test_evaluation_takes_the_mask_settings_of_its_plan(tmp_path: Path) -> None:
    """Catches a seg_state of the plan that does not reach the model: with ``published`` this answer has no
    mask. Likewise the number of prompted frames: with one, the other masks are propagated."""
    source = "bench/mevis"
    data = write_dataset(tmp_path)
    reader = ShardReader(data)
    sample = reader.sample(source, 0)
    turns = (Turn(role=Role.USER, text="Please segment the red square in this image."),)
    write_answering_checkpoint(tmp_path / "checkpoint", sample, reader.footage(sample), turns)
    config = make_plan(tmp_path).evaluation
    assert config is not None
    masks = {}
    for name, setting in {
        "default": {},
        "published": {"seg_state": SegState.PUBLISHED},
        "memory": {"prompted_frames": 1},
    }.items():
        setup_config = config.model_copy(update=setting)
        setup = Setup(
            config=setup_config,
            checkpoint=ScoredCheckpoint.in_folder(Location.parse(tmp_path / "checkpoint")),
            dataset=data,
            store=AnswerStore.at(Location.parse(tmp_path), answer_settings(setup_config, "d", reader)),
            seed=1,
        )
        (bench,) = (b for b in config.benchmarks if b.source == source)
        (unit,) = units(entry_items(reader, bench, 1)[:1])
        stored = Worker(setup).answer(unit).stored[source]
        (made,) = setup.store.read(source, stored.values())
        assert made.text == TEXT
        assert made.text.startswith(ANSWER_TOKENS[0])
        masks[name] = made.masks
    (track,), (propagated,) = masks["default"], masks["memory"]
    assert (track.height, track.width) == (HEIGHT, WIDTH)
    assert masks["published"] == ()
    (prompted,) = prompted_frames(len(track.frames), 1)
    assert propagated.frames == track.frames
    assert propagated.counts[prompted] == track.counts[prompted]
    assert propagated.counts != track.counts


def test_frames_a_microsecond_apart_are_all_in_the_overlay(tmp_path: Path) -> None:
    """Catches two frames with the same time in the overlay, whose time base may be the coarser one."""
    with _Encoder(tmp_path / "out.mp4", 64, 64, 30.0) as encoder:
        for number, (start_s, end_s) in enumerate(((0, 3e-6), (3e-6, 6e-6), (6e-6, 0.5), (0.5, 1.0))):
            encoder.add(np.full((64, 64, 3), 60 * number, np.uint8), start_s, end_s)
    info = probe(tmp_path / "out.mp4")
    assert info.num_frames == 4
    assert info.duration_s == pytest.approx(1.0, abs=1e-3)
