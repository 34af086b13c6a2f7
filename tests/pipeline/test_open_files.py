"""The caches of a reader are bounded: row groups by their bytes, open files by their number."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.dataset.open_files import OpenFiles, Recent
from pipeline.errors import UserError
from pipeline.storage.location import Location


def test_the_least_recently_used_value_is_dropped_first() -> None:
    dropped: list[str] = []
    kept: Recent[str, str] = Recent(3, drop=dropped.append)
    for key in "abc":
        assert kept.get(key, lambda key=key: key) == key  # type: ignore[misc]
    assert kept.get("a", lambda: "made again") == "a"
    kept.get("d", lambda: "d")
    assert dropped == ["b"]
    assert kept.get("b", lambda: "made again") == "made again"
    assert dropped == ["b", "c"]


def test_the_sum_of_weights_is_bounded_and_the_last_value_is_kept_whatever_its_weight() -> None:
    dropped: list[bytes] = []
    kept: Recent[int, bytes] = Recent(10, weigh=len, drop=dropped.append)
    for key, size in enumerate((4, 4, 4)):
        kept.get(key, lambda size=size: bytes(size))  # type: ignore[misc]
    assert dropped == [bytes(4)]
    kept.get(3, lambda: bytes(50))
    assert dropped == [bytes(4)] * 3
    kept.get(4, lambda: bytes(2))
    assert dropped[3:] == [bytes(50)]
    kept.get(5, lambda: bytes(8))
    assert len(dropped) == 4, "the weights of dropped values must be subtracted"


def test_a_value_that_cannot_be_made_is_not_kept() -> None:
    kept: Recent[str, str] = Recent(2)

    def fail() -> str:
        raise KeyError

    with pytest.raises(KeyError):
        kept.get("a", fail)
    assert kept.get("a", lambda: "made") == "made"


def test_the_number_of_open_files_is_bounded(tmp_path: Path) -> None:
    table = pa.table({"n": [1, 2]})
    for n in range(80):
        pq.write_table(table, tmp_path / f"{n}.parquet")
    seen: list[str] = []
    files = OpenFiles(Location.parse(tmp_path), lambda schema, where: seen.append(where))
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    for n in range(80):
        assert files.get(f"{n}.parquet").read().equals(table)
    assert files.get("79.parquet") is files.get("79.parquet")
    assert len(seen) == 80
    if before:
        assert len(os.listdir("/proc/self/fd")) <= before + 40
    with pytest.raises(UserError, match="missing"):
        files.get("80.parquet")
