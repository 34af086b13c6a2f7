"""Annotations, media and shards on S3 give the bytes of a local preparation, even while the server fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets_prep import run
from pipeline.dataset.manifest import Manifest
from pipeline.dataset.reader import ShardReader
from pipeline.plan.data import PrepConfig, SourceConfig
from pipeline.records import masks
from pipeline.storage.location import Location
from tests.datasets_prep.clips import HEIGHT, WIDTH, write_clip, write_folder
from tests.pipeline.faulty_s3 import Fault, Plan, faulty, hasten

pytestmark = [pytest.mark.usefixtures("without_ray"), pytest.mark.slow]
SEED = 11


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sources, with odd names, a broken record, a broken and a missing video."""
    root = tmp_path_factory.mktemp("raw")
    for name in ("deep/a b.mp4", "ü 100%25_0:01:02.mp4", "c+d@e#f?.mp4"):
        write_clip(root / "media" / name)
    (root / "media" / "broken.mp4").write_bytes(b"nothing")
    write_folder(root / "media" / "stills", frames=4)
    turns = [{"from": "human", "value": "Q?"}, {"from": "gpt", "value": "A"}]
    names = ["deep/a b.mp4", "ü 100%25_0:01:02.mp4", "c+d@e#f?.mp4", "broken.mp4", "gone.mp4", "stills"]
    rows = [{"video": name, "conversations": turns} for name in [*names, *names[:3]]]
    for part in ("one", "deep/two"):
        place = root / "anno" / f"{part}.json"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps([*rows, {"video": 3}]))
    (root / "anno" / "notes.json").write_text("[]")
    mask = {"size": [HEIGHT, WIDTH], "counts": masks.encode(np.eye(HEIGHT, WIDTH, dtype=np.uint8))}
    meta = {"frames": [f"{n:05d}" for n in range(4)], "expressions": {"0": {"exp": "it", "anno_id": [5]}}}
    (root / "seg").mkdir()
    (root / "seg" / "meta_expressions.json").write_text(json.dumps({"videos": {"stills": meta}}))
    (root / "seg" / "mask_dict.json").write_text(json.dumps({"5": [mask, None, mask, None]}))
    return root


def prepare(root: Location, out: Location) -> Manifest:
    sources: list[dict[str, Any]] = [
        {"name": "qa", "format": "llava_video", "annotations": "anno", "files": ["one.json", "deep/*.json"]},
        {"name": "seg", "format": "meta_expressions", "annotations": "seg"},
    ]
    configs = [SourceConfig.model_validate({**s, "media": ["nowhere", "media"]}) for s in sources]

    def resolve(path: str) -> Location:
        return root / path

    return run.build(PrepConfig(sources=tuple(configs), rows_per_shard=5), resolve, out, SEED)


@pytest.mark.parametrize(
    "faults", [(), (Fault.SLOW_DOWN, Fault.DROPPED)], ids=["healthy server", "failing server"]
)
def test_preparation_on_s3_gives_the_same_bytes_as_on_disk(
    raw: Path,
    s3_bucket: str,
    s3_server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    faults: tuple[Fault, ...],
) -> None:
    local = prepare(Location.parse(raw), Location.parse(tmp_path / "local"))
    remote = Location.parse(f"{s3_bucket}/raw", tmp_path / "cache")
    remote.put_dir(raw)
    hasten(monkeypatch)
    plan = Plan(faults, len(faults))
    with faulty(s3_server, plan) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        out = Location.parse(f"{s3_bucket}/made", tmp_path / "cache")
        made = prepare(remote, out)
        assert (made.digest, made.shards) == (local.digest, local.shards)
        qa, seg = made.sources
        assert (qa.read, qa.kept, qa.rejects) == (
            20,
            14,
            {"malformed": 2, "media_missing": 2, "media_unreadable": 2},
        )
        assert (seg.read, seg.kept) == (1, 1)
        for name in ("rejects.pq", *(shard.name for shard in made.shards)):
            assert (out / name).read_bytes() == (tmp_path / "local" / name).read_bytes(), name
        reader = ShardReader(out)
        reader.verify()
        assert reader.media(reader.sample("qa", 1)).uri == f"{remote.uri}/media/ü 100%25_0:01:02.mp4"
        assert sorted(f.name for f in out.list()) == sorted(p.name for p in (tmp_path / "local").iterdir())
    assert bool(plan.failed) == bool(faults)
