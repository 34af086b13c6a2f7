"""Which annotation files a plan reads, and the chunks in which they are read."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from datasets_prep.sources import Files, format_of, reader_of
from datasets_prep.sources.json.json_file import Chunk, Limits
from pipeline.errors import UserError
from pipeline.plan.data import SourceConfig
from pipeline.storage.location import Location

CHUNK_BYTES = 4 << 20  # of annotation; parsed, JSON takes some ten times as much memory


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
        local = (
            None
            if masks is None
            else masks.fetch_dir(hold=True)
            if masks.is_dir()
            else masks.fetch(hold=True)
        )
        return Files(
            annotations=self.annotations.fetch(hold=True),
            masks=local,
            keep_videos=self.keep_videos.fetch(hold=True) if self.keep_videos else None,
            drop_videos=self.drop_videos.fetch(hold=True) if self.drop_videos else None,
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
    """The chunks of one file: as many records as a shard has rows, but not much more than CHUNK_BYTES.

    Raises UserError for a file that as a whole cannot be read.
    """
    reader = reader_of(unit.source.format)
    limits = Limits(records=rows_per_shard, bytes=CHUNK_BYTES)
    with readable(unit):
        return list(reader.chunks(unit.source, unit.files(), limits))


@contextmanager
def readable(unit: ReadUnit) -> Iterator[None]:
    """An annotation file that cannot be read is for the user to mend, on a broken disk as well."""
    try:
        yield
    except OSError as error:
        raise UserError(
            str(error.filename or unit.annotations.uri),
            f"cannot be read ({error.strerror or error}).",
            "Check the disk that it lies on, or download it again.",
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
        found = [f for f in root.list(recursive=True) if f.name.endswith(row.reader.suffixes)]
        wanted = " or ".join(row.reader.suffixes)
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
    """Every file counts once, and its name, which becomes a part of keys, is text that a shard can hold."""
    known: dict[str, Location] = {}
    for file in found:
        if file.uri.encode("utf-8", "replace").decode("utf-8") != file.uri:
            raise UserError(f"source {source.name}", f"the file name {file.uri!a} is no UTF-8.", "Rename it.")
        first = known.setdefault(os.path.realpath(file.uri) if file.is_local else file.uri, file)
        if first is not file:
            raise UserError(
                f"source {source.name}",
                f"{first.uri} and {file.uri} are the same file by a link, and would be read twice.",
                "Remove the link, or name the files to read in `files`.",
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
    """A name for each path, unique: without its suffix, but where only the suffix tells two apart."""
    stems = Counter(map(_stem, paths))
    names = [_stem(path) if stems[_stem(path)] == 1 else path for path in paths]
    return names if len(set(names)) == len(names) else paths


def _stem(path: str) -> str:
    return path.rsplit(".", 1)[0]
