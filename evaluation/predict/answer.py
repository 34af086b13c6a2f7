"""The answer of a checkpoint to one question, and its output folder."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from evaluation.predict.files import ANSWER, MASKS, OVERLAY, write_files
from evaluation.predict.question import Question
from pipeline.artifacts.fingerprint import code_version
from pipeline.canonical import plain
from pipeline.errors import UserError
from pipeline.plan.evaluation import SegState
from pipeline.records.masks import area
from pipeline.records.sample import SEG, MaskTrack, TimeSpan
from pipeline.storage.location import Location
from pipeline.times.frame_times import frame_times, picture_late_s
from pipeline.times.quantity import Refusal

FORMAT = 1
_OWN = re.compile(rf"{re.escape(ANSWER)}|{re.escape(OVERLAY)}|{MASKS}/object-[0-9]+/[0-9]+\.png")
_ELSEWHERE = "Choose another --out."


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerSettings:
    """The checkpoint, by place and digest, and the settings that an answer depends on."""

    checkpoint: str
    digest: str
    seg_state: SegState
    prompted_frames: int | None  # None: every frame that is segmented
    max_new_tokens: int
    device: str  # "cpu" or "cuda": the arithmetic differs, and with it an answer may


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedAnswer:
    """Where an answer was saved. ``replaced``: there was one to the same question, of the same checkpoint."""

    folder: Location
    files: tuple[str, ...]  # names below the folder; a folder of masks counts as one
    replaced: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """An answer. ``spans``: those of the text, in seconds of the video; ``refusal``: why there are none.

    ``masks[k]`` is what the k-th [SEG] segments: compressed COCO RLE on the frames ``asked.frames``, of the
    video's size. ``ended``: the model generated its end-of-sequence token.
    """

    question: Question
    settings: AnswerSettings
    text: str
    spans: tuple[TimeSpan, ...] = ()
    refusal: str = ""
    refusal_detail: str = ""
    masks: tuple[MaskTrack, ...] = ()
    ended: bool = True
    toy: str = ""
    """for a question with words that this toy model has never seen: a note that says so"""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know about the answer, one sentence each."""
        notes = [self.toy] if self.toy else []
        if not self.ended:
            notes.append(
                f"the answer was cut off after {self.settings.max_new_tokens} tokens (--max-new-tokens)."
            )
        if self.refusal and self.refusal != Refusal.NO_TIME:
            detail = f" ({self.refusal_detail})" if self.refusal_detail else ""
            notes.append(f"no span could be read: {self.refusal}{detail}.")
        if self.spans and (late_s := picture_late_s(self.question.clip.ref)):
            notes.append(f"times count from the first picture, which a player shows at {late_s:.2f} s.")
        if missing := self.text.count(SEG) - len(self.masks):
            notes.append(
                f"{missing} of {self.text.count(SEG)} {SEG} got no mask: with seg_state "
                f"{self.settings.seg_state} there is no state for one that opens the answer."
            )
        return tuple(notes)

    def coverage(self, track: MaskTrack) -> tuple[int, float]:
        """Number of frames in which an object is visible, and the mean share (0-1) of them that it covers."""
        areas = [area(c, track.height, track.width) for c in track.counts]
        visible = [area for area in areas if area]
        return len(visible), sum(visible) / len(visible) / (track.height * track.width) if visible else 0.0

    def save(self, folder: str | Path, on_frames: Callable[[int], object] = lambda done: None) -> SavedAnswer:
        """Write answer.json, the masks as PNG and overlay.mp4 into a folder, local or on S3.

        Written to a temporary folder first. A new folder appears atomically; in an existing one the files are
        replaced, answer.json last. An answer to the same question by the same checkpoint is replaced.
        ``on_frames`` gets the number of frames of the overlay written so far.

        Raises UserError for a folder with other content, one that is not writable, and a video that has
        become unreadable.
        """
        place = Location.parse(folder)
        holds_same(place, self.question.identity)
        refuse_unwritable(place)
        with tempfile.TemporaryDirectory(prefix="ufvideo-") as scratch:
            files = write_files(
                Path(scratch), self.record(), self.question, self.masks, self.spans, on_frames
            )
            # Checked again: writing takes a while, and another process may have written an answer meanwhile.
            replaced = holds_same(place, self.question.identity)
            try:
                _put(Path(scratch), place)
            except OSError as error:
                raise _unwritable(place, error) from error
        return SavedAnswer(folder=place, files=files, replaced=replaced)

    def record(self) -> dict[str, object]:
        """The content of answer.json, see docs/evaluation.md. Masks are COCO RLE, by frame index."""
        ref = self.question.clip.ref
        times = frame_times(ref)
        return {
            "format": FORMAT,
            "identity": self.question.identity,
            "question": self.question.text,
            "answer": self.text,
            "ended": self.ended,
            "spans": [{"start_s": s.start_s, "end_s": s.end_s} for s in self.spans],
            "no_span": {"reason": self.refusal, "detail": self.refusal_detail} if self.refusal else None,
            "notes": list(self.notes),
            "video": {
                "uri": self.question.clip.uri,
                "sha256": ref.sha256,
                "frames": ref.num_frames,
                "fps": ref.fps,
                "duration_s": ref.duration_s,
                "start_s": ref.start_s,
                "height": ref.height,
                "width": ref.width,
            },
            "regions": [
                {"given": str(region), "masks": _by_frame(track)}
                for region, track in zip(self.question.regions, self.question.tracks, strict=True)
            ],
            "segmented": list(self.question.frames) if self.masks else [],
            "segmented_at_s": [round(times.edge_s(f), 6) for f in self.question.frames] if self.masks else [],
            "masks": [{"object": k, "masks": _by_frame(track)} for k, track in enumerate(self.masks, 1)],
            "made_by": plain(self.settings),
            "versions": {**plain(code_version()), **_libraries()},
        }


