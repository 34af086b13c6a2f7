"""Which form a file or folder of predictions has."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from evaluation.score.given import Given, id_name
from evaluation.score.mask_trees import MaskFiles, is_hidden, tracks
from evaluation.score.texts import read_json
from pipeline.errors import UserError
from pipeline.storage.unpacked import GZIP_SUFFIX

TEXTS = (".json", ".jsonl", ".ndjson", ".txt")
_GZIP = b"\x1f\x8b"
_LARGE, _MOST_PACKED = 100_000_000, 200  # bytes; texts and RLE pack to a tenth, seldom to a hundredth
FORMS = (
    "JSON or JSON lines (.json, .jsonl; .gz too), a folder of such files, PNG masks in "
    "VIDEO/EXPRESSION/FRAME.png as a folder or .zip, or an evaluation's folder below answers/"
)


def read_predictions(place: Path) -> Iterator[Given]:
    """Every prediction of a file or folder. Raises UserError for a form that is not recognised."""
    if not place.exists():
        raise UserError(str(place), "does not exist.", "Correct --predictions.")
    if place.is_dir():
        yield from _of_folder(place)
    elif zipfile.is_zipfile(place):
        yield from _of_zip(place)
    elif _is_text(place.name):
        yield from read_json(_unpacked(place.read_bytes(), str(place)), str(place))
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
            where = place / name
            yield from read_json(_unpacked(where.read_bytes(), str(where)), str(where))
    else:
        raise _unknown(place, "holds neither PNG files nor JSON")


def _of_zip(place: Path) -> Iterator[Given]:
    with zipfile.ZipFile(place) as archive:
        texts = _texts(archive.namelist())
        if MaskFiles(place).names():
            yield from tracks(MaskFiles(place))
        elif texts:
            for name in texts:
                where = f"{place}, {name}"
                yield from read_json(_unpacked(_content(archive, name, place), where), where)
        else:
            raise _unknown(place, "holds neither PNG files nor JSON")


def _texts(names: Sequence[str]) -> list[str]:
    """The files with predictions. Beside its logs of samples, lmms-eval writes a summary without any."""
    texts = [name for name in names if _is_text(name) and not is_hidden(name)]
    logs = any("samples_" in Path(name).name for name in texts)
    summaries = ("results.json", "results.json.gz")
    return [name for name in texts if not (logs and Path(name).name.endswith(summaries))]


def _is_text(name: str) -> bool:
    return Path(name.lower().removesuffix(GZIP_SUFFIX)).suffix in TEXTS


def _unpacked(content: bytes, where: str) -> bytes:
    """The content, of a gzip file what it holds. Raises UserError for one that is damaged or never ends."""
    if not content.startswith(_GZIP):
        return content
    most = max(_LARGE, _MOST_PACKED * len(content))
    try:
        with gzip.open(io.BytesIO(content)) as file:
            found = file.read(most + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(where, f"cannot be unpacked ({error}).", "Pack it again.") from None
    if len(found) > most:
        raise UserError(
            where,
            f"would unpack to more than {most:,} bytes from {len(content):,}.",
            "Unpack it, if that is right, and score that file.",
        )
    return found


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
