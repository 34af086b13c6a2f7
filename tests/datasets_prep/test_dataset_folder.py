"""Other tools that are given the folder of a dataset see the samples and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from datasets_prep import run
from datasets_prep.readme import readme
from pipeline.dataset.reader import ShardReader
from pipeline.dataset.rejects import rejects_text
from pipeline.plan.data import BakeConfig, PrepConfig, SourceConfig
from pipeline.storage.location import Location
from tests.datasets_prep.clips import write_clip

SAMPLES = {"bench": 3, "default": 2, "qa": 3}

# ``root`` is the artifact, ``data`` the folder of its samples. Each gives the keys that it found.
TOOLS = {
    "datasets, the artifact": """
import datasets
found = datasets.load_dataset(root, cache_dir=cache)
assert {name: len(split) for name, split in found.items()} == {"train": 5, "test": 3}, found
keys = [key for split in found.values() for key in split["key"]]
one = datasets.load_dataset(root, "qa", split="train", cache_dir=cache)
assert list(one["key"]) == ["qa/0", "qa/1", "qa/2"]
""",
    "datasets": """
import datasets
keys = datasets.load_dataset(data, cache_dir=cache, split="train")["key"]
""",
    "polars": "import polars; keys = polars.read_parquet(data)['key']",
    "polars, the artifact": "import polars; keys = polars.read_parquet(root + '/**/*.parquet')['key']",
    "pandas": "import pandas; keys = pandas.read_parquet(data)['key']",
    "duckdb": """
import duckdb
keys = [key for (key,) in duckdb.sql(f"select key from '{data}/*.parquet'").fetchall()]
for place in (f"'{data}'", f"'{root}'", f"'{root}/**/*.parquet'"):
    found = duckdb.sql(f"select key from read_parquet({place})").fetchall()
    assert sorted(keys) == sorted(key for (key,) in found), place
""",
}


@pytest.fixture
def dataset(tmp_path: Path, without_ray: None) -> Path:
    """Three sources with samples, rejects and baked frames; of one of them a part is kept."""
    home = tmp_path
    write_clip(home / "media" / "a.mp4")
    said = [{"from": "human", "value": "Q?"}, {"from": "gpt", "value": "A"}]
    rows = [{"video": "a.mp4", "conversations": said}] * 3
    lost = [{"video": f"{n}.mp4", "conversations": said} for n in range(5)]
    sources = []
    for name in ("qa", "default", "bench"):
        (home / f"{name}.json").write_text(json.dumps([*rows, *lost, {"video": "a.mp4"}]))
        fields = {
            "name": name,
            "format": "llava_video",
            "annotations": str(home / f"{name}.json"),
            "media": [str(home / "media")],
            "use": "benchmark" if name == "bench" else "train",
            **({"select": {"count": 2}} if name == "default" else {}),
        }
        sources.append(SourceConfig.model_validate(fields))
    config = PrepConfig(sources=tuple(sources), bake=BakeConfig(frames=2), rows_per_shard=2)
    run.build(config, Location.parse, Location.parse(home / "made"), 1)
    (home / "made" / "card.html").write_text("<p>a card")
    (home / "made" / "record.json").write_text("{}")
    return home / "made"


@pytest.mark.parametrize("tool", TOOLS)
def test_the_samples_and_nothing_else(dataset: Path, tmp_path: Path, tool: str) -> None:
    pytest.importorskip(tool.partition(",")[0])
    script = f"""
import sys
sys.modules["pipeline"] = None
root, data, cache = {str(dataset)!r}, {str(dataset / "data")!r}, {str(tmp_path / "cache")!r}
{TOOLS[tool]}
print(" ".join(sorted(keys)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=240
    )
    assert done.stdout.split() == keys_of(dataset), done.stderr[-2000:]


@pytest.mark.usefixtures("ray_cluster")
def test_ray_data_sees_the_samples_and_nothing_else(dataset: Path) -> None:
    import ray

    for place in (dataset / "data", dataset):
        rows = ray.data.read_parquet(str(place), columns=["key"]).take_all()
        assert sorted(row["key"] for row in rows) == keys_of(dataset)


def keys_of(dataset: Path) -> list[str]:
    reader = ShardReader(Location.parse(dataset))
    assert {source: reader.count(source) for source in reader.sources} == SAMPLES
    return sorted(key for source in reader.sources for key in reader.keys(source))


def test_the_readme_names_every_source_and_no_place(dataset: Path) -> None:
    text = (dataset / "README.md").read_text()
    reader = ShardReader(Location.parse(dataset))
    assert text == readme(reader.manifest)
    head = yaml.safe_load(text.split("---")[1])
    assert [c["config_name"] for c in head["configs"]] == ["default", "qa", "bench", "default_source"]
    assert str(dataset.parent) not in text
    assert "| `default` | train | 9 | 2 | 4 | 3 |" in text


def test_without_a_sample_there_is_nothing_to_load(dataset: Path) -> None:
    manifest = ShardReader(Location.parse(dataset)).manifest
    assert "configs: []" in readme(manifest.model_copy(update={"shards": ()}))


def test_three_examples_of_each_reason(dataset: Path) -> None:
    """Sources in the order of the plan, what was lost most often first."""
    lines = rejects_text(Location.parse(dataset)).splitlines()
    assert lines[0] == f"16 records were rejected; {dataset}/rejects.pq has all of them"
    assert lines[1:7] == [
        "  qa: 5 x media_missing",
        *(f"    qa/{n}  {n - 3}.mp4 lies in none of {dataset.parent}/media" for n in (3, 4, 5)),
        "  qa: 1 x malformed",
        lines[6],
    ]
    assert lines[6].startswith("    qa/8  ")
    assert len(lines) == 1 + 3 * 6
    assert max(map(len, lines[1:])) <= 160
    (dataset / "rejects.pq").unlink()
    assert rejects_text(Location.parse(dataset)) == ""
