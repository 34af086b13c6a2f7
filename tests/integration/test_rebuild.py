"""``ufvideo verify`` and ``rebuild``: an artifact agrees with its record, or each fault is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from pipeline.artifacts.rebuild import check_inputs, compare, plan_of
from pipeline.artifacts.record import load_artifact
from pipeline.artifacts.survey import survey
from pipeline.artifacts.verify import open_artifact, verify
from pipeline.errors import UserError
from pipeline.plan.load import load_plan
from pipeline.storage.location import Location
from tests.datasets_prep.clips import write_clip
from tests.integration.mini import ufvideo

pytestmark = pytest.mark.slow  # it prepares through the command, with a Ray of its own
PLAN = {
    "name": "small",
    "storage": {"root": "store"},
    "model": {"preset": "toy"},
    "data": {
        "rows_per_shard": 10,
        "sources": [
            {
                "name": "talk",
                "format": "llava_video",
                "annotations": "talk.json",
                "media": ["media"],
                "select": {"count": 15},
            }
        ],
    },
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder in which a small dataset was prepared by the command itself."""
    home = tmp_path_factory.mktemp("rebuild")
    write_clip(home / "media" / "a.mp4")
    turns = [[{"from": "human", "value": f"Q{n}?"}, {"from": "gpt", "value": "A"}] for n in range(25)]
    rows = [{"video": "a.mp4", "conversations": talk} for talk in turns] + [{"video": "gone.mp4"}]
    (home / "talk.json").write_text(json.dumps(rows))
    (home / "small.yaml").write_text(yaml.safe_dump(PLAN))
    done = ufvideo(home, "run", "small.yaml")
    assert done.returncode == 0, done.stderr
    assert "page: card.html" in done.stdout
    return home


def dataset(home: Path) -> Path:
    (found,) = (home / "store" / "prepare").iterdir()
    return found


def copied_dataset(project: Path, tmp_path: Path) -> Path:
    shutil.copytree(project, tmp_path / "copy")
    return dataset(tmp_path / "copy")


def test_an_undamaged_artifact_is_verified(project: Path) -> None:
    done = ufvideo(project, "verify", str(dataset(project)))
    assert done.returncode == 0, done.stderr
    assert f"{dataset(project)} is intact: 2 files, digest " in done.stdout


def test_every_kind_of_damage_is_named(project: Path, tmp_path: Path) -> None:
    place = copied_dataset(project, tmp_path)
    shard = place / "data" / "talk-00001.parquet"
    content = shard.read_bytes()
    shard.write_bytes(content[:-9] + b"x" + content[-8:])
    (place / "data" / "talk-00000.parquet").unlink()
    assert verify(Location.parse(place)).damage == (
        "data/talk-00000.parquet is missing or altered",
        "data/talk-00001.parquet is missing or altered",
    )
    manifest = json.loads((place / "manifest.json").read_text())
    manifest["sources"][0]["kept"] += 1
    manifest["sources"][0]["rejected"] += 1
    (place / "manifest.json").write_text(json.dumps(manifest))
    damage = verify(Location.parse(place)).damage
    assert any(d.startswith("manifest.json says digest") for d in damage)
    assert "rejects.pq has 1 rows, the manifest counts 2" in damage
    done = ufvideo(project, "verify", str(place))
    assert done.returncode == 1
    assert "damaged: data/talk-00000.parquet is missing or altered" in done.stdout
    with pytest.raises(UserError, match=r"holds no finished artifact \(no record.json\)"):
        open_artifact(Location.parse(project / "media"))


def test_the_plan_of_a_record_names_its_inputs_by_absolute_paths(project: Path, tmp_path: Path) -> None:
    found = open_artifact(Location.parse(dataset(project)))
    plan = plan_of(found, Location.parse(tmp_path / "again"))
    (source,) = plan.data.sources
    assert source.annotations == str(project / "talk.json")
    assert source.media == (str(project / "media"),)
    plan_status = survey(plan)
    assert plan_status.fingerprints["prepare"] == found.record.fingerprint, (
        "the plan is that of the same dataset"
    )
    check_inputs(found, plan_status)

    place = Location.parse(copied_dataset(project, tmp_path))
    (project / "talk.json").touch()
    other = load_artifact(place)
    assert other is not None
    text = (project / "talk.json").read_text()
    try:
        (project / "talk.json").write_text(text.replace("Q3?", "Q4?"))
        with pytest.raises(UserError, match=r"data.sources\[talk\].annotations: .*has changed since"):
            check_inputs(other, survey(plan))
    finally:
        (project / "talk.json").write_text(text)


def test_differences_are_named_by_shard(project: Path, tmp_path: Path) -> None:
    found = open_artifact(Location.parse(dataset(project)))
    folder = dataset(project)
    place = tmp_path / "again" / "prepare" / folder.name
    shutil.copytree(folder, place)
    plan = load_plan(str(project / "small.yaml"), [f"storage.root={tmp_path / 'again'}"])
    plan = plan_of(found, Location.parse(tmp_path / "again")).model_copy(update={"storage": plan.storage})
    assert compare(found, plan).differences == ()
    manifest = json.loads((place / "manifest.json").read_text())
    manifest["shards"][0]["sha256"] = "0" * 64
    del manifest["shards"][1]
    (place / "manifest.json").write_text(json.dumps(manifest))
    record = json.loads((place / "record.json").read_text())
    (place / "record.json").write_text(json.dumps(record | {"digest": "f" * 64}))
    differences = compare(found, plan).differences
    rows = manifest["shards"][0]["rows"]
    assert f"data/talk-00000.parquet differs ({rows} rows, made again {rows})" in differences
    assert "data/talk-00001.parquet was not made again" in differences
    assert differences[-1].endswith("made again ffffffffffff")


@pytest.mark.timeout(900)
def test_a_rebuilt_dataset_is_byte_for_byte_the_same(project: Path, tmp_path: Path) -> None:
    place = copied_dataset(project, tmp_path)
    done = ufvideo(project, "rebuild", str(place), "--into", str(tmp_path / "again"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "identical: digest " in done.stdout
    (again,) = (tmp_path / "again" / "prepare").iterdir()
    tables = [p for p in place.rglob("*") if p.suffix in (".parquet", ".pq")]
    assert len(tables) > 2
    for file in (*tables, place / "README.md"):
        assert (again / file.relative_to(place)).read_bytes() == file.read_bytes()
