"""A kind of damage, and the demo corpora that are damaged.

A kind says which source it damages, how, and what must follow: the whole source is refused with a UserError,
the affected records are rejected, or, where the data only look odd, nothing is lost.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from datasets_prep.draft import Reason
from pipeline.plan.data import SourceConfig


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """A source of the demo corpora: paths below their root, and the index of the record to damage."""

    format: str
    folder: str  # copied for each case
    annotations: str
    media: str
    masks: str = ""
    index: int = 0
    use: str = "train"


LLAVA = "llava_video/0_30_s_academic_v0_1"
CORPORA = {
    "talk": Corpus(
        format="llava_video",
        folder=LLAVA,
        annotations=f"{LLAVA}/0_30_s_academic_mc_v0_1_qa_processed.json",
        media=LLAVA,
    ),
    "refer": Corpus(
        format="videorefer",
        folder="videorefer",
        annotations="videorefer/videorefer-qa-75k.json",
        media="videorefer",
    ),
    "segment": Corpus(
        format="meta_expressions",
        folder="mevis/train",
        annotations="mevis/train/meta_expressions.json",
        masks="mevis/train/mask_dict.json",
        media="mevis/train/JPEGImages",
    ),
    "fractions": Corpus(
        format="st_align",
        folder="st_align",
        annotations="st_align/stage2/vtime.json",
        media="st_align/videos/InternVid",
    ),
    "seconds": Corpus(
        format="time_stamp",
        folder="internvid_tg",
        annotations="internvid_tg/internvid_tg.json",
        media="internvid_tg/videos",
    ),
    "choice": Corpus(
        format="mvbench", folder="mvbench", annotations="mvbench/json", media="mvbench/video", use="benchmark"
    ),
    "lines": Corpus(
        format="charades_sta",
        folder="charades_sta",
        annotations="charades_sta/charades_sta_test.txt",
        media="charades_sta/Charades_v1_480",
        use="benchmark",
    ),
}


class Touches(Enum):
    """Which samples of the undamaged source a kind of damage may change."""

    NONE = "none"
    RECORD = "record"  # the sample of the record at ``Corpus.index``
    VIDEO = "video"  # all samples of the same video


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of damage, and what must follow from it.

    ``refused`` is a pattern that the message of the UserError must match. Without it the affected samples
    become rejects with ``reason``, or all of them stay if ``reason`` is None. ``more`` records are read in
    addition to those of the undamaged file, and rejected for the same reason. The detail of every new reject
    contains ``says``.
    """

    name: str
    corpus: str
    put: Callable[[Place], object]
    refused: str = ""
    reason: Reason | None = None
    says: str = ""
    touches: Touches = Touches.RECORD
    more: int = 0
    as_user: bool = False  # permissions do not stop the superuser, so it runs as another user


class Place:
    """A copy of one corpus that may be damaged. Files are hard links: they are replaced, never written to."""

    def __init__(self, root: Path, corpora: Path, name: str) -> None:
        self.root, self.corpus = root, CORPORA[name]
        shutil.copytree(corpora / self.corpus.folder, root / self.corpus.folder, copy_function=os.link)
        self.annotations = root / self.corpus.annotations
        self.media = root / self.corpus.media
        self.masks = root / self.corpus.masks
        self.name = name

    def source(self, **more: Any) -> SourceConfig:
        """The plan's entry for it."""
        fields = {
            "name": self.name,
            "format": self.corpus.format,
            "annotations": str(self.annotations),
            "media": (str(self.media),),
            "masks": str(self.masks) if self.corpus.masks else None,
            "use": self.corpus.use,
        }
        return SourceConfig.model_validate(fields | more)

    def write(self, path: Path, content: bytes | str) -> None:
        """Replace a file by another one of its name."""
        path.unlink(missing_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def forbid(self, path: Path) -> None:
        """Make a file unreadable to its owner. It becomes a copy, because links share permissions."""
        self.write(path, path.read_bytes())
        path.chmod(0)

    @property
    def rows(self) -> list[Any]:
        """The records of a list."""
        return json.loads(self.annotations.read_bytes())

    def write_rows(self, rows: Iterable[Any]) -> None:
        """Replace the list; ``Raw`` text is written as it is."""
        self.write(self.annotations, dumps(list(rows)))

    def edit(self, change: Callable[[Any], Any]) -> None:
        """Replace the record to damage by ``change(record)``; None means that it was changed in place."""
        rows = self.rows
        row = deepcopy(rows[self.corpus.index])
        made = change(row)
        rows[self.corpus.index] = row if made is None else made
        self.write_rows(rows)

    def load(self, path: Path) -> Any:
        """A JSON file."""
        return json.loads(path.read_bytes())

    @property
    def video(self) -> Path:
        """The video of the record to damage; in ``segment`` a folder of frames."""
        if self.corpus.format == "meta_expressions":
            return self.media / next(iter(self.load(self.annotations)["videos"]))
        return self.media / self.rows[self.corpus.index]["video"]

    def rename_video(self, name: str) -> None:
        """Rename the video, in every record and on disk."""
        old = self.video
        rows = self.rows
        old_name = rows[self.corpus.index]["video"]
        for row in rows:
            if row["video"] == old_name:
                row["video"] = name
        self.write_rows(rows)
        new = self.media / name
        new.parent.mkdir(parents=True, exist_ok=True)
        old.rename(new)


class Raw(str):
    """Text that is put into JSON as it is."""


def dumps(value: Any) -> str:
    """JSON with ``Raw`` parts, in ASCII; NaN and lone surrogates as Python writes them."""
    raw: list[Raw] = []

    def mark(item: Any) -> Any:
        if isinstance(item, Raw):
            raw.append(item)
            return f"@raw {len(raw) - 1}@"
        if isinstance(item, dict):
            return {key: mark(inner) for key, inner in item.items()}
        return [mark(inner) for inner in item] if isinstance(item, list) else item

    text = json.dumps(mark(value))
    for at, part in enumerate(raw):
        text = text.replace(f'"@raw {at}@"', part)
    return text
