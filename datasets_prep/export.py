"""``ufvideo export DATASET OUT``: a prepared dataset as WebDataset, for other people's trainers.

https://github.com/webdataset/webdataset: tar files in which the files of one item have one name before the
first dot. An item is a video with all its samples of a source: ``00000000.json``, and ``00000000.mp4`` with
the video's own bytes or ``00000000.000.jpg`` ... with frames. The same dataset and options give the same
bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow.compute as pc

from pipeline import progress
from pipeline.artifacts.verify import open_artifact
from pipeline.commands.export import SHARD_MB, add_arguments, refuse_others
from pipeline.dataset.baked import to_jpeg
from pipeline.dataset.reader import ShardReader
from pipeline.errors import UserError
from pipeline.jobs.guard import guarded
from pipeline.media.files import VideoError
from pipeline.media.footage import VideoFootage
from pipeline.media.frame_choice import sample_indices
from pipeline.media.same_video import MissingVideoError, OtherVideoError, VerifyVideos, verify
from pipeline.plan.data import file_stem
from pipeline.plan.suggest import suggest
from pipeline.records.sample import MaskTrack, Sample, TimeSpan
from pipeline.storage.location import Location
from pipeline.times.frame_times import frame_times

INDEX = "index.json"
FORMAT = 1
QUALITY = 95
# Without the place where it was looked for, which differs from machine to machine.
_LEFT_OUT: Mapping[type[Exception], str] = {
    MissingVideoError: "the video is gone",
    FileNotFoundError: "the video is gone",
    OtherVideoError: "another file is in the video's place",
    VideoError: "the video does not decode",
}


@dataclass(frozen=True, kw_only=True)
class Export:
    """What was written. ``left_out`` has every video that could not be, its number of samples, and why."""

    shards: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[dict[str, Any]] = field(default_factory=list)

    @property
    def counts(self) -> str:
        """The size in words."""
        videos, samples, size = (sum(s[name] for s in self.shards) for name in ("videos", "samples", "bytes"))
        return f"{videos} videos with {samples} samples in {len(self.shards)} tar files, {size / 1e6:.1f} MB"


def export(
    dataset: Location,
    out: Path,
    *,
    sources: Sequence[str] = (),
    frames: int | None = None,
    shard_bytes: int = SHARD_MB << 20,
) -> Export:
    """Write the folder ``out``, which may hold nothing yet; ``index.json`` last.

    ``frames``: so many evenly spread frames of a video in place of its file. A shard ends once it has
    ``shard_bytes``. Raises UserError for what is no finished dataset, and for a source that it does not have.
    """
    record = open_artifact(dataset).record
    reader = ShardReader(dataset)
    names = [entry.name for entry in reader.manifest.sources]
    for name in sources:
        if name not in names:
            raise UserError(f"--source {name}", "is not in the dataset.", suggest(name, names, "It has"))
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(str(out), "is there already.", "Name a folder that is not.")
    out.mkdir(parents=True, exist_ok=True)
    made = Export()
    for name in (name for name in names if not sources or name in sources):
        _write_source(reader, name, out, made, frames, shard_bytes)
    index = {
        "format": FORMAT,
        "dataset": record.digest,
        "frames": frames,
        "shards": made.shards,
        "left_out": made.left_out,
    }
    (out / INDEX).write_text(json.dumps(index, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return made


def _write_source(
    reader: ShardReader, source: str, out: Path, made: Export, frames: int | None, shard_bytes: int
) -> None:
    rows_of = _rows_by_video(reader, source)
    shard: _Shard | None = None
    number = 0
    with progress.track(source, len(rows_of)) as bar:
        for video, rows in rows_of.items():
            samples = list(reader.samples(source, rows))
            try:
                pictures, files = _media(reader, samples[0], frames)
            except tuple(_LEFT_OUT) as error:
                reason = next(text for kind, text in _LEFT_OUT.items() if isinstance(error, kind))
                made.left_out.append(
                    {"source": source, "video": video, "samples": len(rows), "reason": reason}
                )
                bar.advance()
                continue
            shard = shard or _Shard(out / f"{file_stem(source)}-{number:05d}.tar", source)
            item = _json(samples, pictures)
            text = json.dumps(item, ensure_ascii=False, separators=(",", ":")).encode()
            shard.add({"json": text, **files}, len(samples))
            if shard.size >= shard_bytes:
                made.shards.append(shard.close())
                shard, number = None, number + 1
            bar.advance()
    if shard is not None:
        made.shards.append(shard.close())


def _rows_by_video(reader: ShardReader, source: str) -> Mapping[str, list[int]]:
    """Rows of each video, videos in the order of their first sample."""
    table = reader.columns(source, ["video"])
    rows: dict[str, list[int]] = {}
    for row, path in enumerate(pc.struct_field(table["video"], "path").to_pylist()):
        rows.setdefault(path, []).append(row)
    return rows


def _media(
    reader: ShardReader, sample: Sample, frames: int | None
) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """What the JSON says about the pictures, and the files by their ending: the video, or JPEGs.

    Raises one of ``_LEFT_OUT`` for a video that cannot be used.
    """
    ref, place = sample.video, reader.media(sample)
    path = place.fetch_dir() if ref.frames else place.fetch()
    verify(path, ref, VerifyVideos.WHOLE)
    if frames is not None:
        chosen = sorted(set(sample_indices(ref.num_frames, frames)))
        stream = VideoFootage(path, ref, VerifyVideos.OFF).stream(chosen)
        files = {f"{n:03d}.jpg": to_jpeg(picture, None, QUALITY) for n, (_, picture) in enumerate(stream)}
    elif ref.frames:
        chosen = list(range(len(ref.frames)))
        suffixes = [PurePosixPath(name).suffix.lower() for name in ref.frames]
        stills = zip(ref.frames, suffixes, strict=True)
        files = {f"{n:06d}{end}": (path / name).read_bytes() for n, (name, end) in enumerate(stills)}
    else:
        return [], {PurePosixPath(ref.path).suffix.lower().lstrip(".") or "video": path.read_bytes()}
    times = frame_times(ref)
    pictures = [
        {"file": name, "frame": index, "time_s": times.edge_s(index)}
        for name, index in zip(files, chosen, strict=True)
    ]
    return pictures, files


def _json(samples: Sequence[Sample], pictures: list[dict[str, Any]]) -> dict[str, Any]:
    ref = samples[0].video
    video = {
        name: getattr(ref, name)
        for name in ("path", "sha256", "num_frames", "fps", "duration_s", "height", "width")
    }
    return _filled({"video": video, "pictures": pictures, "samples": [_sample(s) for s in samples]})


def _sample(sample: Sample) -> dict[str, Any]:
    """A sample without what is empty. Times are seconds of the video, masks compressed COCO RLE by frame."""
    return _filled(
        {
            "key": sample.key,
            "task": str(sample.task),
            "turns": [{"role": str(turn.role), "text": turn.text} for turn in sample.turns],
            "regions": [_track(track) for track in sample.regions],
            "targets": [_track(track) for track in sample.targets],
            "spans": [_span(span) for span in sample.spans],
            "question_spans": [_span(span) for span in sample.question_spans],
            "instants": [_span(span) for span in sample.instants],
            "clip": _span(sample.clip) if sample.clip else None,
            "choices": list(sample.choices),
            "answer_index": sample.answer_index if sample.choices else None,
            "reference": sample.reference,
            "expression": sample.expression,
            "category": sample.category,
        }
    )


def _span(span: TimeSpan) -> list[float]:
    return [span.start_s, span.end_s]


def _track(track: MaskTrack) -> dict[str, Any]:
    return {"size": [track.height, track.width], "frames": list(track.frames), "counts": list(track.counts)}


def _filled(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, "", [])}


class _Shard:
    """A tar file with nothing in it that differs from run to run."""

    def __init__(self, path: Path, source: str) -> None:
        self.path, self.source = path, source
        self._items = self._samples = 0
        self._tar = tarfile.TarFile(path, "w", format=tarfile.USTAR_FORMAT)

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._tar.offset

    def add(self, files: Mapping[str, bytes], samples: int) -> None:
        """The files of one item, by their endings."""
        for ending, content in files.items():
            member = tarfile.TarInfo(f"{self._items:08d}.{ending}")  # time, owner and group are 0
            member.size = len(content)
            self._tar.addfile(member, io.BytesIO(content))
        self._items += 1
        self._samples += samples

    def close(self) -> dict[str, Any]:
        """End the file; its entry in the index."""
        self._tar.close()
        with self.path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return {
            "file": self.path.name,
            "source": self.source,
            "videos": self._items,
            "samples": self._samples,
            "bytes": self.path.stat().st_size,
            "sha256": sha256,
        }


def main(argv: list[str] | None = None) -> int:
    """The command. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="ufvideo export")
    add_arguments(parser)
    options = parser.parse_args(argv)
    return guarded(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    refuse_others(options, ("scores", "language_only", "push", "public"), "dataset")
    for name in ("frames", "shard_mb"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise UserError(f"--{name.replace('_', '-')} {value}", "is not possible.", "Give 1 or more.")
    made = export(
        Location.parse(options.artifact),
        Path(options.out),
        sources=options.source,
        frames=options.frames,
        shard_bytes=(options.shard_mb or SHARD_MB) << 20,
    )
    print(f"written: {options.out}: {made.counts}, {INDEX}")
    for text in _told(made):
        print(text)
    if made.shards:
        first = f"{options.out}/{made.shards[0]['file']}"
        print(f"Next, in Python: webdataset.WebDataset({first!r}, shardshuffle=False).decode()", flush=True)
    return 0


def _told(made: Export) -> Iterator[str]:
    if made.left_out:
        first = made.left_out[0]
        yield f"left out: {len(made.left_out)} videos, listed in {INDEX}; {first['video']}: {first['reason']}"


if __name__ == "__main__":
    sys.exit(main())
