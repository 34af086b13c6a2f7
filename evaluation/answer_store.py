"""The answers of one checkpoint: stored permanently, and found again by their question.

``answers/<identity>/<source>/part-<digest>.parquet`` below the storage root. The identity covers what every
answer depends on: the weights, how they are run and how long an answer may get. The question, on which a
single answer depends, is a digest in its row (``evaluation.question``). So after a change of a limit or a
scoring rule, or with one more benchmark, every stored answer is found and nothing is asked twice. A part is
named by the digest of its bytes, so damage is detected, and two processes that write at once never write the
same file.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from evaluation.prediction import Prediction
from pipeline.canonical import digest, plain
from pipeline.collecting import uncollected
from pipeline.columns import from_columns
from pipeline.dataset.arrow import TRACK
from pipeline.records.sample import MaskTrack
from pipeline.storage.location import Location

FOLDER, DESCRIPTION = "answers", "answers.json"
REVISION = 1  # raised by hand when changed code gives other answers with the same weights and questions
_MANY_PARTS, _LARGE_ROWS = 32, 8192  # how many parts are merged, and the rows of a merged part
_READERS = 8  # parts that are read at once: remote storage answers slowly, but many at a time

ANSWER_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("question", pa.string()),
        ("text", pa.string()),
        ("masks", pa.list_(TRACK)),
        ("failure", pa.string()),
    ]
)


class Stored(NamedTuple):
    """Where an answer is: the part of its source, and its row there. Answers without masks are kept here."""

    part: str
    row: int
    prediction: Prediction | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """A prediction and the digest of the question that it answers."""

    question: str
    prediction: Prediction


@dataclass(frozen=True)
class AnswerStore:
    """The answers of one identity; ``root`` is their folder."""

    root: Location
    identity: str

    @classmethod
    def at(cls, storage: Location, settings: Mapping[str, Any]) -> AnswerStore:
        """The store of answers that depend on ``settings``, below a storage root."""
        return cls.of(storage, digest({"revision": REVISION, **settings}))

    @classmethod
    def of(cls, storage: Location, identity: str) -> AnswerStore:
        """The store of an identity below a storage root."""
        return cls(storage / FOLDER / identity[:12], identity)

    def describe(self, settings: Mapping[str, Any]) -> None:
        """Write down, for people, what these answers depend on."""
        place = self.root / DESCRIPTION
        if not place.exists():
            content = {"identity": self.identity, "revision": REVISION, **plain(settings)}
            place.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    def index(self, source: str) -> tuple[dict[tuple[str, str], Stored], list[str]]:
        """Every stored answer of a source by (key, question), and the damaged parts, which are deleted.

        Reads and hashes every part. Raises StorageError where storage cannot be read.
        """
        places = sorted((self.root / source).list(suffix=".parquet"), key=lambda place: place.name)
        found: dict[tuple[str, str], Stored] = {}
        damaged = []
        for place, table in zip(places, _tables(places), strict=True):
            if table is None:
                damaged.append(f"{source}/{place.name}")
                place.delete()
                continue
            with uncollected():
                for name, stored in _stored(source, place.name, table):
                    found.setdefault(name, stored)
        return found, damaged

    def compact(self, source: str) -> None:
        """Put answers without masks into few large parts: an evaluation reads every part of a source.

        A process that has an index no longer needs the small parts, because the index holds such answers.
        """
        places = sorted((self.root / source).list(suffix=".parquet"), key=lambda place: place.name)
        if len(places) < _MANY_PARTS:
            return
        small, tables = [], []
        for place in places:
            table = _read_if_there(place)
            if table is not None and 0 < table.num_rows < _LARGE_ROWS and not _has_masks(table):
                small.append(place)
                tables.append(table)
        if len(small) < _MANY_PARTS:
            return
        rows = pa.concat_tables(tables).sort_by([("key", "ascending"), ("question", "ascending")])
        made = {
            self._write(source, rows.slice(at, _LARGE_ROWS).combine_chunks())
            for at in range(0, rows.num_rows, _LARGE_ROWS)
        }
        for place in small:
            if place.name not in made:
                place.delete()

    def write(self, source: str, answers: Sequence[Answered]) -> dict[tuple[str, str], Stored]:
        """Write answers atomically as one part, and return where they are."""
        table = pa.Table.from_pylist([_to_row(answer) for answer in answers], schema=ANSWER_SCHEMA)
        return dict(_stored(source, self._write(source, table), table))

    def _write(self, source: str, table: pa.Table) -> str:
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        name = _name(buffer.getvalue())
        (self.root / source / name).write_bytes(buffer.getvalue())
        return name

    def read(self, source: str, stored: Iterable[Stored]) -> Iterator[Prediction]:
        """The predictions at these places, in their order. A part is read once while it is in use.

        Raises FileNotFoundError for a part that is gone, ValueError for a damaged one.
        """
        part, columns = "", {}
        for place in stored:
            if place.prediction is not None:
                yield place.prediction
                continue
            if place.part != part:
                table = _read(self.root / source / place.part)
                if table is None:
                    raise ValueError(f"{(self.root / source / place.part).uri} is damaged")
                part, columns = place.part, {name: table.column(name) for name in table.column_names}
            yield _from_row(source, {name: column[place.row].as_py() for name, column in columns.items()})


def _name(content: bytes) -> str:
    return f"part-{hashlib.sha256(content).hexdigest()[:16]}.parquet"


def _read(place: Location) -> pa.Table | None:
    """The rows of a part; None if its bytes do not match the digest in its name."""
    content = place.read_bytes()
    return pq.ParquetFile(io.BytesIO(content)).read() if _name(content) == place.name else None


def _read_if_there(place: Location) -> pa.Table | None:
    """The same; no rows if another process has merged the part into a larger one meanwhile."""
    try:
        return _read(place)
    except FileNotFoundError:
        return ANSWER_SCHEMA.empty_table()


def _tables(places: Sequence[Location]) -> Iterator[pa.Table | None]:
    """The rows of each part; many parts, or remote ones, are read ahead by threads."""
    if len(places) < 2 or (len(places) <= _READERS and places[0].is_local):
        yield from map(_read_if_there, places)  # sooner than a thread starts
        return
    with ThreadPoolExecutor(_READERS) as pool:
        yield from pool.map(_read_if_there, places)


def _has_masks(table: pa.Table) -> bool:
    return bool(pc.any(pc.greater(pc.list_value_length(table.column("masks")), 0)).as_py())


def _stored(source: str, part: str, table: pa.Table) -> Iterator[tuple[tuple[str, str], Stored]]:
    """Every answer of a part by its key and question; for a part without masks, with its prediction."""
    if _has_masks(table):
        names = zip(*(table.column(name).to_pylist() for name in ("key", "question")), strict=True)
        yield from ((name, Stored(part, row)) for row, name in enumerate(names))
        return
    count = table.num_rows
    key, question, text, failure = (
        table.column(name).to_pylist() for name in ("key", "question", "text", "failure")
    )
    made = from_columns(Prediction, count, key=key, source=[source] * count, text=text, failure=failure)
    yield from zip(
        zip(key, question, strict=True), map(Stored, repeat(part), range(count), made), strict=True
    )


def _to_row(answer: Answered) -> dict[str, Any]:
    made = answer.prediction
    masks = [{name: getattr(m, name) for name in MaskTrack.__slots__} for m in made.masks]
    return {
        "key": made.key,
        "question": answer.question,
        "text": made.text,
        "masks": masks,
        "failure": made.failure,
    }


def _from_row(source: str, row: Mapping[str, Any]) -> Prediction:
    masks = tuple(
        MaskTrack(**{**m, "frames": tuple(m["frames"]), "counts": tuple(m["counts"])}) for m in row["masks"]
    )
    return Prediction(key=row["key"], source=source, text=row["text"], masks=masks, failure=row["failure"])
