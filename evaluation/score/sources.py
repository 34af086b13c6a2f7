"""Which form a file or folder of predictions has."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

from evaluation.score.given import Given, id_name
from evaluation.score.mask_trees import MaskFiles, tracks
from evaluation.score.texts import read_json
from pipeline.errors import UserError

TEXTS = (".json", ".jsonl", ".ndjson", ".txt")
FORMS = (
    "JSON or JSON lines (.json, .jsonl), a folder of such files, PNG masks in VIDEO/EXPRESSION/FRAME.png as "
    "a folder or .zip, or an evaluation's folder below answers/"
)


def read_predictions(place: Path) -> Iterator[Given]:
    """Every prediction of a file or folder. Raises UserError for a form that is not recognised."""
    if not place.exists():
        raise UserError(str(place), "does not exist.", "Correct --predictions.")
    if place.is_dir():
        yield from _of_folder(place)
    elif zipfile.is_zipfile(place):
        yield from _of_zip(place)
    elif place.suffix.lower() in TEXTS:
        yield from read_json(place.read_bytes(), str(place))
    else:
        raise _unknown(place, f"ends in {place.suffix or 'nothing'}")


def _of_folder(place: Path) -> Iterator[Given]:
    parts = sorted(place.rglob("part-*.parquet"))
    if parts:
        for part in parts:
            yield from _of_part(place, part)
        return
    texts = sorted(p for p in place.rglob("*") if p.suffix.lower() in TEXTS)
    images = next(place.rglob("*.png"), None)
    if images is not None:
        yield from tracks(MaskFiles(place))
    elif texts:
        for text in texts:
            yield from read_json(text.read_bytes(), str(text))
    else:
        raise _unknown(place, "holds neither PNG files nor JSON")


def _of_zip(place: Path) -> Iterator[Given]:
    with zipfile.ZipFile(place) as archive:
        names = [n for n in archive.namelist() if not n.endswith("/") and "__MACOSX" not in n]
        texts = [n for n in names if Path(n).suffix.lower() in TEXTS]
        if any(n.lower().endswith(".png") for n in names):
            yield from tracks(MaskFiles(place))
        elif texts:
            for name in texts:
                yield from read_json(archive.read(name), f"{place}, {name}")
        else:
            raise _unknown(place, "holds neither PNG files nor JSON")


def _of_part(root: Path, part: Path) -> Iterator[Given]:
    """Answers that this project stored: keys begin with the name of their source, the part's folder."""
    import pyarrow.parquet as pq

    source = part.parent.relative_to(root).as_posix()
    for row in pq.read_table(part).to_pylist():
        key = row["key"]
        inner = key.removeprefix(f"{source}/") if source != "." else key.partition("/")[2]
        yield Given(
            where=f"{part}, {key}",
            names=(id_name(inner), id_name(key)),
            text=row["text"] if row["failure"] is None else None,
            tracks=tuple(row["masks"]),
            failure=row["failure"],
        )


def _unknown(place: Path, found: str) -> UserError:
    return UserError(
        str(place), f"is not a form of predictions that is known: it {found}.", f"Looked for {FORMS}."
    )
