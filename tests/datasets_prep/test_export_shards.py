"""A dataset as WebDataset: read back with the `webdataset` package, the same bytes each time. No Ray."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datasets_prep import export, run
from datasets_prep.export import INDEX
from pipeline.artifacts.fingerprint import code_version
from pipeline.artifacts.record import ArtifactRecord, commit_artifact
from pipeline.plan.data import PrepConfig, SourceConfig
from pipeline.records import masks
from pipeline.storage.location import Location
from tests.datasets_prep.clips import picture, write_clip, write_folder
from tests.datasets_prep.prepare_here import prepare_here

POLYGON = [[10, 8, 30, 8, 30, 20, 10, 20]]
RECORDS: list[dict[str, Any]] = [
    {"video": "a.mp4", "question": "When?", "spans": [[0.5, 1.5]]},
    {"video": "b.mp4", "question": "Which?", "options": ["red", "blue"], "answer": "A"},
    {"video": "a.mp4", "question": "Segment it.", "masks": [{"4": POLYGON}]},
]
STILLS = {"video": [f"stills/{n:05d}.jpg" for n in range(6)], "question": "What?", "answer": "A dog."}


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two sources: three questions about two clips, and one about a folder of stills."""
    prepare_here(monkeypatch)
    for name in ("a.mp4", "b.mp4"):
        write_clip(tmp_path / "media" / name)
    write_folder(tmp_path / "media" / "stills")
    sources = []
    for name, records in (("clips", RECORDS), ("stills", [STILLS])):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, records)))
        annotations = str(tmp_path / f"{name}.jsonl")
        entry = {
            "name": name,
            "format": "jsonl",
            "annotations": annotations,
            "media": [str(tmp_path / "media")],
        }
        sources.append(SourceConfig.model_validate(entry))
    out = Location.parse(tmp_path / "dataset")
    manifest = run.build(PrepConfig(sources=tuple(sources)), lambda path: Location.parse(path), out, 1)
    fields = {
        "step": "prepare",
        "kind": "prepare",
        "fingerprint": "f",
        "digest": manifest.digest,
        "created": "",
    }
    counts = {"schema_version": 4, "inputs": {}, "config": {}, "summary": {}, "seconds": 1.0}
    commit_artifact(out, ArtifactRecord.model_validate({**fields, **counts, "code": code_version()}))
    return tmp_path / "dataset"


def read_back(shard: Path) -> list[dict[str, Any]]:
    import webdataset

    return list(webdataset.WebDataset(str(shard), shardshuffle=False).decode())


def index_of(out: Path) -> dict[str, Any]:
    return json.loads((out / INDEX).read_text())


def test_webdataset_reads_videos_with_all_their_samples(dataset: Path, tmp_path: Path):
    out = tmp_path / "out"
    assert export.main([str(dataset), str(out)]) == 0
    first, second = read_back(out / "clips-00000.tar")
    assert first["mp4"] == (dataset.parent / "media" / "a.mp4").read_bytes()
    assert first["json"]["video"]["sha256"] == hashlib.sha256(first["mp4"]).hexdigest()
    when, segment = first["json"]["samples"]
    assert when["key"] == "clips/0"
    assert when["spans"] == [[0.5, 1.5]]
    assert [turn["role"] for turn in when["turns"]] == ["user", "assistant"]
    (target,) = segment["targets"]
    mask = masks.decode(target["counts"][0], *target["size"])
    assert target["frames"] == [4]
    assert np.argwhere(mask).min(axis=0).tolist() == [8, 10]
    (choice,) = second["json"]["samples"]
    assert (choice["choices"], choice["answer_index"]) == (["red", "blue"], 0)
    assert "targets" not in choice  # empty fields are left out

    (stills,) = read_back(out / "stills-00000.tar")
    names = [p["file"] for p in stills["json"]["pictures"]]
    assert names == [f"{n:06d}.jpg" for n in range(6)]
    assert stills[names[3]] == (dataset.parent / "media" / "stills" / "00003.jpg").read_bytes()


def test_the_index_has_sizes_and_digests_and_the_bytes_are_the_same_each_time(dataset: Path, tmp_path: Path):
    for name in ("one", "two"):
        assert export.main([str(dataset), str(tmp_path / name), "--frames", "3"]) == 0
    index = index_of(tmp_path / "one")
    assert index["dataset"] == json.loads((dataset / "record.json").read_text())["digest"]
    for shard in index["shards"]:
        content = (tmp_path / "one" / shard["file"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (shard["bytes"], shard["sha256"])
    assert [(s["source"], s["videos"], s["samples"]) for s in index["shards"]] == [
        ("clips", 2, 3),
        ("stills", 1, 1),
    ]
    one, two = ({p.name: p.read_bytes() for p in (tmp_path / n).iterdir()} for n in ("one", "two"))
    assert one == two


def test_frames_are_those_of_their_times(dataset: Path, tmp_path: Path):
    assert export.main([str(dataset), str(tmp_path / "out"), "--frames", "4", "--source", "clips"]) == 0
    assert [s["source"] for s in index_of(tmp_path / "out")["shards"]] == ["clips"]
    item = read_back(tmp_path / "out" / "clips-00000.tar")[0]
    assert len(item["json"]["pictures"]) == 4
    for shown in item["json"]["pictures"]:
        assert shown["time_s"] == pytest.approx(shown["frame"] / 10)
        found = np.asarray(Image.open(io.BytesIO(item[shown["file"]])))
        assert abs(found.astype(int) - picture(shown["frame"])).max() <= 4


def test_a_shard_ends_at_its_size(dataset: Path, tmp_path: Path):
    made = export.export(Location.parse(dataset), tmp_path / "out", sources=["clips"], shard_bytes=1)
    assert [s["file"] for s in made.shards] == ["clips-00000.tar", "clips-00001.tar"]
    assert [len(read_back(tmp_path / "out" / s["file"])) for s in made.shards] == [1, 1]


def test_videos_that_are_gone_or_others_are_left_out_and_counted(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    media = dataset.parent / "media"
    (media / "a.mp4").unlink()
    (media / "b.mp4").write_bytes((media / "b.mp4").read_bytes()[:-1] + b"x")
    assert export.main([str(dataset), str(tmp_path / "out")]) == 0
    assert index_of(tmp_path / "out")["left_out"] == [
        {"source": "clips", "video": "a.mp4", "samples": 2, "reason": "the video is gone"},
        {"source": "clips", "video": "b.mp4", "samples": 1, "reason": "another file is in the video's place"},
    ]
    assert "left out: 2 videos, listed in index.json; a.mp4: the video is gone" in capsys.readouterr().out
    assert [s["source"] for s in index_of(tmp_path / "out")["shards"]] == ["stills"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--source", "clip"], "Did you mean clips?"),
        (["--frames", "0"], "Give 1 or more"),
        (["--push", "me/data"], "--push: is not for a dataset"),
    ],
)
def test_mistakes_are_told(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], told: str
):
    assert export.main([str(dataset), str(tmp_path / "out"), *options]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert export.main([str(dataset), str(dataset)]) == 2
    assert "is there already" in capsys.readouterr().err
