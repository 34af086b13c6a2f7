"""The annotation files that a plan reads, and the chunks in which they are read."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from datasets_prep.sources import Files, format_of, reader_of
from datasets_prep.sources.json.json_file import Chunk, Limits
from pipeline.errors import UserError
from pipeline.plan.data import SourceConfig
from pipeline.storage.location import Location
from pipeline.storage.unpacked import GZIP_SUFFIX, fetch_unpacked

CHUNK_BYTES = 4 << 20  # of annotations; parsed JSON takes about ten times as much memory


@dataclass(frozen=True, kw_only=True)
class ReadUnit:
    """One annotation file of one source."""

    source_index: int
    file_index: int
    source: SourceConfig
    name: str
    annotations: Location
    masks: Location | None = None
    keep_videos: Location | None = None
    drop_videos: Location | None = None

    def files(self) -> Files:
        """The files on this machine's disk."""
        masks = self.masks
        folder = masks is not None and masks.is_dir()
        return Files(
            annotations=fetch_unpacked(self.annotations, hold=True),
            masks=masks.fetch_dir(hold=True) if masks and folder else _unpacked(masks),
            keep_videos=_unpacked(self.keep_videos),
            drop_videos=_unpacked(self.drop_videos),
            name=self.name,
        )


@dataclass(frozen=True, kw_only=True)
class PlannedChunk:
    """A chunk and the number of its unit in the plan. Chunks are numbered in the order of the plan."""

    unit: int
    chunk: Chunk


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
                    keep_videos=_list(source, "keep_videos", resolve),
                    drop_videos=_list(source, "drop_videos", resolve),
                )
            )
    return units


def cut(unit: ReadUnit, rows_per_shard: int) -> list[Chunk]:
    """The chunks of one file: at most as many records as a shard has rows, and about CHUNK_BYTES.

    Raises UserError for a file that cannot be read as a whole.
    """
    reader = reader_of(unit.source.format)
    limits = Limits(records=rows_per_shard, bytes=CHUNK_BYTES)
    with readable(unit):
        return list(reader.chunks(unit.source, unit.files(), limits))


def _unpacked(place: Location | None) -> Path | None:
    return None if place is None else fetch_unpacked(place, hold=True)


@contextmanager
def readable(unit: ReadUnit) -> Iterator[None]:
    """Turn an error of reading an annotation file into a UserError, also on a broken disk.

    It names the file of the source, even where a local copy was read.
    """
    place = unit.annotations
    try:
        yield
    except UserError as error:
        copy = error.where.startswith(f"{place.cache_dir()}/")
        if copy and os.path.basename(error.where) == place.name.removesuffix(GZIP_SUFFIX):
            raise UserError(place.uri, error.problem, error.fix) from error
        raise
    except OSError as error:
        raise UserError(
            str(error.filename or unit.annotations.uri),
            f"cannot be read ({error.strerror or error}).",
            "Check the disk that it is on, or download it again.",
        ) from error


def _files(source: SourceConfig, root: Location) -> list[tuple[str, Location]]:
    row = format_of(source.format)
    if not root.exists():
        raise UserError(
            f"source {source.name}",
            f"{root.uri} does not exist.",
            "Correct `annotations`, or download the set first.",
        )
    if not root.is_dir():
        return [(_stem(root.name) if row.named_alone else "", root)]
    if source.files:
        found = sorted({f for pattern in source.files for f in root.glob(pattern)}, key=lambda f: f.uri)
        wanted = " or ".join(source.files)
    else:
        endings = row.reader.suffixes
        found = [f for f in root.list(recursive=True) if f.name.removesuffix(GZIP_SUFFIX).endswith(endings)]
        wanted = " or ".join(endings)
    if not found:
        raise UserError(
            f"source {source.name}",
            f"no file below {root.uri} fits {wanted}.",
            "Point `annotations` at the folder that holds the annotation files, or correct `files`.",
        )
    _check_files(source, found)
    if row.one_file and len(found) == 1:
        return [("", found[0])]
    return list(zip(_names([f.uri[len(root.uri) + 1 :] for f in found]), found, strict=True))


def _check_files(source: SourceConfig, found: Sequence[Location]) -> None:
    """Raise UserError for a file that is listed twice, or whose name, a part of keys, is not UTF-8."""
    known: dict[str, Location] = {}
    forms: dict[str, Location] = {}
    for file in found:
        if file.uri.encode("utf-8", "replace").decode("utf-8") != file.uri:
            raise UserError(
                f"source {source.name}", f"the file name {file.uri!a} is not UTF-8.", "Rename it."
            )
        first = known.setdefault(os.path.realpath(file.uri) if file.is_local else file.uri, file)
        if first is not file:
            raise UserError(
                f"source {source.name}",
                f"{first.uri} and {file.uri} are the same file by a link, and would be read twice.",
                "Remove the link, or name the files to read in `files`.",
            )
        other = forms.setdefault(_stem(file.uri), file)
        if other is not file and any(f.name.endswith((GZIP_SUFFIX, ".parquet")) for f in (file, other)):
            raise UserError(
                f"source {source.name}",
                f"{other.uri} and {file.uri} look like one list in two forms, and would be read twice.",
                "Remove one of them, or name the files to read in `files`.",
            )


def _masks(source: SourceConfig, root: Location, resolve: Callable[[str], Location]) -> Location | None:
    if source.masks is not None:
        masks = resolve(source.masks)
        if not masks.exists():
            raise UserError(f"source {source.name}", f"{masks.uri} does not exist.", "Correct `masks`.")
        return masks
    name = format_of(source.format).masks_beside
    beside = root / name
    return beside if name and root.is_dir() and beside.exists() else None


def _list(source: SourceConfig, key: str, resolve: Callable[[str], Location]) -> Location | None:
    path = getattr(source, key)
    if path is None:
        return None
    place = resolve(path)
    if not place.exists():
        raise UserError(f"source {source.name}", f"{place.uri} does not exist.", f"Correct `{key}`.")
    return place


def _names(paths: Sequence[str]) -> Sequence[str]:
    """A unique name for each path: without its suffix, except where two paths differ only in the suffix."""
    stems = Counter(map(_stem, paths))
    names = [_stem(path) if stems[_stem(path)] == 1 else path for path in paths]
    return names if len(set(names)) == len(names) else paths


def _stem(path: str) -> str:
    return path.removesuffix(GZIP_SUFFIX).rsplit(".", 1)[0]
