"""Annotation files -> drafts, as Arrow tables that travel through Ray Data."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from datasets_prep.draft import ODD, Draft, Reason, RejectError
from datasets_prep.sources import READERS, Files, Record
from pipeline.config.data import SourceConfig, SourceFormat
from pipeline.errors import UserError
from pipeline.storage import Location

_ROWS = 256  # drafts in one table
_DETAIL = 400  # characters of a reject's detail

# ``source``, ``file``, ``record`` and ``part`` number a draft in the order of the plan and of its files; rows
# are brought back into that order at the end, so that no scheduling can change the result.
DRAFT_SCHEMA = pa.schema(
    [
        ("source", pa.int32()),
        ("file", pa.int32()),
        ("record", pa.int64()),
        ("part", pa.int32()),
        ("key", pa.string()),
        ("reason", pa.string()),  # why it was rejected; empty: it was not
        ("detail", pa.string()),
        ("left_out", pa.bool_()),  # by ``keep_types``
        ("media_id", pa.string()),
        ("media", pa.string()),
        ("draft", pa.binary()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class ReadUnit:
    """One annotation file of one source."""

    source_index: int
    file_index: int
    source: SourceConfig
    name: str
    annotations: Location
    masks: Location | None = None


def list_units(sources: Sequence[SourceConfig], resolve: Callable[[str], Location]) -> list[ReadUnit]:
    """Every annotation file of the plan. Raises UserError for one that is missing."""
    units = []
    for index, source in enumerate(sources):
        root = resolve(source.annotations)
        for number, (name, file) in enumerate(_files(source, root)):
            units.append(
                ReadUnit(
                    source_index=index,
                    file_index=number,
                    source=source,
                    name=name,
                    annotations=file,
                    masks=_masks(source, root, resolve),
                )
            )
    return units


def read_unit(unit: ReadUnit, seed: int) -> Iterator[pa.Table]:
    """Drafts and rejects of one file. Raises UserError if the file as a whole is unreadable."""
    reader = READERS[unit.source.format]
    files = Files(
        annotations=unit.annotations.fetch(), masks=unit.masks.fetch() if unit.masks else None, name=unit.name
    )
    rows: list[dict[str, Any]] = []
    for number, record in enumerate(reader.records(unit.source, files)):
        for part, row in enumerate(_convert(reader.convert, record, unit.source, seed)):
            place = {"source": unit.source_index, "file": unit.file_index, "record": number, "part": part}
            rows.append(place | row)
        if len(rows) >= _ROWS:
            yield pa.Table.from_pylist(rows, schema=DRAFT_SCHEMA)
            rows = []
    yield pa.Table.from_pylist(rows, schema=DRAFT_SCHEMA)


def reject_fields(error: RejectError) -> dict[str, str]:
    """The columns that tell a reject from the rest."""
    # Names of files need not be UTF-8, Arrow's text must be.
    detail = error.detail[:_DETAIL].encode("utf-8", "replace").decode("utf-8")
    return {"reason": str(error.reason), "detail": detail}


def _convert(
    convert: Callable[[Record, SourceConfig, int], list[Draft]],
    record: Record,
    source: SourceConfig,
    seed: int,
) -> list[dict[str, Any]]:
    try:
        drafts = convert(record, source, seed)
    except RejectError as error:
        return [_row(record.key, **reject_fields(error))]
    except ODD as error:
        # A shape of record that the reader did not foresee: its fault or the file's, but never a lost record.
        problem = RejectError(Reason.MALFORMED, f"{type(error).__name__}: {error}")
        return [_row(record.key, **reject_fields(problem))]
    return [_draft_row(draft, source) for draft in drafts]


def _draft_row(draft: Draft, source: SourceConfig) -> dict[str, Any]:
    if source.keep_types and draft.type not in source.keep_types:
        return _row(draft.key, left_out=True)
    media = json.dumps(
        [source.media, draft.media.candidates, draft.media.frames, draft.media.folder_fps], ensure_ascii=True
    )
    return _row(
        draft.key,
        media_id=hashlib.sha256(media.encode()).hexdigest(),
        media=media,
        draft=pickle.dumps(draft, protocol=5),
    )


def _row(key: str, **fields: Any) -> dict[str, Any]:
    empty = {"reason": "", "detail": "", "left_out": False, "media_id": "", "media": "", "draft": b""}
    return {"key": key, **empty, **fields}


def _files(source: SourceConfig, root: Location) -> list[tuple[str, Location]]:
    reader = READERS[source.format]
    if not root.exists():
        raise UserError(
            f"source {source.name}",
            f"{root.uri} does not exist.",
            "Correct `annotations`, or download the set first.",
        )
    if not root.is_dir():
        return [("" if source.format is not SourceFormat.MVBENCH else _stem(root.name), root)]
    found = [f for f in root.list(recursive=True) if f.name.endswith(reader.suffixes)]
    if not found:
        raise UserError(
            f"source {source.name}",
            f"no file below {root.uri} ends in {' or '.join(reader.suffixes)}.",
            "Point `annotations` at the folder that holds the annotation files.",
        )
    if source.format is SourceFormat.META_EXPRESSIONS and len(found) == 1:
        return [("", found[0])]
    return list(zip(_names([f.uri[len(root.uri) + 1 :] for f in found]), found, strict=True))


def _masks(source: SourceConfig, root: Location, resolve: Callable[[str], Location]) -> Location | None:
    if source.format is not SourceFormat.META_EXPRESSIONS:
        return None
    if source.masks is not None:
        masks = resolve(source.masks)
        if not masks.exists():
            raise UserError(f"source {source.name}", f"{masks.uri} does not exist.", "Correct `masks`.")
        return masks
    beside = root / "mask_dict.json"
    return beside if root.is_dir() and beside.exists() else None


def _names(paths: Sequence[str]) -> Sequence[str]:
    """A name for each path, unique: without its suffix, but where only the suffix tells two apart."""
    stems = Counter(map(_stem, paths))
    names = [_stem(path) if stems[_stem(path)] == 1 else path for path in paths]
    return names if len(set(names)) == len(names) else paths


def _stem(path: str) -> str:
    return path.rsplit(".", 1)[0]
