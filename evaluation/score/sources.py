"""Which form a file or folder of predictions has."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from evaluation.score.given import Given, id_name
from evaluation.score.mask_trees import MaskFiles, is_hidden, tracks
from evaluation.score.texts import read_json
from pipeline.errors import UserError

TEXTS = (".json", ".jsonl", ".ndjson", ".txt")
_LARGE, _MOST_PACKED = 100_000_000, 200  # bytes; texts and RLE pack to a tenth, seldom to a hundredth
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
    elif place.suffix.lower() == ".zip":
        raise UserError(str(place), "is not a readable zip archive.", "Make it again.")
    else:
        raise _unknown(place, f"ends in {place.suffix or 'nothing'}")


def _of_folder(place: Path) -> Iterator[Given]:
    parts = sorted(place.rglob("part-*.parquet"))
    if parts:
        for part in parts:
            yield from _of_part(place, part)
        return
    names = sorted(p.relative_to(place).as_posix() for p in place.rglob("*"))
    texts = _texts(names)
    if MaskFiles(place).names():
        yield from tracks(MaskFiles(place))
    elif texts:
        for name in texts:
            yield from read_json((place / name).read_bytes(), str(place / name))
    else:
        raise _unknown(place, "holds neither PNG files nor JSON")


def _of_zip(place: Path) -> Iterator[Given]:
    with zipfile.ZipFile(place) as archive:
        texts = _texts(archive.namelist())
        if MaskFiles(place).names():
            yield from tracks(MaskFiles(place))
        elif texts:
            for name in texts:
                yield from read_json(_content(archive, name, place), f"{place}, {name}")
        else:
            raise _unknown(place, "holds neither PNG files nor JSON")


def _texts(names: Sequence[str]) -> list[str]:
    """The files with predictions. Beside its logs of samples, lmms-eval writes a summary without any."""
    texts = [name for name in names if Path(name).suffix.lower() in TEXTS and not is_hidden(name)]
    logs = any("samples_" in Path(name).name for name in texts)
    return [name for name in texts if not (logs and Path(name).name.endswith("results.json"))]


def _content(archive: zipfile.ZipFile, name: str, place: Path) -> bytes:
    """A file of a zip. Raises UserError for one that is damaged, encrypted, or packed beyond belief."""
    info = archive.getinfo(name)
    if info.file_size > _LARGE and info.file_size > _MOST_PACKED * info.compress_size:
        raise UserError(
            f"{place}, {name}",
            f"would unpack to {info.file_size:,} bytes from {info.compress_size:,}.",
            "Unpack it, if that is right, and score the folder.",
        )
    try:
        return archive.read(info)
    except (OSError, RuntimeError, zlib.error, zipfile.BadZipFile) as error:
        raise UserError(f"{place}, {name}", f"cannot be unpacked ({error}).", "Make the zip again.") from None


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
