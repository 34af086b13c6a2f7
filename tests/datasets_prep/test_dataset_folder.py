"""Other tools that read the folder of a dataset see the samples and nothing else."""

from __future__ import annotations

import json
from hashlib import blake2b
from importlib.util import find_spec
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
from tests.datasets_prep.prepare_here import prepare_here
from tests.one_process import printed_by

SEED = 1
SAMPLES = {"bench": 3, "default": 2, "qa": 3}

# ``root`` is the artifact, ``data`` the folder of its samples. Each program sets ``keys`` to those it finds.
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


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sources with samples, rejects and baked frames; one of them keeps only a part.

    Each has nine records: 0, 1 and 2 are sound, the videos of 3 to 7 are missing, and 8 has no conversation.
    """
    home = tmp_path_factory.mktemp("folder")
    write_clip(home / "media" / "a.mp4")
    conversation = [{"from": "human", "value": "Q?"}, {"from": "gpt", "value": "A"}]
    rows = [{"video": "a.mp4", "conversations": conversation}] * 3
    lost = [{"video": f"{n}.mp4", "conversations": conversation} for n in range(5)]
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
    with pytest.MonkeyPatch.context() as patch:
        prepare_here(patch)
        run.build(config, Location.parse, Location.parse(home / "made"), SEED)
    (home / "made" / "card.html").write_text("<p>a card")
    (home / "made" / "record.json").write_text("{}")
    return home / "made"


@pytest.fixture(scope="module")
def printed(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The keys that each tool found."""
    folder = tmp_path_factory.mktemp("tools")
    programs = {tool: f"{code}\nprint(*sorted(keys))" for tool, code in TOOLS.items()}
    places = {"root": str(dataset), "data": str(dataset / "data"), "cache": str(folder / "cache")}
    return printed_by(programs, folder, **places)


@pytest.mark.parametrize("tool", TOOLS)
def test_other_tools_see_the_samples_and_nothing_else(
    dataset: Path, printed: dict[str, str], tool: str
) -> None:
    if find_spec(tool.partition(",")[0]) is None:
        pytest.skip(f"{tool} is not installed")
    assert printed[tool].split() == keys_of(dataset), printed[tool]


@pytest.mark.usefixtures("ray_cluster")
def test_ray_data_sees_the_samples_and_nothing_else(dataset: Path) -> None:
    import ray

    for place in (dataset / "data", dataset):
        rows = ray.data.read_parquet(str(place)).select_columns(["key"]).take_all()
        assert sorted(row["key"] for row in rows) == keys_of(dataset)


def keys_of(dataset: Path) -> list[str]:
    reader = ShardReader(Location.parse(dataset))
    assert {source: reader.count(source) for source in reader.sources} == SAMPLES
    return sorted(key for source in reader.sources for key in reader.keys(source))


def test_the_readme_names_every_source_and_no_local_path(dataset: Path) -> None:
    text = (dataset / "README.md").read_text()
    reader = ShardReader(Location.parse(dataset))
    assert text == readme(reader.manifest)
    head = yaml.safe_load(text.split("---")[1])
    assert [c["config_name"] for c in head["configs"]] == ["default", "qa", "bench", "default_source"]
    assert str(dataset.parent) not in text
    assert "| `default` | train | 9 | 2 | 4 | 3 |" in text, "read, kept, rejected, not selected"


def test_ranks_decide_which_records_are_kept_and_which_rejected(dataset: Path) -> None:
    """The rejects of a source that keeps a part, worked out from the rule without its code.

    Records come in the order of a hash of their names. 6, 3 and 7, whose videos are missing, come before 1
    and 0, which complete the two requested samples; 2, 4 and 5 come after these and are not examined.
    Record 8 cannot be read, so it has no rank and is always a reject.
    """

    def rank(record: int) -> bytes:
        return blake2b(f"select\x1f{SEED}\x1fdefault/{record}".encode(), digest_size=8).digest()

    assert sorted(range(8), key=rank) == [6, 3, 7, 1, 0, 2, 4, 5]
    reader = ShardReader(Location.parse(dataset))
    assert reader.keys("default") == ["default/0", "default/1"]
    lost = [row["key"] for row in reader.rejects().to_pylist() if row["source"] == "default"]
    assert lost == [f"default/{record}" for record in (3, 6, 7, 8)]


def test_the_readme_of_a_dataset_without_samples_has_no_configs(dataset: Path) -> None:
    manifest = ShardReader(Location.parse(dataset)).manifest
    assert "configs: []" in readme(manifest.model_copy(update={"shards": ()}))


def test_rejects_are_shown_with_three_examples_of_each_reason(dataset: Path) -> None:
    """Sources in the order of the plan, the most frequent reason first.

    The two sources that keep everything lose six records each; the third loses four, as shown above.
    """
    lines = rejects_text(Location.parse(dataset)).splitlines()
    assert lines[0] == f"16 records were rejected; {dataset}/rejects.pq has all of them"
    assert lines[1:6] == [
        "  qa: 5 x media_missing",
        *(f"    qa/{n}  {n - 3}.mp4 is in none of {dataset.parent}/media" for n in (3, 4, 5)),
        "  qa: 1 x malformed",
    ]
    assert lines[6].startswith("    qa/8  ")
    assert len(lines) == 1 + 3 * 6
    assert max(map(len, lines[1:])) <= 160


def test_without_rejects_nothing_is_shown(tmp_path: Path) -> None:
    assert rejects_text(Location.parse(tmp_path)) == ""
