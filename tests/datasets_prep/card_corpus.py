"""A small dataset for which every number of the card is known, and a parser of the page."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.dataset.arrow import to_table
from pipeline.dataset.manifest import REJECTS, SourceEntry, make_manifest, write_manifest
from pipeline.dataset.writer import REJECT_SCHEMA, parquet_bytes, write_shard
from pipeline.plan.data import Use
from pipeline.records import masks
from pipeline.records.sample import MaskTrack, Role, Sample, Task, Turn, VideoRef
from pipeline.storage.location import Location
from pipeline.times import temporal
from tests.datasets_prep.clips import HEIGHT, WIDTH

NASTY = '<script>alert("1")</script> & <b>Größe</b> 日本'
SEED = 5
FRAMES, FPS, SECONDS = 20, 10, 2.0


def clip(path: str, **more: Any) -> VideoRef:
    fields: dict[str, Any] = {
        "num_frames": FRAMES,
        "fps": FPS,
        "duration_s": SECONDS,
        "duration_source": "stream",
        "height": HEIGHT,
        "width": WIDTH,
        "sha256": f"{path:x<64}",
    }
    return VideoRef(path=path, **{**fields, **more})


def turns(*texts: str) -> tuple[Turn, ...]:
    return tuple(Turn(role=(Role.USER, Role.ASSISTANT)[i % 2], text=text) for i, text in enumerate(texts))


def rle_of(pixels: int) -> str:
    """RLE of a mask with this many pixels."""
    mask = np.zeros(HEIGHT * WIDTH, np.uint8)
    mask[:pixels] = 1
    return masks.encode(mask.reshape(HEIGHT, WIDTH))


def track(*pixels: int, first: int = 3) -> MaskTrack:
    return MaskTrack(
        height=HEIGHT,
        width=WIDTH,
        frames=tuple(range(first, first + len(pixels))),
        counts=tuple(rle_of(n) for n in pixels),
    )


def samples() -> dict[str, list[Sample]]:
    """Every kind of sample; ``bench/when`` is a benchmark, ``odd/empty`` has no samples."""
    spans = [temporal.span(0.0, 0.5, SECONDS), temporal.span(1.0, 2.0, SECONDS)]
    shown = temporal.span(0.5, 1.5, SECONDS)
    within = temporal.span(0.2, 0.6, 1.0, clip_start_s=0.5)
    still = VideoRef(
        path="still", frames=("00000.jpg",), num_frames=1, fps=3, duration_s=1 / 3, height=HEIGHT, width=WIDTH
    )
    found: dict[str, list[Sample]] = {
        "train/talk": [
            Sample(
                key=f"train/talk/{i}",
                dataset="train/talk",
                task=Task.CHOICE if i % 3 == 0 else Task.QA,
                video=clip("a.mp4" if i < 9 else "b.mp4", duration_s=SECONDS if i < 9 else 4.0),
                turns=turns("What is it, then?", "It is " + "very " * i + "red."),
                choices=("Red.", NASTY) if i % 3 == 0 else (),
                answer_index=i % 2 if i % 3 == 0 else -1,
            )
            for i in range(12)
        ],
        "train/where": [
            Sample(
                key=f"train/where/{NASTY}",
                dataset="train/where",
                task=Task.REFER,
                video=clip("a.mp4"),
                turns=turns("What is <region>, and what is <region>?", NASTY),
                regions=(track(30, 60), track(0, first=7)),
                category=NASTY,
            ),
            Sample(
                key="train/where/seg",
                dataset="train/where",
                task=Task.SEGMENT,
                video=clip("gone.mp4"),
                turns=turns("Segment it.", "It is [SEG]."),
                targets=(track(0, 100, 3072),),
                expression=NASTY,
            ),
        ],
        "bench/when": [
            Sample(
                key="bench/when/0",
                dataset="bench/when",
                task=Task.TEMPORAL,
                video=clip("b.mp4"),
                turns=turns(
                    f"And {temporal.write(spans[0])}?",
                    f"{temporal.write(spans[0])}, {temporal.write(spans[1])}, from <TEMP-050>.",
                ),
                spans=tuple(spans),
                question_spans=(spans[0],),
                instants=(temporal.span(1.0, 1.0, SECONDS),),
            ),
            Sample(
                key="bench/when/1",
                dataset="bench/when",
                task=Task.TEMPORAL,
                video=clip("broken.mp4"),
                turns=turns("When?"),
                spans=(within,),
                clip=shown,
            ),
        ],
        "odd/still": [
            Sample(
                key="odd/still/0", dataset="odd/still", task=Task.QA, video=still, turns=turns("Who?", NASTY)
            )
        ],
        "odd/empty": [],
    }
    return found


REJECTED = {"train/where": {"bad_mask": 5, "media_missing": 1}}


def write(folder: Path, media: Path, found: dict[str, list[Sample]], rows_per_shard: int = 5) -> Location:
    """Write shards, rejects and manifest of these samples."""
    out = Location.parse(folder)
    shards, entries, rejects = [], [], []
    for name, own in found.items():
        for number, at in enumerate(range(0, len(own), rows_per_shard)):
            shards.append(write_shard(out, name, number, to_table(own[at : at + rows_per_shard])))
        reasons = REJECTED.get(name, {})
        rejects += [
            {
                "source": name,
                "key": f"{name}/<i>{reason}-{i}",
                "reason": reason,
                "detail": str(media),
                "file": "f",
            }
            for reason, count in reasons.items()
            for i in range(count)
        ]
        entries.append(
            SourceEntry(
                name=name,
                use=Use.BENCHMARK if name.startswith("bench") else Use.TRAIN,
                read=len(own) + sum(reasons.values()) + 7,
                kept=len(own),
                rejected=sum(reasons.values()),
                not_selected=7,
                irregularities={"span_clamped": len(own) // 2},
                rejects=reasons,
                media=(str(media / "nowhere"), str(media)),
            )
        )
    (out / REJECTS).write_bytes(parquet_bytes(pa.Table.from_pylist(rejects, schema=REJECT_SCHEMA)))
    write_manifest(out, make_manifest(shards, entries, rows_per_shard))
    return out


@dataclass
class Node:
    """An element and its content."""

    tag: str
    attrs: dict[str, str | None]
    inside: list[Node | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(part if isinstance(part, str) else part.text for part in self.inside)

    def all(self, tag: str, kind: str = "") -> list[Node]:
        """Elements with this tag, and this class if one is given, in the order of the page."""
        found = []
        for part in self.inside:
            if isinstance(part, Node):
                classes = (part.attrs.get("class") or "").split()
                found += [part] if part.tag == tag and (not kind or kind in classes) else []
                found += part.all(tag, kind)
        return found

    def rows(self) -> list[list[str]]:
        """Cells of every row inside, with whitespace collapsed."""
        return [
            [" ".join(c.text.split()) for c in r.inside if isinstance(c, Node) and c.tag in ("td", "th")]
            for r in self.all("tr")
        ]


class PageParser(HTMLParser):
    """Parses a page into the tree that a browser would see; fails where tags do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.root = Node("", {})
        self.open = [self.root]
        self.feed(text)
        assert self.open == [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, dict(attrs))
        self.open[-1].inside.append(node)
        if tag not in ("meta", "img", "br", "wbr", "input"):
            self.open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].inside.append(Node(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag, f"</{tag}> closes another tag"

    def handle_data(self, data: str) -> None:
        self.open[-1].inside.append(data)
