"""The Parquet store of predictions: one file for each chunk of samples."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from evaluation.prediction import Prediction
from pipeline.canonical import canonical, digest
from pipeline.dataset.arrow import SPAN, TRACK
from pipeline.records.sample import MaskTrack, TimeSpan
from pipeline.storage.location import Location

FORMAT = 2

PREDICTION_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("source", pa.string()),
        ("checkpoint", pa.string()),
        ("text", pa.string()),
        ("spans", pa.list_(SPAN)),
        ("refusal", pa.string()),
        ("refusal_detail", pa.string()),
        ("clamped", pa.bool_()),
        ("masks", pa.list_(TRACK)),
        ("failure", pa.string()),
        ("seconds", pa.float64()),
    ]
)


def to_row(prediction: Prediction) -> dict[str, Any]:
    """A prediction as one row of PREDICTION_SCHEMA."""
    return {
        **{name: getattr(prediction, name) for name in Prediction.__slots__},
        "spans": [{name: getattr(s, name) for name in TimeSpan.__slots__} for s in prediction.spans],
        "masks": [{name: getattr(m, name) for name in MaskTrack.__slots__} for m in prediction.masks],
    }


def from_row(row: Mapping[str, Any]) -> Prediction:
    """The prediction of one row (as ``Table.to_pylist`` gives it)."""
    spans = tuple(TimeSpan(**s) for s in row["spans"])
    masks = tuple(
        MaskTrack(**{**m, "frames": tuple(m["frames"]), "counts": tuple(m["counts"])}) for m in row["masks"]
    )
    return Prediction(**{**row, "spans": spans, "masks": masks})


@dataclass(frozen=True)
class PredictionStore:
    """Predictions of one checkpoint as ``<root>/<source>/part-<number>.parquet``.

    A part holds a fixed run of samples, so its name and content do not depend on who computed it or when.
    ``stamp`` names what the predictions were made from (checkpoint and dataset digests, settings); a part
    with another stamp is not there for this store, and is written over.
    """

    root: Location
    stamp: str

    @staticmethod
    def stamp_of(*, checkpoint: str, dataset: str, fingerprint: str) -> str:
        """The stamp of predictions that a step with this fingerprint makes from these digests."""
        return digest({"checkpoint": checkpoint, "dataset": dataset, "fingerprint": fingerprint})

    def place(self, source: str, number: int) -> Location:
        """Where a part is stored."""
        return self.root / source / f"part-{number:05d}.parquet"

    def has(self, source: str, number: int, keys: Sequence[str]) -> bool:
        """True if the part is there, from this stamp, with exactly these keys in this order."""
        table = self._read(source, number)
        return table is not None and table.column("key").to_pylist() == list(keys)

    def write(self, source: str, number: int, predictions: Sequence[Prediction]) -> None:
        """Write a part in one atomic act."""
        table = pa.Table.from_pylist([to_row(p) for p in predictions], schema=PREDICTION_SCHEMA)
        table = table.replace_schema_metadata({b"ufvideo_predictions": self._mark})
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        self.place(source, number).write_bytes(buffer.getvalue())

    def read(self, source: str, number: int) -> list[Prediction]:
        """A part's predictions. Raises FileNotFoundError if there is none from this stamp."""
        table = self._read(source, number)
        if table is None:
            raise FileNotFoundError(
                f"{self.place(source, number).uri} is missing or was made from something else"
            )
        return [from_row(row) for row in table.to_pylist()]

    def prune(self, source: str, parts: int) -> int:
        """Remove parts that an earlier, larger dataset left behind; how many there were."""
        kept = {self.place(source, number).uri for number in range(parts)}
        stale = [place for place in (self.root / source).list(suffix=".parquet") if place.uri not in kept]
        for place in stale:
            place.delete()
        return len(stale)

    @property
    def _mark(self) -> bytes:
        return f"{FORMAT}:{self.stamp}".encode()

    def _read(self, source: str, number: int) -> pa.Table | None:
        try:
            data = self.place(source, number).read_bytes()
        except FileNotFoundError:
            return None
        table = pq.read_table(io.BytesIO(data))
        return table if (table.schema.metadata or {}).get(b"ufvideo_predictions") == self._mark else None


def content_digest(predictions: Iterator[Prediction]) -> str:
    """SHA-256 over what was predicted, in the order given; how long it took is left out."""
    sha = hashlib.sha256()
    for prediction in predictions:
        row = {name: value for name, value in to_row(prediction).items() if name != "seconds"}
        sha.update(canonical(row) + b"\n")
    return sha.hexdigest()
