"""The dataset is the same, byte for byte: killed at any moment, on one CPU, on two, and on three machines."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import pytest

from pipeline.artifacts.survey import survey
from pipeline.dataset.manifest import MANIFEST
from tests.integration.clusters import nodes
from tests.integration.killing import NEEDS_PROC, REACHED_S, kill_when
from tests.integration.mini import read_mini, ufvideo, write_mini

pytestmark = [pytest.mark.slow, pytest.mark.timeout(4000)]
PREPARE = ("--until", "prepare")


@dataclass(frozen=True)
class Prepared:
    """A prepared dataset: its digest, and the bytes of its tables."""

    digest: str
    tables: dict[str, bytes]


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the plan and a store that has the demo corpora."""
    folder = tmp_path_factory.mktemp("corpora")
    run(folder, write_mini(folder, str(folder / "store")), "--until", "corpora")
    return folder


@pytest.fixture(scope="module")
def untouched(corpora: Path, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The dataset of an undisturbed run on two CPUs."""
    folder = folder_with_corpora(corpora, tmp_path_factory.mktemp("untouched"))
    run(folder, folder / "mini.yaml", *PREPARE)
    return prepared(folder)


def folder_with_corpora(corpora: Path, folder: Path, *more: str) -> Path:
    """Another folder with the same plan and the same corpora."""
    write_mini(folder, str(folder / "store"), *more)
    shutil.copytree(corpora / "store" / "corpora", folder / "store" / "corpora", copy_function=os.link)
    return folder


def run(folder: Path, plan: Path, *arguments: str) -> None:
    done = ufvideo(folder, "run", plan.name, *arguments, timeout_s=REACHED_S)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def prepared(folder: Path) -> Prepared:
    found = survey(read_mini(folder / "mini.yaml")).artifacts["prepare"]
    assert found is not None
    place = found.location.local_path
    assert not list(folder.rglob(".tmp-*")), "no partial file is left"
    assert not (place / "work").exists()
    tables = {p.name: p.read_bytes() for p in place.rglob("*") if p.suffix in (".parquet", ".pq")}
    return Prepared(found.record.digest, tables)


def assert_same(made: Prepared, other: Prepared) -> None:
    assert made.digest == other.digest
    assert sorted(made.tables) == sorted(other.tables)
    assert [name for name, content in made.tables.items() if content != other.tables[name]] == []
    assert len(made.tables) > 20, "shards of every source, rejects and selected"


def printed(text: str) -> Callable[[Path], bool]:
    """The command has printed this."""
    return lambda folder: text in (folder / "out.txt").read_text()


def receipts(count: int) -> Callable[[Path], bool]:
    """At least ``count`` shards are done."""
    return lambda folder: len(list(folder.glob("store/prepare/*/work/*/*.json"))) >= count


def manifest(folder: Path) -> bool:
    """The manifest is written."""
    return bool(list(folder.glob(f"store/prepare/*/{MANIFEST}")))


MOMENTS: dict[str, Callable[[Path], bool]] = {
    "the step's start": printed("prepare: started"),
    "the search for records": printed("finding records"),
    "the probing of the media": printed("reading annotations: "),
    "the first shard": receipts(1),
    "the fifteenth shard": receipts(15),
    "the manifest": manifest,
}


@NEEDS_PROC
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_preparation_that_was_killed_ends_in_the_same_dataset(
    moment: str, corpora: Path, untouched: Prepared, tmp_path: Path
) -> None:
    folder = folder_with_corpora(corpora, tmp_path)
    kill_when(folder, lambda: MOMENTS[moment](folder), moment, *PREPARE)
    assert not list(folder.glob("store/prepare/*/record.json")), "the kill hit the running step"
    kept = {p: p.stat().st_mtime_ns for p in folder.glob("store/prepare/*/work/*/*.json")}
    shards = [p.parents[2] / p.parent.name / p.name.removesuffix(".json") for p in kept]
    written = {p: p.stat().st_mtime_ns for p in shards if p.exists()}
    run(folder, folder / "mini.yaml", *PREPARE)
    assert_same(prepared(folder), untouched)
    if moment == "the fifteenth shard":
        assert len(written) >= 10
        assert {p: p.stat().st_mtime_ns for p in written} == written, "finished shards are not written again"


def test_one_cpu_gives_the_same_dataset(corpora: Path, untouched: Prepared, tmp_path: Path) -> None:
    folder = folder_with_corpora(corpora, tmp_path, "ray.num_cpus=1")
    run(folder, folder / "mini.yaml", *PREPARE)
    assert_same(prepared(folder), untouched)


def test_three_nodes_give_the_same_dataset(corpora: Path, untouched: Prepared, tmp_path: Path) -> None:
    """Three nodes of Ray on this machine, with a CPU and an object store each, and one disk."""
    pytest.importorskip("requests")
    with nodes(tmp_path, 3) as cluster:
        where = (f"ray.address={cluster.address}", f"ray.dashboard={cluster.jobs_url}")
        folder = folder_with_corpora(corpora, tmp_path, *where)
        run(folder, folder / "mini.yaml", *PREPARE)
        worked = tasks_by_node(cluster.jobs_url)
    assert_same(prepared(folder), untouched)
    assert len(worked) == 3, f"every node has run tasks: {worked}"


def tasks_by_node(jobs_url: str) -> Counter[str]:
    """How many tasks of Ray Data each node has finished."""
    with urlopen(f"{jobs_url}/api/v0/tasks?limit=10000&detail=true", timeout=60) as answer:
        rows = json.load(answer)["data"]["result"]["result"]
    return Counter(r["node_id"] for r in rows if r["state"] == "FINISHED" and "Map" in r["name"])
