"""Baked frames: a Parquet file for each shard, with one row for each frame of a video, as a JPEG.

``docs/decisions/0008-baked-frames.md`` says why they are in files of their own.
"""

from __future__ import annotations

import io
import posixpath
import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from pipeline.dataset.open_files import OpenFiles, Recent
from pipeline.errors import UserError
from pipeline.media.video import VideoError
from pipeline.records.sample import VideoRef
from pipeline.storage.hashing import content_sha256
from pipeline.storage.location import Location

# ``sha256`` is the video's: two lists of stills below one path are two videos. ``frame`` counts its frames.
FRAMES_SCHEMA = pa.schema(
    [("path", pa.string()), ("sha256", pa.string()), ("frame", pa.int32()), ("jpeg", pa.binary())],
    metadata={b"ufvideo_frames_version": b"1"},
)
FRAMES = "frames"  # their folder; its files are not named *.parquet, so no tool takes them for samples
_INDEX = ["path", "sha256", "frame"]
# Reading a video means reading its row groups. Small videos share one, large ones have several, which
# bounds what a writer holds.
_GROUP_BYTES = 256 << 10
_LARGEST_GROUP = 4 << 20
_CACHED_BYTES = 64 << 20


class FramesEntry(BaseModel):
    """The frames file of one shard."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    rows: int
    bytes: int
    sha256: str


def frames_name(shard: str) -> str:
    """``data/a-00003.parquet`` -> ``frames/a-00003.pq``."""
    return f"{FRAMES}/{posixpath.basename(shard).removesuffix('.parquet')}.pq"


def video_key(video: VideoRef) -> tuple[str, str]:
    """What distinguishes the videos of one source: path and content."""
    return video.path, video.sha256


def write_frames(
    out: Location, shard: str, videos: Iterable[tuple[VideoRef, Mapping[int, bytes]]]
) -> FramesEntry:
    """Write the frames file of a shard atomically; one video at a time is in memory.

    ``videos`` gives each video once, ascending by ``video_key``, with its JPEGs by frame. Equal videos give
    equal bytes.
    """
    made: list[FramesEntry] = []

    def fill(path: Path) -> None:
        rows = _write(path, videos)
        made.append(
            FramesEntry(
                name=frames_name(shard),
                rows=rows,
                bytes=path.stat().st_size,
                sha256=content_sha256(Location.parse(path)),
            )
        )

    (out / frames_name(shard)).write_with(fill)
    return made[0]


def _write(path: Path, videos: Iterable[tuple[VideoRef, Mapping[int, bytes]]]) -> int:
    rows, held, size = 0, list[tuple[str, str, int, bytes]](), 0
    with pq.ParquetWriter(
        path,
        FRAMES_SCHEMA,
        compression={**dict.fromkeys(_INDEX, "zstd"), "jpeg": "none"},  # a JPEG does not shrink further
        version="2.6",
        data_page_version="1.0",
        use_dictionary=["path", "sha256"],
        write_statistics=_INDEX,
    ) as writer:

        def flush() -> None:
            nonlocal held, size, rows
            if held:
                columns = [
                    pa.array(c, f.type) for c, f in zip(zip(*held, strict=True), FRAMES_SCHEMA, strict=True)
                ]
                writer.write_table(pa.table(columns, schema=FRAMES_SCHEMA), row_group_size=len(held))
            rows, held, size = rows + len(held), [], 0

        before: tuple[str, str] | None = None
        for video, jpegs in videos:
            assert before is None or before < video_key(video), "videos must be distinct and ascending"
            before = video_key(video)
            if size + sum(map(len, jpegs.values())) > _GROUP_BYTES:
                flush()
            for frame in sorted(jpegs):
                if size >= _LARGEST_GROUP:
                    flush()
                held.append((*video_key(video), frame, jpegs[frame]))
                size += len(jpegs[frame])
        flush()
    return rows


class _Group:
    """A row group in memory."""

    def __init__(self, table: pa.Table) -> None:
        self.nbytes = table.nbytes
        self._jpegs = table["jpeg"].combine_chunks()
        self._rows: dict[tuple[str, str], dict[int, int]] = {}
        for row, (path, sha256, frame) in enumerate(
            zip(*(table[n].to_pylist() for n in _INDEX), strict=True)
        ):
            self._rows.setdefault((path, sha256), {})[frame] = row

    def frames(self, video: VideoRef) -> Mapping[int, int]:
        """Rows of a video's frames."""
        return self._rows.get(video_key(video), {})

    def jpeg(self, row: int) -> bytes:
        return self._jpegs[row].as_py()


