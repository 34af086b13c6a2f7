"""The answers of one checkpoint: kept for ever, found again by what was asked.

``answers/<identity>/<source>/part-<digest>.parquet`` below the storage root. The identity covers what every
answer depends on: the weights, how they are run and how long an answer may get. What one answer depends on,
its question, is a digest in its row (``evaluation.question``). So another limit, another rule of scoring or
one more benchmark finds every answer that is there, and nothing is asked twice. A part is named by the digest
of its bytes: a damaged one shows, and two processes that write at once never meet in one file.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from evaluation.prediction import Prediction
from pipeline.canonical import digest, plain
from pipeline.dataset.arrow import TRACK
from pipeline.records.sample import MaskTrack
from pipeline.storage.location import Location

FOLDER, DESCRIPTION = "answers", "answers.json"
REVISION = 1  # raised by hand when changed code answers otherwise with the same weights and questions
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
    """Where an answer is: the part of its source, and its row there."""

    part: str
    row: int


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
        with ThreadPoolExecutor(_READERS) as pool:
            for place, table in zip(places, pool.map(_read, places), strict=True):
                if table is None:
                    damaged.append(f"{source}/{place.name}")
                    place.delete()
                    continue
                keys, questions = (table.column(name).to_pylist() for name in ("key", "question"))
                for row, name in enumerate(zip(keys, questions, strict=True)):
                    found.setdefault(name, Stored(place.name, row))
        return found, damaged

    def write(self, source: str, answers: Sequence[Answered]) -> dict[tuple[str, str], Stored]:
        """Write answers as one part in one atomic act; where they are."""
        rows = [_to_row(answer) for answer in answers]
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, schema=ANSWER_SCHEMA), buffer, compression="zstd")
        name = _name(buffer.getvalue())
        (self.root / source / name).write_bytes(buffer.getvalue())
        return {(row["key"], row["question"]): Stored(name, n) for n, row in enumerate(rows)}

    def read(self, source: str, stored: Iterable[Stored]) -> Iterator[Prediction]:
        """The predictions at these places, in their order. A part is read once while it is in use.

        Raises FileNotFoundError for a part that is gone, ValueError for a damaged one.
        """
        part, columns = "", {}
        for place in stored:
            if place.part != part:
                table = _read(self.root / source / place.part)
                if table is None:
                    raise ValueError(f"{(self.root / source / place.part).uri} is damaged")
                part, columns = place.part, {name: table.column(name) for name in table.column_names}
            yield _from_row(source, {name: column[place.row].as_py() for name, column in columns.items()})


def _name(content: bytes) -> str:
    return f"part-{hashlib.sha256(content).hexdigest()[:16]}.parquet"


def _read(place: Location) -> pa.Table | None:
    """The rows of a part; None for one whose bytes are not those that its name is of."""
    content = place.read_bytes()
    return pq.read_table(io.BytesIO(content)) if _name(content) == place.name else None


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
