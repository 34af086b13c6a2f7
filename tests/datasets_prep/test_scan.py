"""The elements of a JSON container end at the same bytes, whatever the size of the blocks that are read."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets_prep.sources.json import json_object, scan
from datasets_prep.sources.json.json_file import Limits, list_chunks, list_records
from datasets_prep.sources.json.json_object import load_object
from datasets_prep.sources.json.parse import Unparsed
from datasets_prep.sources.json.scan import ScanError, element_ends
from pipeline.errors import UserError

TEXTS = st.text(alphabet='a"\\\\,[]{}: \u00e9', max_size=6)
VALUES = st.recursive(
    st.none() | st.integers(-9, 9) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
ANY_BLOCK = pytest.mark.parametrize("block", [1, 2, 3, 7, 1 << 20])
FIXED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def records(tmp_path: Path) -> Callable[[str, int], list[Any]]:
    """Reads the records of a list in chunks of ``count``."""

    def read(text: str, count: int = 2) -> list[Any]:
        path = tmp_path / "list.json"
        path.write_text(text)
        chunks = list(list_chunks(path, Limits(records=count, bytes=1 << 20)))
        found = [list(list_records(path, chunk)) for chunk in chunks]
        assert [len(part) for part in found] == [chunk.count for chunk in chunks]
        return [record for part in found for record in part]

    return read


@ANY_BLOCK
@FIXED
@given(rows=st.lists(VALUES, max_size=7), indent=st.sampled_from([None, 1]))
def test_every_element_is_read_once_and_in_order(
    block: int, records: Any, monkeypatch: pytest.MonkeyPatch, rows: list[Any], indent: int | None
) -> None:
    monkeypatch.setattr(scan, "_BLOCK", block)
    assert records(json.dumps(rows, indent=indent)) == rows


@ANY_BLOCK
@FIXED
@given(
    first=st.lists(st.dictionaries(TEXTS, VALUES, max_size=2), min_size=1, max_size=4),
    more=st.lists(st.dictionaries(TEXTS, VALUES, max_size=2), min_size=1, max_size=4),
    gap=st.sampled_from(["", " ", "\n", '"x"']),
)
def test_a_missing_comma_is_reported_with_its_place(
    block: int,
    monkeypatch: pytest.MonkeyPatch,
    first: list[Any],
    more: list[Any],
    gap: str,
) -> None:
    """Two records that are read as one would silently lose a record."""
    monkeypatch.setattr(scan, "_BLOCK", block)
    text = json.dumps(first)[:-1] + gap
    whole = (text + json.dumps(more)[1:]).encode()
    with pytest.raises(ScanError, match=f"no comma in front of the value at byte {len(text.encode())}$"):
        list(element_ends(io.BytesIO(whole), 0, whole=True))


def test_a_key_that_occurs_twice_rejects_only_its_record(records: Any) -> None:
    good = [{"a": '": ', "b\\\\": [{"a": 1, 'c": "d': {}}]}, {"a" * 9: 1e300}, {}]
    text = json.dumps(good)
    bad = text.replace('"b', '"a": 0, "b', 1)
    first, *rest = records(bad)
    assert isinstance(first, Unparsed)
    assert first.problem == "the name 'a' occurs twice in one object"
    assert rest == good[1:]
    assert records(text) == good
    spaced = json.dumps(good, separators=(", ", " : "))
    assert records(spaced) == good, "blanks before a colon must not change the result"


def test_deeply_nested_records_are_read_up_to_the_limit_of_orjson(records: Any) -> None:
    def nested(depth: int) -> str:
        return "[" * depth + "]" * depth

    rows = records(f'[{{"a": {nested(300)}}}, {{"a": {nested(900)}}}, {{"a": {nested(2000)}}}, {{"b": 1}}]')
    assert [isinstance(row, Unparsed) for row in rows] == [False, False, True, False]


@pytest.mark.parametrize("head", [b"\x1f\x8b", b"PK\x03\x04", b"BZh91AY", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"])
def test_the_error_for_a_compressed_file_names_the_compression(tmp_path: Path, head: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(head + bytes(99))
    for read in (lambda: list(list_chunks(path, Limits(records=1, bytes=1))), lambda: load_object(path)):
        with pytest.raises(UserError, match=r"a\.json: is compressed \(\w+\)\. Unpack it"):
            read()


def test_a_whole_object_is_read_with_its_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'\xef\xbb\xbf {"a": 1}')
    assert load_object(path) == {"a": 1}
    path.write_text('{"a": 1, "a": 2}')
    with pytest.raises(UserError, match="'a' occurs twice"):
        load_object(path)
    assert json_object.root_is_object(path)
