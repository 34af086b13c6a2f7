"""The dataset's card: right numbers, the same bytes, text escaped, nothing from outside, little memory."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datasets_prep.card import areas, gallery, page, tally
from datasets_prep.card.build import write_card
from datasets_prep.card.conversation import conversation, lanes
from datasets_prep.card.histogram import make_axis
from datasets_prep.card.lots import Smallest, lots
from datasets_prep.card.measures import MEASURES, Measure
from datasets_prep.card.tally import Tally, Videos
from datasets_prep.card.words import count_words
from pipeline.config.data import Use
from pipeline.schema import masks, temporal
from pipeline.schema.arrow import to_table
from pipeline.schema.sample import MaskTrack, Role, Sample, Task, Turn, VideoRef
from pipeline.schema.shards import (
    REJECT_SCHEMA,
    REJECTS,
    ShardReader,
    SourceEntry,
    make_manifest,
    parquet_bytes,
    write_manifest,
    write_shard,
)
from pipeline.storage import Location
from tests.datasets_prep.clips import HEIGHT, WIDTH, write_clip, write_folder

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


def talk(*texts: str) -> tuple[Turn, ...]:
    return tuple(Turn(role=(Role.USER, Role.ASSISTANT)[i % 2], text=text) for i, text in enumerate(texts))


def box(pixels: int) -> str:
    """A mask of this many pixels."""
    mask = np.zeros(HEIGHT * WIDTH, np.uint8)
    mask[:pixels] = 1
    return masks.encode(mask.reshape(HEIGHT, WIDTH))


def track(*pixels: int, first: int = 3) -> MaskTrack:
    return MaskTrack(
        height=HEIGHT,
        width=WIDTH,
        frames=tuple(range(first, first + len(pixels))),
        counts=tuple(box(n) for n in pixels),
    )


def samples() -> dict[str, list[Sample]]:
    """Every kind of sample; ``bench/when`` is a benchmark, ``odd/empty`` holds nothing."""
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
                turns=talk("What is it, then?", "It is " + "very " * i + "red."),
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
                turns=talk("What is <region>, and what is <region>?", NASTY),
                regions=(track(30, 60), track(0, first=7)),
                category=NASTY,
            ),
            Sample(
                key="train/where/seg",
                dataset="train/where",
                task=Task.SEGMENT,
                video=clip("gone.mp4"),
                turns=talk("Segment it.", "It is [SEG]."),
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
                turns=talk(
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
                turns=talk("When?"),
                spans=(within,),
                clip=shown,
            ),
        ],
        "odd/still": [
            Sample(
                key="odd/still/0", dataset="odd/still", task=Task.QA, video=still, turns=talk("Who?", NASTY)
            )
        ],
        "odd/empty": [],
    }
    return found


REJECTED = {"train/where": {"bad_mask": 5, "media_missing": 1}}


def write(folder: Path, media: Path, found: dict[str, list[Sample]], rows_per_shard: int = 5) -> Location:
    """Shards, rejects and manifest of these samples."""
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
                clamped=len(own) // 2,
                rejects=reasons,
                media=(str(media / "nowhere"), str(media)),
            )
        )
    (out / REJECTS).write_bytes(parquet_bytes(pa.Table.from_pylist(rejects, schema=REJECT_SCHEMA)))
    write_manifest(out, make_manifest(shards, entries, rows_per_shard))
    return out


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("secret-place")
    write_clip(root / "a.mp4", frames=FRAMES, fps=FPS)
    write_clip(root / "b.mp4", frames=FRAMES, fps=FPS)
    (root / "broken.mp4").write_bytes(b"\x00\x00\x00\x18ftypmp42" + bytes(64))
    write_folder(root / "still", frames=1)
    return root


@pytest.fixture(scope="module")
def dataset(media: Path, tmp_path_factory: pytest.TempPathFactory) -> Location:
    return write(tmp_path_factory.mktemp("data"), media, samples())


def card(dataset: Location, out: Location | None = None, **more: Any) -> str:
    place = write_card(ShardReader(dataset), out or dataset, title="tiny", seed=SEED, **more)
    assert place.name == "card.html"
    return place.read_text()


@dataclass
class Node:
    """An element with what is in it."""

    tag: str
    attrs: dict[str, str | None]
    inside: list[Node | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(part if isinstance(part, str) else part.text for part in self.inside)

    def all(self, tag: str, kind: str = "") -> list[Node]:
        """Elements of a tag, with a class, in the order of the page."""
        found = []
        for part in self.inside:
            if isinstance(part, Node):
                classes = (part.attrs.get("class") or "").split()
                found += [part] if part.tag == tag and (not kind or kind in classes) else []
                found += part.all(tag, kind)
        return found

    def rows(self) -> list[list[str]]:
        """Cells of every row below it, without space around them."""
        return [
            [" ".join(c.text.split()) for c in r.inside if isinstance(c, Node) and c.tag in ("td", "th")]
            for r in self.all("tr")
        ]


class Reader(HTMLParser):
    """A tree of what a browser would see; fails on a page whose tags do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.root = Node("", {})
        self.open = [self.root]
        self.feed(text)
        assert self.open == [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, dict(attrs))
        self.open[-1].inside.append(node)
        if tag not in ("meta", "img", "br", "wbr"):
            self.open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].inside.append(Node(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.open[-1].inside.append(data)


@pytest.fixture(scope="module")
def text(dataset: Location) -> str:
    return card(dataset)


@pytest.fixture(scope="module")
def tree(text: str) -> Node:
    return Reader(text).root


# ------------------------------------------------------------------------------------------- numbers


def test_sources_and_tasks(tree: Node) -> None:
    sources, tasks = tree.all("table")[:2]
    rows = {row[0]: row[1:] for row in sources.rows() if len(row) > 1}
    # tasks, read, kept, rejected, not selected, clamped, distinct videos, length
    assert rows["train/talk"] == ["choice 4 qa 8", "19", "12", "0", "7", "6", "2", "6.0 s"]
    assert rows["train/where"] == ["refer 1 segment 1", "15", "2", "6", "7", "1", "2", "4.0 s"]
    assert rows["bench/when"][:6] == ["temporal 2", "9", "2", "0", "7", "1"]
    assert rows["odd/empty"] == ["empty", "7", "0", "0", "7", "0", "0", "0.0 s"]
    sums = [row for row in sources.rows() if row[0] == "in all"]
    # a.mp4 is in both training sources: two, one and one distinct ones beside it
    assert sums[0][2:] == ["49", "15", "6", "28", "7", "4", "8.3 s"]
    assert sums[1][2:] == ["9", "2", "0", "7", "1", "2", "4.0 s"]
    assert [row[0::2] for row in tasks.rows()[1:]] == [
        ["qa", "", ""], ["choice", "", ""], ["refer", "", ""], ["segment", "", ""], ["temporal", "", ""],
    ]  # fmt: skip
    assert {row[0]: (row[1], row[3]) for row in tasks.rows()[1:]} == {
        "qa": ("9", "0"),
        "choice": ("4", "0"),
        "refer": ("1", "0"),
        "segment": ("1", "0"),
        "temporal": ("0", "2"),
    }
    tiles = {" ".join(t.all("div", "what")[0].text.split()): t for t in tree.all("div", "tile")}
    assert tiles["videos in training and in a benchmark"].all("div", "value")[0].text == "1"  # b.mp4
    assert tiles["distinct videos"].all("div", "value")[0].text == "5"
    assert tiles["rejected records"].all("div", "value")[0].text == "6"


def expected() -> dict[str, tuple[list[float], list[float]]]:
    """Values of every figure for training and benchmarks, counted the slow way, in units."""
    out: dict[str, tuple[list[float], list[float]]] = {m.name: ([], []) for m in MEASURES}
    seen: set[tuple[bool, str]] = set()
    for own in samples().values():
        for s in own:
            bench = s.dataset.startswith("bench")

            def put(name: str, *values: float, bench: bool = bench) -> None:
                out[name][bench].extend(values)

            identity = s.video.sha256 or s.dataset + s.video.path
            if (bench, identity) not in seen:
                seen.add((bench, identity))
                put("video", s.video.duration_s)
            begin, end = (s.clip.start_s, s.clip.end_s) if s.clip else (0.0, s.video.duration_s)
            for span in s.spans:
                put("span", span.end_s - span.start_s)
                put("span_share", 100 * (span.end_s - span.start_s) / (end - begin))
                put("span_start", 100 * (span.start_s - begin) / (end - begin))
            put("asked_span", *(q.end_s - q.start_s for q in s.question_spans))
            tracks = [*s.regions, *s.targets]
            areas_ = [masks.area(c, t.height, t.width) for t in tracks for c in t.counts]
            put("mask", *(100 * n / (HEIGHT * WIDTH) for n in areas_ if n))
            put("objects", *([len(tracks)] if tracks else []))
            put("frames", *(len(t.frames) for t in tracks))
            words = [int(count_words(pa.array([t.text]))[0]) for t in s.turns]
            put("words", sum(words))
            put("turns", len(s.turns))
            answers = [n for n, t in zip(words, s.turns, strict=True) if t.role is Role.ASSISTANT]
            put("answer_words", *([sum(answers)] if answers else []))
            put("right", *([s.answer_index] if s.answer_index >= 0 else []))
    return out


def test_every_bar_counts_its_values(tree: Node) -> None:
    figures = {f.all("b")[0].text: f for f in tree.all("figure", "card")}
    truth = expected()
    assert len(figures) == len(MEASURES)
    for measure in MEASURES:
        own = figures[measure.title + (f", {measure.unit}" if measure.unit else "")]
        top = max(_range(bar.text, measure)[1] for bar in own.all("svg")[0].all("title"))
        for kind, values in zip(("train", "bench"), truth[measure.name], strict=True):
            bars = [bar.all("title")[0].text for bar in own.all("svg")[0].all("rect", kind)]
            assert sum(_count(bar) for bar in bars) == len(values), (measure.name, kind)
            for low, high, count in ((*_range(bar, measure), _count(bar)) for bar in bars):
                # The last bar holds its end where values are no whole numbers.
                closed = high == top and measure.per_unit > 1
                inside = [v for v in values if low <= round(v, 6) < high or (closed and round(v, 6) == high)]
                assert count == len(inside), (measure.name, kind, low, high)
            if values and not measure.letters:
                numbers = own.all("table")[0].rows()[1 + (kind == "bench" and bool(truth[measure.name][0]))]
                middle = sorted(values)[(len(values) - 1) // 2]
                assert float(numbers[1].replace(",", "")) == pytest.approx(middle, rel=0.02)
                assert numbers[4] == str(len(values))


def _count(bar: str) -> int:
    return int(bar.partition(": ")[2].partition(" (")[0].replace(",", ""))


def _range(bar: str, measure: Measure) -> tuple[float, float]:
    """What a bar's words say that it counts: from, and up to, without its end."""
    said = bar.partition(": ")[0].removesuffix(f" {measure.unit}").replace(",", "")
    if measure.letters:
        return ord(said) - ord("A"), ord(said) - ord("A") + 1
    low, _, high = said.partition("–")
    return float(low), float(high or low) + (measure.per_unit == 1)


def test_empty_masks_are_counted_apart(tree: Node) -> None:
    notes = tree.all("ul", "notes")[0].text
    assert "Of 6 masks whose area was measured, 2 (33.3 %) are empty" in notes
    assert "without any tokenizer" in notes
    assert "such as <TEMP-050> alone: 1." in notes
    assert "1 samples come without a digest" in notes


def test_rejects_name_a_few_keys(tree: Node) -> None:
    table = next(t for t in tree.all("table") if "reason" in t.rows()[0])
    first, second = table.rows()[1:]
    assert first[:4] == ["train/where", "bad_mask", "5", "33.3 %"]
    keys = [f"train/where/<i>bad_mask-{i}" for i in range(5)]
    by_lot = [keys[i] for i in np.argsort(lots(SEED, keys))]
    assert first[4] == ", ".join(by_lot[:3])
    assert second[1:] == ["media_missing", "1", "6.7 %", "train/where/<i>media_missing-0"]


def test_identity(tree: Node, dataset: Location) -> None:
    facts = [d.text for d in tree.all("dd")]
    manifest = ShardReader(dataset).manifest
    assert facts[:3] == [manifest.digest, str(manifest.schema_version), str(SEED)]
    assert " ".join(facts[3].split()).startswith("6 of at most 5 samples, ")


# ------------------------------------------------------------------------------------------- gallery


def articles(tree: Node) -> dict[str, Node]:
    return {a.all("span", "key")[0].text: a for a in tree.all("article")}


def test_gallery_takes_the_smallest_lots_of_every_task(dataset: Location) -> None:
    shown = set(articles(Reader(card(dataset, gallery=2)).root))
    for own in samples().values():
        for task in {s.task for s in own}:
            keys = [s.key for s in own if s.task is task]
            lot = dict(zip(keys, lots(SEED, keys), strict=True))
            assert [k for k in sorted(keys, key=lot.__getitem__) if k in shown] == sorted(
                keys, key=lot.__getitem__
            )[:2]


def test_objects_are_drawn_in_the_colour_of_their_word(tree: Node) -> None:
    refer = articles(tree)[f"train/where/{NASTY}"]
    colours = [m.attrs["style"] for m in refer.all("mark", "object")]
    assert [m.text for m in refer.all("mark", "object")] == ["<region>1", "<region>2"]
    legend = [(s.attrs["style"], s) for s in refer.all("span", "swatch")]
    assert [c and c.replace("--c:", "background:") for c in colours] == [c for c, _ in legend]
    assert [i.text for i in refer.all("span", "item")] == ["region 1: on 2 frames", "region 2: absent"]
    alts = [str(i.attrs["alt"]) for i in refer.all("img")]
    assert alts == ["0.3 s, frame 3: region 1", "0.4 s, frame 4: region 1"]


def test_times_lie_on_their_line(tree: Node) -> None:
    when = articles(tree)["bench/when/0"]
    marks = [(m.attrs["class"], m.attrs["title"]) for m in when.all("mark")]
    assert marks == [
        ("asked", "0.0–0.5 s"), ("answer", "0.0–0.5 s"), ("answer", "1.0–2.0 s"), ("instant", "1.0 s"),
    ]  # fmt: skip
    bars = [(i.attrs["class"], i.attrs["style"]) for i in when.all("div", "lanes")[0].all("i")]
    assert [b for b in bars if b[0] != "frame"] == [
        ("asked", "left:0.00%;width:25.00%"),
        ("answer", "left:0.00%;width:25.00%"),
        ("answer", "left:50.00%;width:50.00%"),
        ("instant", "left:50.00%;width:0.00%"),
    ]
    said = [s.text for s in when.all("span", "at")]
    assert said == ["0.0–0.5 s, bins 0–25", "0.0–0.5 s, bins 0–25", "1.0–2.0 s, bins 50–99", "1.0 s, bin 50"]
    green = [f.all("figcaption")[0].text for f in when.all("figure", "answer")]
    assert "1.1 s, frame 11" in green
    assert "0.5 s, frame 5" not in green
    clipped = articles(tree)["bench/when/1"]
    assert [s.text for s in clipped.all("span", "at")] == ["0.5–1.5 s = bins 0–99", "0.7–1.1 s, bins 20–59"]


def test_options_are_listed_where_the_question_lacks_them() -> None:
    own = replace(samples()["train/talk"][3], turns=talk("Which?"))
    assert gallery.show(own, {}).choices == (("Red.", False), (NASTY, True))
    assert gallery.show(replace(own, turns=talk("Which? (A) red. (B) blue?")), {}).choices == ()


def test_media_that_are_gone_or_damaged_are_said_to_be_so(tree: Node) -> None:
    gone = articles(tree)["train/where/seg"]
    assert gone.all("div", "failure")[0].text == gallery.GONE + gallery.ON_GREY
    assert len(gone.all("img")) == 2  # masks on grey, on the frames in which the object shows
    damaged = articles(tree)["bench/when/1"]
    assert damaged.all("div", "failure")[0].text == gallery.DAMAGED + "."
    assert not damaged.all("img")
    still = articles(tree)["odd/still/0"]
    assert [f.text for f in still.all("figcaption")] == ["still image"]
    assert not still.all("div", "failure")


def test_each_video_is_decoded_once(
    dataset: Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: Counter[str] = Counter()
    decode = gallery.videos.decode

    def counted(path: Path, *args: Any, **more: Any) -> np.ndarray:
        opened[path.name] += 1
        return decode(path, *args, **more)

    monkeypatch.setattr(gallery.videos, "decode", counted)
    card(dataset, Location.parse(tmp_path))
    assert opened == {"a.mp4": 1, "b.mp4": 1, "broken.mp4": 1, "still": 1}


def test_a_short_span_gets_a_frame_and_every_object_shows() -> None:
    sample = samples()["bench/when"][0]
    short = replace(sample, spans=(temporal.span(1.02, 1.08, SECONDS),))
    assert 10 in gallery.wanted(short)
    many = [MaskTrack(height=HEIGHT, width=WIDTH, frames=tuple(range(20)), counts=(box(9),) * 20)]
    many += [MaskTrack(height=HEIGHT, width=WIDTH, frames=(f,), counts=(box(9),)) for f in (1, 3)]
    frames = gallery.wanted(replace(sample, targets=tuple(many)))
    assert {1, 3} <= set(frames)
    assert len(frames) <= gallery.PICTURES


def test_long_conversations_are_folded_and_say_what_they_leave_out() -> None:
    own = samples()["train/talk"][0]
    long = replace(own, turns=talk(*[f"turn {i}" for i in range(8)], "x" * 5000 + "[SEG]"))
    said = conversation(long)
    assert said[8].cut == 1000 + len("[SEG]")
    shown = gallery.show(long, {})
    assert (len(shown.turns), len(shown.more_turns)) == (6, 3)
    assert lanes(replace(own, video=clip("a.mp4", duration_s=0.0))) == []


# ------------------------------------------------------------------------------ bytes, text, streaming


def test_nothing_is_unescaped_and_nothing_comes_from_outside(tree: Node, text: str, media: Path) -> None:
    for node in tree.all("script") + tree.all("link") + tree.all("iframe"):
        pytest.fail(f"<{node.tag}> on the page")
    assert [b.text for b in tree.all("b")] == [f.all("b")[0].text for f in tree.all("figure", "card")]
    assert tree.text.count(NASTY) >= 5  # key, category, answers, expression
    for image in tree.all("img"):
        assert str(image.attrs["src"]).startswith("data:image/jpeg;base64,")
        assert image.attrs["alt"]
    links = [str(a.attrs["href"]) for a in tree.all("a")]
    ids = {f"#{n.attrs['id']}" for n in tree.all("h2")}
    assert set(links) <= ids
    assert "http" not in text
    assert "url(" not in text
    assert str(media) not in text
    assert media.name not in text
    assert all(svg.attrs["role"] == "img" and svg.attrs["aria-label"] for svg in tree.all("svg"))


def test_same_bytes_wherever_data_and_media_lie(
    text: str, dataset: Location, media: Path, tmp_path: Path
) -> None:
    assert card(dataset) == text
    shutil.copytree(media, tmp_path / "elsewhere")
    moved = write(tmp_path / "data", tmp_path / "elsewhere", samples())
    assert card(moved) == text
    assert card(moved, gallery=1) != text
    write_card(ShardReader(moved), moved, title="tiny", seed=SEED + 1)
    assert (moved / "card.html").read_text() != text


def test_credentials_of_a_media_root_stay_out(media: Path, tmp_path: Path) -> None:
    out = write(tmp_path, media, {"train/talk": samples()["train/talk"]})
    reader = ShardReader(out)
    entry = reader.manifest.sources[0].model_copy(update={"media": ("s3://user:pass-word@bucket/x",)})
    reader.manifest = reader.manifest.model_copy(update={"sources": (entry,)})
    said = write_card(reader, out, title="tiny", seed=SEED).read_text()
    assert "pass-word" not in said
    assert gallery.GONE in said


def test_only_some_columns_of_some_rows_are_read_at_a_time(
    text: str, dataset: Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole tables are never read, and masks only row group by row group."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a whole table was read")

    asked: list[str] = []
    batches, group = pq.ParquetFile.iter_batches, pq.ParquetFile.read_row_group

    def iter_batches(self: pq.ParquetFile, *args: Any, columns: Sequence[str], **more: Any) -> Any:
        asked.extend(columns)
        assert more["batch_size"] <= 1 << 14
        return batches(self, *args, columns=columns, **more)

    def read_row_group(self: pq.ParquetFile, i: int, columns: Sequence[str] | None = None) -> pa.Table:
        return group(self, i, columns=columns)

    monkeypatch.setattr(pq, "read_table", refuse)
    monkeypatch.setattr(pq.ParquetFile, "read", refuse)
    monkeypatch.setattr(ShardReader, "columns", refuse)
    monkeypatch.setattr(ShardReader, "keys", refuse)
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", iter_batches)
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", read_row_group)
    assert card(dataset, Location.parse(tmp_path)) == text
    assert asked
    assert not [name for name in asked if "counts" in name or name in ("regions", "targets", "video")]


def test_a_dataset_on_s3(text: str, dataset: Location, s3_bucket: str, tmp_path: Path) -> None:
    place = Location.parse(f"{s3_bucket}/data", cache=tmp_path)
    place.put_dir(dataset.local_path)
    assert card(place) == text
    assert (place / "card.html").exists()


def test_a_dataset_with_nothing_in_it(tmp_path: Path) -> None:
    out = write(tmp_path, tmp_path, {"odd/empty": []})
    (out / REJECTS).delete()
    tree = Reader(card(out)).root
    assert not tree.all("figure")
    assert "No record was rejected." in tree.text
    assert "No sample has a value for: Length of videos" in tree.text


def test_areas_of_a_large_source_come_from_a_part_of_it(
    media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = [
        replace(samples()["train/where"][1], key=f"train/where/{i}", targets=(track(i + 1),))
        for i in range(200)
    ]
    out = write(tmp_path, media, {"train/where": own}, rows_per_shard=150)
    monkeypatch.setattr(areas, "MAX_MASKS", 50)
    chosen = [s for s, lot in zip(own, lots(SEED, (s.key for s in own)), strict=True) if lot < 2**62]
    assert 20 < len(chosen) < 90
    tree = Reader(card(out, gallery=1)).root
    notes = tree.all("ul", "notes")[0].text
    assert f"Of {len(chosen)} masks" in notes
    assert "train/where (1 sample in 4)" in notes
    figure = next(f for f in tree.all("figure", "card") if "Area of masks" in f.text)
    assert sum(_count(t.text) for t in figure.all("title")) == len(chosen)


# ---------------------------------------------------------------------------------------------- parts


def test_a_tally_is_bounded_and_does_not_depend_on_the_order() -> None:
    rng = np.random.default_rng(0)
    values = rng.lognormal(10, 1.5, 300_000).astype(np.int64)
    one, other = Tally(), Tally()
    one.add(values)
    for part in np.array_split(values[::-1], 50):
        other.add(part)
    parts = []
    for part in np.array_split(rng.permutation(values), 3):
        parts.append(Tally())
        parts[-1].add(part)
    merged = Tally.merged(parts)
    measure = next(m for m in MEASURES if m.name == "video")
    axis = make_axis(measure, one)
    counts, _ = np.histogram(values, axis.edges)
    for made in (one, other, merged):
        assert made.coarse == one.coarse > 1
        assert len(made._values) <= tally.MAX_DISTINCT
        assert made.between(axis.edges) == counts.tolist()
        assert (made.count, made.low, made.high) == (len(values), values.min(), values.max())
        assert made.quantile(0.5) == pytest.approx(np.quantile(values, 0.5), rel=0.05)


def test_quantiles_are_nearest_ranks() -> None:
    made = Tally()
    made.add(np.array([4, 1, 9, 9]))
    assert [made.quantile(q) for q in (0.05, 0.25, 0.5, 0.51, 1.0)] == [1, 1, 4, 9, 9]
    assert made.between([1, 4, 9]) == [1, 3]
    assert Tally().quantile(0.5) == 0


def test_distinct_videos_are_estimated_where_they_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "MAX_VIDEOS", 2000)
    monkeypatch.setattr(tally, "_PENDING", 500)
    hashes = np.random.default_rng(1).integers(0, 2**64, 30_000, dtype=np.uint64)
    one, other = Videos(), Videos()
    for part in np.array_split(np.concatenate([hashes, hashes[::-1]]), 40):
        one.add(part, np.full(len(part), 1000))
    other.add(hashes[::-1][:20_000], np.full(20_000, 1000))
    assert len(one.ticks) <= 2000
    assert one.count == pytest.approx(30_000, rel=0.1)
    assert one.total_ticks == one.count * 1000
    assert one.shared(other) == other.shared(one) == pytest.approx(20_000, rel=0.15)
    assert Videos.merged([one, other]).count == pytest.approx(30_000, rel=0.1)
    few = Videos()
    few.add(hashes[:5].repeat(3), np.repeat([1, 2, 3, 4, 5], 3))
    assert (few.count, few.total_ticks, few.scale, few.shared(few)) == (5, 15, 1, 5)


def test_the_smallest_lots_do_not_depend_on_batches() -> None:
    keys = [f"k{i}" for i in range(100)]
    groups = pa.array(["even" if i % 2 == 0 else "odd" for i in range(100)])
    drawn = lots(1, keys)
    whole, pieces = Smallest[int](3), Smallest[int](3)
    whole.offer(groups, drawn, lambda i: i)
    for at in range(90, -1, -10):
        pieces.offer(groups.slice(at, 10), drawn[at : at + 10], lambda i, at=at: at + i)  # type: ignore[misc]
    assert pieces.groups == ["even", "odd"]
    assert [pieces.of(g) for g in pieces.groups] == [whole.of(g) for g in whole.groups]
    assert whole.of("odd") == sorted(range(1, 100, 2), key=lambda i: drawn[i])[:3]
    assert set(lots(2, keys)) != set(drawn)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0), ("Hello, world!", 4), ("don't stop", 4), ("a_b c2", 2), ("Größe über naïve", 3),
        ("“so” – ok", 5), ("日本語", 3), ("a <region> b [SEG].", 5), ("{<TEMP-012><TEMP-047>}", 4),
        ("<TEMP-", 3), ("\n\t ", 0), ("Привет, мир", 3), ("🚲🚲", 2),
    ],
)  # fmt: skip
def test_words(text: str, count: int) -> None:
    assert count_words(pa.array([text])).tolist() == [count]
    assert count_words(pa.array(["x y", text, "", text, "z"]).slice(1, 3)).tolist() == [count, 0, count]


@pytest.mark.parametrize(
    ("name", "values", "edges", "labels"),
    [
        ("objects", [1, 1, 3], (1, 2, 3, 4), ["1", "2", "3"]),
        ("right", [1, 2], (0, 1, 2, 3), ["A", "B", "C"]),
        ("video", [10_000], (0, 500, 10_000), ["0", "2.5", "5", "7.5", "10"]),
        ("video", [100, 4_000, 9_000], (0, 500, 9_000), ["0", "2.5", "5", "7.5"]),
        ("words", [*range(1, 100)], (0, 5, 100), ["0", "25", "50", "75", "100"]),
        ("video", [6_130, 9_000], (6_000, 6_200, 9_000), ["6", "7", "8", "9"]),
        ("words", [1, 1, 1, 900], (1, 2, 1000), ["1", "10", "100", "1,000"]),
        ("mask", [1, 1, 1, 9000], (1, 2, 10_000), ["0.01", "0.1", "1", "10", "100"]),
    ],
)
def test_axes_have_round_edges(
    name: str, values: list[int], edges: tuple[int, ...], labels: list[str]
) -> None:
    """``edges``: all of them, or the first two and the last."""
    made = Tally()
    made.add(np.array(values))
    measure = next(m for m in MEASURES if m.name == name)
    axis = make_axis(measure, made)
    assert (axis.edges[0], axis.edges[1], axis.edges[-1]) == (edges[0], edges[1], edges[-1])
    assert [measure.exact(axis.edges[i]) for i in axis.labelled] == labels
    assert sum(made.between(axis.edges)) == len(values)


def test_units_of_totals() -> None:
    videos = Videos()
    videos.add(np.array([1], np.uint64), np.array([7_200_000]))
    assert page._hours(videos) == "2.0 h"
    assert page._size(1_234_567) == "1.2 MB"
    assert page._percent(1, 0) == "–"
