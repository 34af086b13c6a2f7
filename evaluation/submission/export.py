"""Writes the archive of an entry whose truth is hidden; all of it is checked before anything is written."""

from __future__ import annotations

import hashlib
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import numpy as np

from evaluation.answer_store import AnswerStore, Stored
from evaluation.prediction import Prediction, Unreadable
from evaluation.submission.hidden import usable_masks
from evaluation.submission.layout import Layout
from evaluation.submission.png import mask_png
from evaluation.work import Item
from pipeline import progress
from pipeline.dataset.reader import ShardReader
from pipeline.errors import UserError
from pipeline.plan.evaluation import BenchmarkConfig
from pipeline.records import masks
from pipeline.records.expressions import ExpressionNames, expression_names
from pipeline.records.sample import MaskTrack, Sample
from pipeline.storage.location import Location

FOLDER: Final = "submissions"
_NAMED = 10  # expressions that an error names; the rest are counted
_DATE = (1980, 1, 1, 0, 0, 0)  # of every file: the earliest that the format knows
_MODE = 0o100644 << 16
_UNIX = 3

Index = Mapping[tuple[str, str], Stored]


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """What was written. ``empty`` counts, by reason, the expressions without usable masks, whose masks are
    empty as the plan allows; ``surplus`` those with more than one [SEG], of which the first counts.
    """

    file: str
    sha256: str
    videos: int
    expressions: int
    masks: int
    empty: dict[str, int]
    surplus: int
    complete: bool
    about: str
    upload: str


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One expression of the archive."""

    names: ExpressionNames
    item: Item


@dataclass(frozen=True, kw_only=True)
class Export:
    """The archive of one entry of the plan: which expressions, by video, before anything is asked."""

    config: BenchmarkConfig
    layout: Layout
    entries: tuple[Entry, ...]

    @classmethod
    def of(
        cls, config: BenchmarkConfig, layout: Layout, reader: ShardReader, items: Sequence[Item]
    ) -> Export:
        """The archive of these items. Raises UserError for rejected records and for names it cannot hold."""
        problems = []
        if reader.manifest.source(config.source).rejected:
            problems = [
                f"{row['key']} was rejected in preparation ({row['reason']}: {row['detail']})"
                for row in reader.rejects().to_pylist()
                if row["source"] == config.source
            ]
        entries = []
        for item in items:
            names = expression_names(reader.sample(config.source, item.row))
            entries.append(Entry(names=names, item=item))
            problems += _bad_names(item.key, names)
        entries.sort(key=lambda entry: (entry.names.video, entry.names.expression))
        _refuse(config, problems, "Correct its source, and prepare it again.")
        return cls(config=config, layout=layout, entries=tuple(entries))

    @property
    def videos(self) -> int:
        """How many videos the archive has."""
        return len({entry.names.video for entry in self.entries})

    @property
    def is_complete(self) -> bool:
        """Whether these are as many as the server expects."""
        return self.layout.is_complete(self.videos, len(self.entries))

    def paths(self) -> Iterator[str]:
        """The names in the archive, in their order."""
        for entry in self.entries:
            yield from self._paths(entry)

    def write(
        self,
        out: Location,
        reader: ShardReader,
        store: AnswerStore,
        index: Index,
        unreadable: Sequence[Unreadable],
    ) -> Submission:
        """Check every answer, then write ``submissions/<entry>.zip`` below ``out`` atomically.

        One video is in memory at a time. Raises UserError naming the expressions without usable masks, unless
        the entry allows ``empty_masks``.
        """
        answers = _Answers(self, reader, store, index, {one.key: one.reason for one in unreadable})
        empty, surplus, problems = Counter[str](), 0, []
        for entry, _, track, problem in answers:
            if track is None:
                empty[problem] += 1
                problems.append(f"{entry.item.key}: {problem}")
            surplus += track is not None and bool(problem)
        if not self.config.empty_masks:
            _refuse(
                self.config,
                problems,
                "Set empty_masks: true in this entry to submit empty masks for them; nothing is asked again "
                "but what could not be read.",
            )
        name = f"{FOLDER}/{self.config.entry}.zip"
        made: dict[str, Any] = {}

        def fill(path: Path) -> None:
            made["masks"] = self._fill(path, answers)
            with path.open("rb") as file:
                made["sha256"] = hashlib.file_digest(file, "sha256").hexdigest()

        out.join(name).write_with(fill)
        return Submission(
            file=name,
            videos=self.videos,
            expressions=len(self.entries),
            empty=dict(sorted(empty.items())),
            surplus=surplus,
            complete=self.is_complete,
            about=self.layout.about,
            upload=self.layout.upload,
            **made,
        )

    def _paths(self, entry: Entry) -> list[str]:
        video, expression, frames = entry.names
        return [self.layout.path(video, expression, frame) for frame in frames]

    def _fill(self, path: Path, answers: _Answers) -> int:
        count = 0
        with (
            progress.track(f"write {self.config.entry}.zip", len(self.entries)) as bar,
            zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive,  # PNGs are compressed already
        ):
            for entry, sample, track, _ in answers:
                video = sample.video
                shape = video.height, video.width
                counts = dict(zip(track.frames, track.counts, strict=True)) if track else {}
                nothing = mask_png(np.zeros(shape, np.uint8))
                for number, path_in_zip in enumerate(self._paths(entry)):
                    png = mask_png(masks.decode(counts[number], *shape)) if track else nothing
                    info = zipfile.ZipInfo(path_in_zip, _DATE)
                    info.external_attr, info.create_system = _MODE, _UNIX
                    archive.writestr(info, png)
                    count += 1
                bar.advance()
        return count


@dataclass(frozen=True)
class _Answers:
    """Every expression in the order of the archive, with its sample, its masks and what is wrong."""

    export: Export
    reader: ShardReader
    store: AnswerStore
    index: Index
    unreadable: Mapping[str, str]

    def __iter__(self) -> Iterator[tuple[Entry, Sample, MaskTrack | None, str]]:
        source = self.export.config.source
        for _, group in groupby(self.export.entries, key=lambda entry: entry.names.video):
            of_video = list(group)
            made = self._read(source, of_video)
            for entry in of_video:
                sample = self.reader.sample(source, entry.item.row)
                if entry.item.key not in made:
                    reason = self.unreadable.get(entry.item.key, "was not asked")
                    yield entry, sample, None, f"the video cannot be read: {reason}"
                else:
                    yield entry, sample, *usable_masks(sample, made[entry.item.key])

    def _read(self, source: str, entries: Sequence[Entry]) -> dict[str, Prediction]:
        places = sorted(self.index[e.item.name] for e in entries if e.item.name in self.index)
        return {made.key: made for made in self.store.read(source, places)}


def _bad_names(key: str, names: ExpressionNames) -> Iterator[str]:
    parts = [*names.video.split("/"), names.expression, *names.frames]
    if any(part in ("", ".", "..") or "\\" in part or "/" in part for part in parts):
        yield f"{key} has a name that no archive can hold"
    if len(set(names.frames)) < len(names.frames):
        yield f"{key} lists a frame twice"


def _refuse(config: BenchmarkConfig, problems: Sequence[str], fix: str) -> None:
    if not problems:
        return
    more = f"; and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
    raise UserError(
        f"benchmark {config.entry}",
        f"its submission would lack {len(problems)} expressions: {'; '.join(problems[:_NAMED])}{more}.",
        fix,
    )
