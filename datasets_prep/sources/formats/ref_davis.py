"""Ref-DAVIS17 as downloaded: four text files and a DAVIS 2017 folder.

Format: https://www.mpi-inf.mpg.de/departments/computer-vision-and-machine-learning/research/
video-segmentation/video-object-segmentation-with-language-referring-expressions, read the way ReferFormer's
converter reads it. A line is ``<video> <object> "<expression>"``. Two people wrote one expression each after
seeing the first frame, and one after seeing the full video; the i-th object of a video (ids sorted as text)
has expressions 4i to 4i + 3, one from each file. Masks are in ``Annotations_unsupervised/480p``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from datasets_prep.draft import Draft, DraftTrack, Media, Reason, RejectError
from datasets_prep.sources.bases.fields import expression_of, mapping, media_of
from datasets_prep.sources.bases.format import Format
from datasets_prep.sources.bases.grouped_chunks import Group, pack, places
from datasets_prep.sources.bases.label_images import LabelImages, image_bytes, object_ids
from datasets_prep.sources.bases.reader import WHOLE, Files, Record, record_key
from datasets_prep.sources.bases.segmentation_text import segment
from datasets_prep.sources.bases.video_lists import VideoFilter
from datasets_prep.sources.json.json_file import Chunk, Limits
from pipeline.errors import UserError
from pipeline.plan.data import SourceConfig, Use
from pipeline.records.sample import Task

_FILES = (
    "Davis17_annot1.txt",
    "Davis17_annot1_full_video.txt",
    "Davis17_annot2.txt",
    "Davis17_annot2_full_video.txt",
)
_KINDS = ("first_frame", "full_video")
_MISSPELT = {"clasic-car": "classic-car", "dog-scale": "dogs-scale", "motor-bike": "motorbike"}
# The second annotator's files are not UTF-8. Bytes in which cp1252 and Latin-1 differ are quotation marks in
# cp1252 and control characters in Latin-1.
_ENCODINGS = ("utf-8", "cp1252", "latin-1")


@dataclass(frozen=True, slots=True)
class _Line:
    number: int  # from 1
    video: str
    object: str
    expression: str


class RefDavis:
    """One draft per line, keyed ``<source>/<video>/<expression id>`` as in the converted set."""

    suffixes = _FILES

    def chunks(self, source: SourceConfig, files: Files, limits: Limits) -> Iterator[Chunk]:
        """The videos of one file. Raises UserError for a file of another name and without masks."""
        if files.annotations.name not in _FILES:
            raise UserError(
                str(files.annotations),
                f"is none of {', '.join(_FILES)}: only the name says whose expressions it holds.",
                "Point `annotations` at davis_text_annotations, the folder of these four.",
            )
        if files.masks is None or not files.masks.is_dir():
            raise UserError(
                f"source {source.name}",
                f"needs a folder of label images, not {files.masks}.",
                "Set `masks` to DAVIS/Annotations_unsupervised/480p.",
            )
        return pack(_groups(source, files), limits)

    def records(self, source: SourceConfig, files: Files, chunk: Chunk | None = None) -> Iterator[Record]:
        """Expressions by video, in the order of their ids."""
        parts = [chunk] if chunk else list(self.chunks(source, files, WHOLE))
        order = _FILES.index(files.annotations.name)
        videos, strays = _read(files.annotations)
        for part in parts:
            for name, wanted in places(part):
                if name is None:
                    for number, text in strays:
                        problem = f'line {number} is not `<video> <object> "<expression>"`: {text[:80]!r}'
                        yield Record(key=record_key(source, files, "line", number), raw={"problem": problem})
                    continue
                video_files = _Video(files.masks, name) if wanted else None
                for rank, line in enumerate(videos[name]):
                    key = f"{source.name}/{name}/{len(_FILES) * rank + order}"
                    raw = {"line": line, "files": video_files, "kind": _KINDS[order % 2]}
                    yield Record(key=key, raw=raw if wanted else None, left_out=not wanted)

    def media(self, record: Record, source: SourceConfig, seed: int) -> tuple[Media, ...]:
        """The folder of the frames that have a label image."""
        raw = mapping(record.raw)
        return () if "problem" in raw else (raw["files"].media(),)

    def convert(self, record: Record, source: SourceConfig, seed: int) -> list[Draft]:
        """``category`` says whether the writer had seen the full video."""
        raw = mapping(record.raw)
        if "problem" in raw:
            raise RejectError(Reason.MALFORMED, raw["problem"])
        line: _Line = raw["line"]
        files: _Video = raw["files"]
        return [
            segment(
                record,
                source,
                seed,
                expression=expression_of(line.expression, "expression"),
                media=files.media(),
                target=files.track(line.object, must_show=source.use is Use.TRAIN),
                category=raw["kind"],
                kind=raw["kind"],
                void=files.images().void() if source.void else None,
            )
        ]


class _Video:
    """One video: its frames and their label images, found and decoded on demand."""

    def __init__(self, masks: Path | None, video: str) -> None:
        assert masks is not None, "checked where chunks are cut"
        self._masks, self._video = masks, video
        self._frames: list[str] | None = None
        self._images: LabelImages | None = None

    def media(self) -> Media:
        """The frames by name, so that a mask and its frame match, whatever else is in the folder."""
        return Media(
            candidates=media_of(self._video, "JPEGImages/480p", "480p").candidates,
            frames=tuple(self._names()),
        )

    def track(self, object_id: str, *, must_show: bool) -> DraftTrack:
        """The masks of one object."""
        return self.images().track(object_ids(object_id), must_show=must_show)

    def images(self) -> LabelImages:
        """Its label images."""
        if self._images is None:
            self._images = LabelImages(_folder(self._masks, self._video), self._names())
        return self._images

    def _names(self) -> list[str]:
        if self._frames is None:
            self._frames = _numbered(_folder(self._masks, self._video))
        return self._frames


def _folder(masks: Path, video: str) -> Path:
    return masks / media_of(video).candidates[0]


def _numbered(folder: Path) -> list[str]:
    """Names of the label images, which DAVIS numbers from 00000 without gaps. Raises RejectError."""
    try:
        names = sorted(p.stem for p in folder.iterdir() if p.suffix == ".png" and not p.name.startswith("."))
    except OSError as error:
        raise RejectError(
            Reason.MASK_MISSING, f"no folder of label images for {folder.name} ({error.strerror})"
        ) from error
    gap = next((at for at, name in enumerate(names) if name != f"{at:05d}"), None)
    if not names or gap is not None:
        raise RejectError(Reason.MASK_MISSING, f"{folder.name} lacks the label image {gap or 0:05d}.png")
    return names


def _groups(source: SourceConfig, files: Files) -> Iterator[Group]:
    assert files.masks is not None, "checked where chunks are cut"
    wants = VideoFilter(source, files, every_file=True)
    videos, strays = _read(files.annotations)
    for name, lines in videos.items():
        wanted, size = wants.wants(name), 0
        if wanted:
            try:
                folder = _folder(files.masks, name)
                size = image_bytes(folder, _numbered(folder))
            except RejectError:  # raised again when its records are converted
                size = 0
        yield Group(place=(name, wanted), count=len(lines), size=size)
    if strays:
        yield Group(place=(None, True), count=len(strays), size=0)
    wants.check_used()


def _read(path: Path) -> tuple[dict[str, list[_Line]], list[tuple[int, str]]]:
    """The lines of each video sorted by object id as text, and the lines of another form."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(
            str(path), f"cannot be opened ({error.strerror}).", "Correct `annotations` in the plan."
        ) from error
    videos: dict[str, list[_Line]] = {}
    strays: list[tuple[int, str]] = []
    for number, raw in enumerate(content.removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        text = _decode(raw).strip()
        parts = text.split(maxsplit=2)
        if len(parts) == 3:
            video = _MISSPELT.get(parts[0], parts[0])
            expression = parts[2].removeprefix('"').removesuffix('"')
            videos.setdefault(video, []).append(_Line(number, video, parts[1], expression))
        elif text:
            strays.append((number, text))
    for lines in videos.values():
        lines.sort(key=lambda line: line.object)
    return videos, strays


def _decode(raw: bytes) -> str:
    for encoding in _ENCODINGS:
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise AssertionError("Latin-1 decodes every byte")


FORMAT = Format(
    name="ref_davis",
    about="Ref-DAVIS17: Davis17_annot*.txt and label images",
    tasks=(Task.SEGMENT,),
    reader=RefDavis(),
    options=("masks", "void", "drop_videos", "question_templates", "answer_templates"),
    needs={
        "keep_videos": "the texts of ref_davis cover training and validation videos; set keep_videos to "
        "DAVIS/ImageSets/2017/train.txt or val.txt"
    },
)
