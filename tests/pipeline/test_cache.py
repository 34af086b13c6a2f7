"""The limit of the cache of remote files: old copies are removed, but none that any process uses."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.commands.cli import main
from pipeline.plan.load import load_plan
from pipeline.storage import cache
from pipeline.storage.cache import Cache
from pipeline.storage.location import Location

REPO = Path(__file__).resolve().parents[2]
SIZE = 1000
LIMIT_GB = 5 * SIZE / 1e9  # five files


@pytest.fixture(autouse=True)
def no_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start without leases, and protect only the last two copies that were fetched."""
    monkeypatch.setattr(cache, "_LEASES", cache._Leases())
    monkeypatch.setattr(cache, "RECENT", 2)


def write_files(root: Location, count: int) -> list[Location]:
    """Write ``count`` files ``0``, ``1`` … of SIZE bytes."""
    places = [root / str(n) for n in range(count)]
    for n, place in enumerate(places):
        place.write_bytes(bytes([n]) * SIZE)
    return places


def copies(folder: Path) -> set[str]:
    """Names of the files that have a copy."""
    return {p.name for p in (folder / "files").glob("*/*") if not p.name.startswith(".")}


def fetch(place: Location, used: float) -> Path:
    """Fetch a copy and set the time of its last use."""
    path = place.fetch()
    os.utime(path.parent, (used, used))
    return path


def test_the_plan_sets_folder_and_limit_of_the_cache(plan_file: Path) -> None:
    plan = load_plan(str(plan_file), ["storage.cache=/x", "storage.cache_gb=0.5"])
    assert plan.storage.local_cache == Cache("/x", 500_000_000)
    assert load_plan(str(plan_file)).storage.local_cache == Cache(None, None)


