"""Requests of preparation to an S3 server: one GET for each video, and few for listings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from datasets_prep import run
from pipeline.plan.data import PrepConfig, SourceConfig
from pipeline.storage.location import Location
from tests.datasets_prep.clips import write_clip
from tests.pipeline.counting_s3 import counted

pytestmark = pytest.mark.usefixtures("without_ray")
VIDEOS = 60
MOST_REQUESTS = 1.2  # for each video


@pytest.mark.parametrize(
    ("roots", "bake"),
    [
        (1, False),
        (4, False),
        pytest.param(12, False, marks=pytest.mark.slow),
        pytest.param(4, True, marks=pytest.mark.slow),
    ],
)
def test_preparation_needs_little_more_than_one_request_for_each_video(
    roots: int, bake: bool, s3_bucket: str, s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails if existence, size or type of each video takes a request of its own, or one for each folder."""
    clip = write_clip(tmp_path / "clip.mp4", frames=4).read_bytes()
    media = [f"media{n}" for n in range(roots)]
    store = Location.parse(s3_bucket, tmp_path / "cache")
    turns = [{"from": "human", "value": "Q?"}, {"from": "gpt", "value": "A"}]
    names = [f"part{n % 3}/video {n:03d}.mp4" for n in range(VIDEOS)]
    for n, name in enumerate(names):
        (store / media[n % roots] / name).write_bytes(clip + n.to_bytes(4, "big"))
    annotations = tmp_path / "turns.json"
    annotations.write_text(json.dumps([{"video": name, "conversations": turns} for name in names]))
    source = {"name": "qa", "format": "llava_video", "annotations": str(annotations), "media": media}
    config = PrepConfig(
        sources=(SourceConfig.model_validate(source),), **({"bake": {"frames": 2}} if bake else {})
    )

    def resolve(path: str) -> Location:
        return store / path if path.startswith("media") else Location.parse(path)

    with counted(s3_server) as (url, requests):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        manifest = run.build(config, resolve, Location.parse(tmp_path / "out"), 7)
    assert manifest.sources[0].kept == VIDEOS
    gets = [r for r in requests if r.startswith("GET ") and ".mp4" in r]
    assert len(gets) == len(set(gets)) == VIDEOS
    assert len(requests) <= MOST_REQUESTS * VIDEOS, requests[:5]