def holds_same(place: Location, identity: str) -> bool:
    """True for a folder with an answer to this very question; False for an empty one, or none.

    Raises UserError for a folder with another answer or with other files: nothing is overwritten.
    """
    if not place.exists():
        return False
    fix = "Choose another --out, or remove it first."
    files = [f.uri[len(place.uri) + 1 :] for f in place.list(recursive=True)] if place.is_dir() else [""]
    folders = [f.name for f in place.list() if f.is_dir()] if place.is_dir() else []
    if not files and not folders:
        return False
    others = [name for name in files if not _OWN.fullmatch(name)] or [n for n in folders if n != MASKS]
    if others or ANSWER not in files:
        what = f"something other than an answer{f': {others[0]}' if others and others[0] else ''}"
        raise UserError(place.uri, f"exists and holds {what}.", fix)
    try:
        found = json.loads((place / ANSWER).read_bytes())
        if found["identity"] == identity:
            return True
        question = str(found["question"])
    except (ValueError, KeyError, TypeError):
        raise UserError((place / ANSWER).uri, "is not an answer of this project.", fix) from None
    raise UserError(
        place.uri, f'holds an answer to another question, or by another model: "{question}".', fix
    )


def refuse_unwritable(place: Location) -> None:
    """Raise UserError for a local folder that cannot be created or written, before anything is computed."""
    if not place.is_local:
        return
    parent = place.local_path.absolute()
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        what = "is not a folder" if not parent.is_dir() else "is not writable"
        raise UserError(place.uri, f"cannot be created: {parent} {what}.", _ELSEWHERE)


def _unwritable(place: Location, error: OSError) -> UserError:
    return UserError(place.uri, f"cannot be written ({error.strerror or error}).", _ELSEWHERE)


def _put(scratch: Path, place: Location) -> None:
    """Move the files of an answer to their place: as a new folder, or one by one into an existing folder.

    An existing folder is kept: it may be a link, a mount or the current directory of a shell. While its files
    are replaced it has no answer.json and is refused, so a partial answer is never taken for a whole one.
    """
    if not place.exists():
        place.put_dir(scratch)
        return
    (place / ANSWER).delete()
    for name in (MASKS, OVERLAY, ANSWER):
        if (scratch / name).is_dir():
            (place / name).put_dir(scratch / name)
        elif (scratch / name).is_file():
            (place / name).put_file(scratch / name)
        else:  # other code may give another answer to the same question
            (place / name).delete()


def _by_frame(track: MaskTrack) -> dict[str, dict[str, object]]:
    size = [track.height, track.width]
    return {str(f): {"size": size, "counts": c} for f, c in zip(track.frames, track.counts, strict=True)}


def _libraries() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("torch", "transformers")}
