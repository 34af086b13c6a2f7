"""The first clip of the demo shows the objects that the README asks about."""

from __future__ import annotations

import re
from pathlib import Path

from datasets_prep.demo.corpora import build_corpora
from datasets_prep.demo.scene import Colour, Shape
from pipeline.plan.load import load_plan

REPO = Path(__file__).resolve().parents[2]


def test_the_clip_shows_the_objects_times_and_box_of_the_readme():
    """Catches questions about an object that the clip does not have, and a box around nothing."""
    demo = load_plan(str(REPO / "plans" / "demo.yaml")).demo
    assert demo is not None
    corpus = next(c for c in build_corpora(demo) if c.name == "videorefer")
    scene = min((path, scene) for scene, path in corpus.videos if path.endswith(".mp4"))[1]
    text = (REPO / "README.md").read_text(encoding="utf-8").partition("## Ask a checkpoint")[2]
    text = text.partition("## Your own data")[0]
    things = re.findall(rf"(?:{'|'.join(Colour)}) (?:{'|'.join(Shape)})", text)
    assert set(things) == {"red circle", "yellow square"}
    by_name = {item.name: item for item in scene.objects}
    start, end = scene.span(by_name["red circle"])
    assert f"a red circle rests from {start:g} to {end:g} s" in text
    assert f"of {scene.duration:g} s and {scene.width} × {scene.height} pixels" in text
    assert f"of {scene.frames} segmented frames" in text
    seconds, *corners = map(float, re.search(r"--box ([\d.]+)s:(\d+),(\d+),(\d+),(\d+)", text).groups())
    frame = int(seconds * float(scene.fps))
    square = by_name["yellow square"]
    assert [item.name for item in scene.objects if item.shows_in(frame)] == ["yellow square"]
    x, y = square.centre(frame)
    half = square.half_box
    for given, true in zip(corners, (x - half, y - half, x + half, y + half), strict=True):
        assert abs(given - true) < 2