class FramesReader:
    """JPEGs of a dataset by file, video and frame, local or on S3; safe to share between threads.

    Remote files are fetched whole into the local cache when first touched.
    """

    def __init__(self, location: Location) -> None:
        self.location = location
        self._files = OpenFiles(location, _check_frames)
        self._groups = Recent[tuple[str, int], _Group](_CACHED_BYTES, weigh=lambda group: group.nbytes)
        self._lock = threading.Lock()

    def indices(self, name: str, video: VideoRef) -> list[int]:
        """Indices of the frames of a video in a file, ascending. Raises MissingFileError."""
        with self._lock:
            return [frame for group in self._groups_of(name, video) for frame in group.frames(video)]

    def jpegs(self, name: str, video: VideoRef, frames: Sequence[int]) -> list[bytes]:
        """The JPEG of each frame. Raises MissingFileError, UserError for a missing frame."""
        requested, found = set(frames), dict[int, bytes]()
        with self._lock:
            for group in self._groups_of(name, video):
                rows = group.frames(video)
                found |= {frame: group.jpeg(rows[frame]) for frame in requested & rows.keys()}
                if len(found) == len(requested):
                    return [found[frame] for frame in frames]
        stored = self.indices(name, video)
        has = f"{len(stored)}, {stored[0]} to {stored[-1]}" if stored else "none"
        raise UserError(
            (self.location / name).uri,
            f"holds no frame {min(requested - found.keys())} of {video.path} (it has {has}).",
            "Prepare the data with data.bake.frames set to what the model takes, or without data.bake, from "
            "the videos.",
        )

    def file_sha256(self, name: str) -> str:
        """SHA-256 of a file as it is in storage now; a copy of a remote one is replaced. Raises OSError."""
        with self._lock:
            self._groups.forget(lambda key: key[0] == name)
            self._files.forget(name)
        return content_sha256(Location.parse((self.location / name).fetch(again=True)))

    def _groups_of(self, name: str, video: VideoRef) -> Iterator[_Group]:
        """The row groups that may hold frames of a video. Paths rise, so the footer tells which they are."""
        file = self._files.get(name)
        meta = file.metadata

        def paths(number: int) -> Any:
            return meta.row_group(number).column(0).statistics

        numbers = range(meta.num_row_groups)
        for number in numbers[bisect_left(numbers, video.path, key=lambda n: paths(n).max) :]:
            if paths(number).min > video.path:
                return
            yield self._groups.get((name, number), partial(self._read, name, number))

    def _read(self, name: str, number: int) -> _Group:
        return _Group(self._files.read_group(name, number))


def _check_frames(schema: pa.Schema, where: str) -> None:
    if not schema.equals(FRAMES_SCHEMA, check_metadata=True):
        raise UserError(
            where,
            "is not a frames file of this version.",
            "Prepare the dataset again with this version.",
        )


@dataclass(frozen=True, slots=True)
class BakedFootage:
    """A ``Footage`` of frames that were baked for one shard."""

    frames: FramesReader
    name: str  # of the frames file
    video: VideoRef

    @property
    def place(self) -> str:
        """The frames file."""
        return (self.frames.location / self.name).uri

    def indices(self) -> list[int]:
        """Indices of the baked frames, ascending."""
        return self.frames.indices(self.name, self.video)

    def decode(self, indices: Sequence[int]) -> np.ndarray:
        """RGB uint8 [N, H, W, 3], at the size in which they were baked.

        Raises UserError for a frame that was not baked, VideoError for one that is damaged.
        """
        made = dict(self.stream(indices))
        if len({picture.shape for picture in made.values()}) > 1:
            raise VideoError(f"{self.place}: frames of {self.video.path} differ in size")
        return np.stack([made[index] for index in indices])

    def stream(self, indices: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Each distinct frame with its index, ascending; all JPEGs are in memory. Raises as ``decode``."""
        distinct = sorted(set(indices))
        for frame, jpeg in zip(distinct, self.frames.jpegs(self.name, self.video, distinct), strict=True):
            yield frame, self._picture(frame, jpeg)

    def _picture(self, frame: int, jpeg: bytes) -> np.ndarray:
        from PIL import Image

        try:
            with Image.open(io.BytesIO(jpeg)) as image:
                return np.asarray(image.convert("RGB"))
        except (OSError, SyntaxError) as error:
            raise VideoError(f"{self.place}: frame {frame} of {self.video.path} is damaged") from error


def to_jpeg(picture_HW3: np.ndarray, longest_side: int | None, quality: int) -> bytes:
    """An RGB picture as a JPEG without subsampled colour, reduced to ``longest_side`` pixels if it is larger.

    The same picture gives the same bytes with the same Pillow.
    """
    from PIL import Image

    image: Any = Image.fromarray(picture_HW3)
    largest = max(image.size)
    if longest_side is not None and largest > longest_side:
        size = tuple(max(round(n * longest_side / largest), 1) for n in image.size)
        image = image.resize(size, Image.Resampling.BICUBIC)  # Pillow's is anti-aliased
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, subsampling=0, optimize=False, progressive=False)
    return buffer.getvalue()
