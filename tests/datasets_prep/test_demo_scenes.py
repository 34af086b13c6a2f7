"""Scenes are functions of their names, and their masks agree with their fields."""

from __future__ import annotations

import numpy as np
import pytest

from datasets_prep.demo.mvbench import TASKS
from datasets_prep.demo.native_masks import compressed, polygon_dict, uncompressed
from datasets_prep.demo.render import render, visible_masks
from datasets_prep.demo.rng import Deck
from datasets_prep.demo.scene import RGB, Motion, Scene
from datasets_prep.demo.staging import derive_scene, train_scenes
from pipeline.plan.demo import DemoConfig

CONFIG = DemoConfig()


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return train_scenes(CONFIG, 60)


def test_a_scene_depends_on_its_name_and_seed_alone(scenes: list[Scene]) -> None:
    backwards = [derive_scene(CONFIG, scene.name) for scene in reversed(scenes)]
    assert backwards[::-1] == scenes
    assert derive_scene(CONFIG.model_copy(update={"seed": 8}), scenes[0].name).objects != scenes[0].objects
    assert len({scene.objects for scene in scenes}) == len(scenes)


def test_scenes_vary_as_much_as_the_settings_say(scenes: list[Scene]) -> None:
    assert {len(scene.objects) for scene in scenes} == {1, 2, 3}
    assert len({(scene.width, scene.height) for scene in scenes}) >= 4
    assert len({scene.fps for scene in scenes}) == 4
    for scene in scenes:
        assert 3.9 <= scene.duration <= 20.1
        assert len({item.colour for item in scene.objects}) == len(scene.objects)
        assert scene.events, "every scene has something to ask about time"


def test_events_are_long_enough_for_eight_frames(scenes: list[Scene]) -> None:
    for scene in scenes:
        for item in scene.events:
            assert 0.2 <= (item.end_frame - item.first_frame) / scene.frames <= 0.55
            grid = [item.first_frame * 8 / scene.frames, item.end_frame * 8 / scene.frames]
            assert np.allclose(grid, np.round(grid), atol=8 / scene.frames)


def test_objects_are_visible_in_exactly_the_frames_of_their_presence(scenes: list[Scene]) -> None:
    for scene in scenes[:25]:
        for index, item in enumerate(scene.objects):
            seen = [int(visible_masks(scene, f)[index].sum()) for f in range(0, scene.frames, 3)]
            shows = [item.shows_in(f) for f in range(0, scene.frames, 3)]
            area = np.pi * item.radius**2
            assert [count > 0 for count in seen] == shows
            assert min(count for count, there in zip(seen, shows, strict=True) if there) > 0.6 * area
            assert max(seen) < 1.1 * area


def test_masks_move_as_the_motion_of_their_object_says(scenes: list[Scene]) -> None:
    moved = 0
    for scene in scenes:
        for item in scene.objects:
            alone = scene_of(scene, item)
            first = centroid(visible_masks(alone, item.first_frame)[0])
            last = centroid(visible_masks(alone, item.end_frame - 1)[0])
            dx, dy = last[0] - first[0], last[1] - first[1]
            expected = {
                Motion.REST: abs(dx) < 0.5 and abs(dy) < 0.5,
                Motion.LEFT: dx < -0.15 * scene.width and abs(dy) < 1,
                Motion.RIGHT: dx > 0.15 * scene.width and abs(dy) < 1,
                Motion.UP: dy < -0.15 * scene.height and abs(dx) < 1,
                Motion.DOWN: dy > 0.15 * scene.height and abs(dx) < 1,
            }
            assert expected[item.motion], (scene.name, item.name, item.motion, dx, dy)
            moved += item.moves
    assert moved > 20


def test_masks_share_no_pixel_and_cover_their_objects_colour(scenes: list[Scene]) -> None:
    for scene in scenes[:20]:
        pixels, masks = render(scene, scene.frames // 2)
        assert masks.sum(axis=0).max() <= 1
        assert pixels.shape == (scene.height, scene.width, 3)
        background = pixels[~masks.any(axis=0)].astype(int)
        assert 80 <= background.min() <= background.max() <= 160
        assert np.ptp(background, axis=1).max() <= 40  # grey: no channel stands out, as in every colour
        for item, mask in zip(scene.objects, masks, strict=True):
            assert (pixels[mask] == RGB[item.colour]).all()


def test_native_mask_formats_encode_the_same_pixels(scenes: list[Scene]) -> None:
    from pycocotools import mask as coco

    compared = 0
    for scene in scenes[:20]:
        frame = scene.objects[0].first_frame
        mask = visible_masks(scene, frame)[0]
        assert (coco.decode(compressed(mask)).astype(bool) == mask).all()
        runs = coco.frPyObjects(uncompressed(mask), scene.height, scene.width)
        assert (coco.decode(runs).astype(bool) == mask).all()
        polygon = polygon_dict(scene, 0, frame)
        if polygon:
            drawn = coco.frPyObjects(polygon[str(frame)]["segmentation"], scene.height, scene.width)
            other = coco.decode(coco.merge(drawn)).astype(bool)
            assert (other & mask).sum() / (other | mask).sum() > 0.85
            compared += 1
    assert compared > 5


def test_a_deck_deals_every_value_equally_often() -> None:
    deck = Deck(1, "x")
    dealt = [deck.deal(4) for _ in range(40)]
    assert [dealt.count(v) for v in range(4)] == [10] * 4
    assert dealt != sorted(dealt)


def test_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match="raise colours"):
        DemoConfig(colours=3, max_objects=3)
    with pytest.raises(ValueError, match="event_grid"):
        DemoConfig(event_grid=3)
    with pytest.raises(ValueError, match="extra"):
        DemoConfig.model_validate({"vidoes": 3})
    assert DemoConfig(mvbench_items=len(TASKS)).mvbench_items == len(TASKS)


def scene_of(scene: Scene, item: object) -> Scene:
    """The same video with only this object, so that nothing hides a part of it."""
    from dataclasses import replace

    return replace(scene, objects=(item,))  # type: ignore[arg-type]


def centroid(mask: np.ndarray) -> tuple[float, float]:
    y, x = np.nonzero(mask)
    return float(x.mean()), float(y.mean())