def test_the_least_recently_used_copies_are_removed(
    s3_bucket: str, plan_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fails if the first copy is removed instead of the least recently used, or if nothing is reported."""
    root = Location.parse(s3_bucket, Cache.of(tmp_path / "cache", LIMIT_GB))
    places = write_files(root, 7)
    for n in range(5):
        fetch(places[n], used=100 + n)
    assert copies(tmp_path / "cache") == {"0", "1", "2", "3", "4"}
    fetch(places[0], used=200)
    assert capsys.readouterr().out == ""
    places[5].fetch()
    assert copies(tmp_path / "cache") == {"3", "4", "0", "5"}, "down to nine tenths of the limit"
    assert "2 copies (2e-06 GB), used longest ago, were removed" in capsys.readouterr().out
    state = root.cache.state()
    assert state == (
        f"Cache: 4e-06 GB of 5e-06 GB in {tmp_path / 'cache'}; "
        "2 copies (2e-06 GB) removed for the limit so far"
    )
    sets = (f"storage.cache={tmp_path / 'cache'}", f"storage.cache_gb={LIMIT_GB}")
    for limited in (True, False):
        main(["status", str(plan_file), *(w for s in sets[: 2 if limited else 1] for w in ("--set", s))])
        assert (state in capsys.readouterr().out.splitlines()) == limited
    assert places[1].fetch().read_bytes() == b"\1" * SIZE, "a removed copy is fetched again"


def test_without_a_limit_nothing_is_removed(s3_bucket: str, tmp_path: Path) -> None:
    for n, place in enumerate(write_files(Location.parse(s3_bucket, tmp_path / "cache"), 8)):
        fetch(place, used=n)
    assert len(copies(tmp_path / "cache")) == 8


def test_folders_are_removed_as_a_whole(s3_bucket: str, tmp_path: Path) -> None:
    root = Location.parse(s3_bucket, Cache.of(tmp_path / "cache", LIMIT_GB))
    write_files(root / "frames", 4)
    folder = (root / "frames").fetch_dir()
    os.utime(folder.parent, (1, 1))
    for place in write_files(root / "more", 4):
        place.fetch()
    assert not folder.exists()
    assert len(copies(tmp_path / "cache")) == 4


def test_copies_that_are_held_or_were_just_fetched_are_not_removed(
    s3_bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fails if the file of a returned path is removed before it is opened."""
    root = Location.parse(s3_bucket, Cache.of(tmp_path / "cache", 1.5 * SIZE / 1e9))
    places = write_files(root, 5)
    held = places[0].fetch(hold=True)
    os.utime(held.parent, (1, 1))
    for place in places[1:]:
        path = place.fetch()
        os.utime(path.parent, (2, 2))
    assert copies(tmp_path / "cache") == {"0", "3", "4"}
    assert held.read_bytes() == b"\0" * SIZE
    assert "of copies in use stay" in capsys.readouterr().out


_OTHER = """
import sys
from pipeline.storage.cache import Cache
cache = Cache(sys.argv[1])
def fill(path):
    if sys.argv[2] == "half":
        path.with_name(".tmp-half").write_bytes(bytes(1000))
        print("ready", flush=True)
        sys.stdin.readline()
    path.write_bytes(bytes(1000))
path = cache.copy(*sys.argv[3:5], fill)
print("ready", flush=True)
sys.stdin.readline()
print(len(path.read_bytes()), flush=True)
"""


@pytest.mark.parametrize("moment", ["half", "whole"])
@pytest.mark.parametrize("killed", [False, True])
def test_copies_that_another_living_process_uses_are_not_removed(
    moment: str, killed: bool, tmp_path: Path
) -> None:
    """Fails if a partial or complete copy of a living process is removed, or one of a dead process kept."""
    command = [sys.executable, "-c", _OTHER, str(tmp_path), moment, "key", "theirs"]
    environment = os.environ | {"PYTHONPATH": str(REPO)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        (theirs,) = (tmp_path / "files").glob("[0-9a-f]*")
        os.utime(theirs, (1, 1))
        if killed:
            other.kill()
            other.wait()
        own = Cache(str(tmp_path), 5 * SIZE)
        for n in range(6):
            own.copy(f"own{n}", str(n), lambda path: path.write_bytes(bytes(SIZE)))
        assert theirs.exists() is not killed
        if not killed:
            print(file=other.stdin, flush=True)
            if moment == "half":
                assert other.stdout.readline() == "ready\n"
                print(file=other.stdin, flush=True)
            assert other.stdout.readline() == f"{SIZE}\n"


def test_a_copy_that_is_removed_just_before_it_is_leased_is_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails if the folder may be removed between two checks that it exists, as in `os.makedirs`."""
    shared = Cache(str(tmp_path))
    folder = shared.copy("key", "x", lambda path: path.write_bytes(b"old")).parent
    monkeypatch.setattr(cache, "_LEASES", cache._Leases())  # as in another process
    mkdir = os.mkdir

    def removed_meanwhile(path: str, *mode: int) -> None:
        try:
            mkdir(path, *mode)
        except FileExistsError:
            if Path(path) == folder:
                shutil.rmtree(folder)
            raise

    monkeypatch.setattr(os, "mkdir", removed_meanwhile)
    made = shared.copy("key", "x", lambda path: path.write_bytes(b"new"))
    assert made.read_bytes() == b"new"


def test_many_processes_may_share_a_cache(tmp_path: Path) -> None:
    """Fails if a process finds that another one has removed the copy that it was about to open."""
    code = (
        "import random, sys; from pipeline.storage.cache import Cache\n"
        "cache, chance = Cache(sys.argv[1], 5000), random.Random(int(sys.argv[2]))\n"
        "import pipeline.storage.cache as module; module.RECENT = 1\n"
        "for _ in range(400):\n"
        "    n = chance.randrange(12)\n"
        "    def fill(path):\n"
        "        half = path.with_name(f'.tmp-{sys.argv[2]}'); half.write_bytes(bytes([n]) * 1000)\n"
        "        half.rename(path)\n"
        "    assert cache.copy(str(n), 'x', fill).read_bytes() == bytes([n]) * 1000\n"
    )
    environment = os.environ | {"PYTHONPATH": str(REPO)}
    command = [sys.executable, "-c", code, str(tmp_path)]
    running = [
        subprocess.Popen([*command, str(n)], env=environment, stdout=subprocess.DEVNULL) for n in range(3)
    ]
    assert [process.wait(120) for process in running] == [0, 0, 0]
    assert len(list((tmp_path / "files").glob("*/x"))) <= 5 + len(running)
