"""Judgements, stored permanently and found again by what was judged.

``judgements/<identity>/part-<digest>.jsonl`` below the storage root, a judgement on each line. The identity
is that of model and rubric, a judgement's key a digest of model, rubric, question, reference and answer. A
part is named by the digest of its bytes. So the folder can be copied to another storage root, and a plan with
the same judge finds its judgements there, without an endpoint.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from evaluation.judge.rubric import DIMENSIONS, JudgeTexts, Marks, Rubric
from pipeline.canonical import digest
from pipeline.storage.location import Location

FOLDER, DESCRIPTION = "judgements", "judge.json"
_READERS = 8  # parts that are read at once: remote storage answers slowly, but many at a time


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """A judge's marks of one answer. ``model`` is the server's name for it, ``tokens`` its count."""

    key: str
    texts: JudgeTexts
    marks: Marks
    model: str
    tokens: tuple[int, int] | None = None

    def line(self) -> dict[str, Any]:
        """As a line of a part holds it."""
        return {
            "key": self.key,
            "model": self.model,
            "marks": dict(self.marks.marks),
            "reasons": dict(self.marks.reasons),
            "tokens": list(self.tokens) if self.tokens else None,
            **asdict(self.texts),
        }


@dataclass(frozen=True)
class JudgementCache:
    """The judgements of one model by one rubric."""

    storage: Location
    model: str
    rubric: Rubric

    @property
    def identity(self) -> str:
        """What every judgement of this folder depends on."""
        return digest([self.model, self.rubric.digest])

    @property
    def root(self) -> Location:
        """The folder."""
        return self.storage / FOLDER / self.identity[:12]

    def key(self, texts: JudgeTexts) -> str:
        """What one judgement depends on."""
        return digest([self.model, self.rubric.digest, texts.question, texts.reference, texts.answer])

    def describe(self) -> None:
        """Write, for people, which model judged and with which instructions."""
        place = self.root / DESCRIPTION
        if not place.exists():
            told = self.rubric.messages(JudgeTexts(question="...", reference="...", answer="..."))
            content = {"identity": self.identity, "model": self.model, "messages": told}
            place.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    def read(self) -> tuple[dict[str, Judgement], list[str]]:
        """Every judgement by key, and the names of damaged parts, which are left as they are.

        Raises StorageError where storage cannot be read.
        """
        places = sorted(self.root.list(suffix=".jsonl"), key=lambda place: place.name)
        found: dict[str, Judgement] = {}
        damaged = []
        with ThreadPoolExecutor(_READERS) as pool:
            for place, content in zip(places, pool.map(Location.read_bytes, places), strict=True):
                if place.name != _name(content):
                    damaged.append(place.name)
                    continue
                for line in content.splitlines():
                    made = _judgement(json.loads(line))
                    found.setdefault(made.key, made)
        return found, damaged

    def write(self, judgements: Sequence[Judgement]) -> None:
        """Write judgements as one part in one atomic act."""
        if not judgements:
            return
        lines = [json.dumps(made.line(), ensure_ascii=False, sort_keys=True) + "\n" for made in judgements]
        content = "".join(lines).encode()
        (self.root / _name(content)).write_bytes(content)


def _name(content: bytes) -> str:
    return f"part-{hashlib.sha256(content).hexdigest()[:16]}.jsonl"


def _judgement(line: Mapping[str, Any]) -> Judgement:
    return Judgement(
        key=line["key"],
        texts=JudgeTexts(**{name: line[name] for name in ("question", "reference", "answer")}),
        marks=Marks(
            marks={d.short: int(line["marks"][d.short]) for d in DIMENSIONS},
            reasons={d.short: str(line["reasons"].get(d.short, "")) for d in DIMENSIONS},
        ),
        model=line["model"],
        tokens=(line["tokens"][0], line["tokens"][1]) if line["tokens"] else None,
    )
