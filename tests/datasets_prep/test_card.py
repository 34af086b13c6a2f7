"""The dataset's card: right numbers, the same bytes, escaped text, no external resources, little memory."""

from __future__ import annotations

import base64
import io
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from datasets_prep.card import areas, gallery
from datasets_prep.card.build import write_card
from datasets_prep.card.measures import MEASURES, Measure
from datasets_prep.card.pick import ranks
from datasets_prep.card.text_length import count_words
from pipeline.dataset.manifest import REJECTS
from pipeline.dataset.reader import ShardReader
from pipeline.media import video
from pipeline.records import masks
from pipeline.records.sample import Role
from pipeline.storage.location import Location
from tests.datasets_prep.card_corpus import (
    FPS,
    FRAMES,
    NASTY,
    SEED,
    Node,
    PageParser,
    samples,
    track,
    write,
)
from tests.datasets_prep.clips import HEIGHT, WIDTH, write_clip, write_folder


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


@pytest.fixture(scope="module")
def text(dataset: Location) -> str:
    return card(dataset)


@pytest.fixture(scope="module")
def tree(text: str) -> Node:
    return PageParser(text).root


# ------------------------------------------------------------------------------------------- numbers


def test_the_tables_of_sources_and_tasks_have_the_right_counts(tree: Node) -> None:
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
    """Values of every figure for training and benchmarks, counted one by one, in units."""
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


def test_every_bar_counts_the_values_in_its_range(tree: Node) -> None:
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
                # The last bar holds its end where values are not whole numbers.
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
    """The half-open range of values in a bar's title."""
    label = bar.partition(": ")[0].removesuffix(f" {measure.unit}").replace(",", "")
    if measure.letters:
        return ord(label) - ord("A"), ord(label) - ord("A") + 1
    low, _, high = label.partition("–")
    return float(low), float(high or low) + (measure.per_unit == 1)


def test_empty_masks_are_counted_separately(tree: Node) -> None:
    notes = tree.all("ul", "notes")[0].text
    assert "Of 6 masks whose area was measured, 2 (33.3 %) are empty" in notes
    assert "without any tokenizer" in notes
    assert "such as <TEMP-050> alone: 1." in notes
    assert "1 samples come without a digest" in notes


def test_the_table_of_rejects_names_a_few_keys_of_each_reason(tree: Node) -> None:
    table = next(t for t in tree.all("table") if "reason" in t.rows()[0])
    first, second = table.rows()[1:]
    assert first[:4] == ["train/where", "bad_mask", "5", "33.3 %"]
    keys = [f"train/where/<i>bad_mask-{i}" for i in range(5)]
    by_rank = [keys[i] for i in np.argsort(ranks(SEED, keys))]
    assert first[4] == ", ".join(by_rank[:3])
    assert second[1:] == ["media_missing", "1", "6.7 %", "train/where/<i>media_missing-0"]


def test_the_card_shows_digest_schema_version_and_seed(tree: Node, dataset: Location) -> None:
    facts = [d.text for d in tree.all("dd")]
    manifest = ShardReader(dataset).manifest
    assert facts[:3] == [manifest.digest, str(manifest.schema_version), str(SEED)]
    assert " ".join(facts[3].split()).startswith("6 of at most 5 samples, ")


# ------------------------------------------------------------------------------------------- gallery


def articles(tree: Node) -> dict[str, Node]:
    return {a.all("span", "key")[0].text: a for a in tree.all("article")}


def test_the_gallery_shows_the_samples_of_lowest_rank_of_every_task(dataset: Location) -> None:
    shown = set(articles(PageParser(card(dataset, gallery=2)).root))
    for own in samples().values():
        for task in {s.task for s in own}:
            keys = [s.key for s in own if s.task is task]
            rank = dict(zip(keys, ranks(SEED, keys), strict=True))
            assert [k for k in sorted(keys, key=rank.__getitem__) if k in shown] == sorted(
                keys, key=rank.__getitem__
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


def test_times_are_drawn_at_their_place_on_the_time_line(tree: Node) -> None:
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
    label = [s.text for s in when.all("span", "at")]
    assert label == ["0.0–0.5 s, bins 0–25", "0.0–0.5 s, bins 0–25", "1.0–2.0 s, bins 50–99", "1.0 s, bin 50"]
    green = [f.all("figcaption")[0].text for f in when.all("figure", "answer")]
    assert "1.1 s, frame 11" in green
    assert "0.5 s, frame 5" not in green
    clipped = articles(tree)["bench/when/1"]
    assert [s.text for s in clipped.all("span", "at")] == ["0.5–1.5 s = bins 0–99", "0.7–1.1 s, bins 20–59"]


def test_missing_and_damaged_media_are_reported_in_the_gallery(tree: Node) -> None:
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
    decode = video.decode

    def counted(path: Path, *args: Any, **more: Any) -> np.ndarray:
        opened[path.name] += 1
        return decode(path, *args, **more)

    monkeypatch.setattr(video, "decode", counted)
    card(dataset, Location.parse(tmp_path))
    assert opened == {"a.mp4": 1, "b.mp4": 1, "broken.mp4": 1, "still": 1}


# ------------------------------------------------------------------------------ bytes, text, streaming


def test_all_text_is_escaped_and_no_resource_is_external(tree: Node, text: str, media: Path) -> None:
    for node in tree.all("link") + tree.all("iframe"):
        pytest.fail(f"<{node.tag}> on the page")
    assert [node.attrs for node in tree.all("script")] == [{}], "the page's own"
    assert [b.text for b in tree.all("b")] == [f.all("b")[0].text for f in tree.all("figure", "card")]
    assert tree.text.count(NASTY) >= 5  # key, category, answers, expression
    for image in tree.all("img"):
        assert str(image.attrs["src"]).startswith("data:image/jpeg;base64,")
        assert image.attrs["alt"]
        with Image.open(io.BytesIO(base64.b64decode(str(image.attrs["src"]).partition(",")[2]))) as drawn:
            assert (image.attrs["width"], image.attrs["height"]) == tuple(map(str, drawn.size))
    links = [str(a.attrs["href"]) for a in tree.all("a")]
    ids = {f"#{n.attrs['id']}" for n in tree.all("h2") + tree.all("details", "fold")}
    assert set(links) <= ids
    assert "http" not in text
    assert "url(" not in text
    assert str(media) not in text
    assert media.name not in text
    assert all(svg.attrs["role"] == "img" and svg.attrs["aria-label"] for svg in tree.all("svg"))


def test_the_card_has_the_same_bytes_wherever_data_and_media_are(
    text: str, dataset: Location, media: Path, tmp_path: Path
) -> None:
    assert card(dataset) == text
    shutil.copytree(media, tmp_path / "elsewhere")
    moved = write(tmp_path / "data", tmp_path / "elsewhere", samples())
    assert card(moved) == text
    assert card(moved, gallery=1) != text
    write_card(ShardReader(moved), moved, title="tiny", seed=SEED + 1)
    assert (moved / "card.html").read_text() != text


def test_credentials_of_a_media_root_are_not_on_the_card(media: Path, tmp_path: Path) -> None:
    out = write(tmp_path, media, {"train/talk": samples()["train/talk"]})
    reader = ShardReader(out)
    entry = reader.manifest.sources[0].model_copy(update={"media": ("s3://user:pass-word@bucket/x",)})
    reader.manifest = reader.manifest.model_copy(update={"sources": (entry,)})
    label = write_card(reader, out, title="tiny", seed=SEED).read_text()
    assert "pass-word" not in label
    assert gallery.GONE in label


def test_only_the_columns_needed_are_read_and_few_rows_at_a_time(
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


def test_the_card_of_a_dataset_on_s3_has_the_same_bytes(
    text: str, dataset: Location, s3_bucket: str, tmp_path: Path
) -> None:
    place = Location.parse(f"{s3_bucket}/data", cache=tmp_path)
    place.put_dir(dataset.local_path)
    assert card(place) == text
    assert (place / "card.html").exists()


def test_the_card_of_an_empty_dataset_has_no_figures(tmp_path: Path) -> None:
    out = write(tmp_path, tmp_path, {"odd/empty": []})
    (out / REJECTS).delete()
    tree = PageParser(card(out)).root
    assert not tree.all("figure")
    assert "No record was rejected." in tree.text
    assert "No sample has a value for: Length of videos" in tree.text


def test_mask_areas_of_a_large_source_are_measured_on_a_part_of_it(
    media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = [
        replace(samples()["train/where"][1], key=f"train/where/{i}", targets=(track(i + 1),))
        for i in range(200)
    ]
    out = write(tmp_path, media, {"train/where": own}, rows_per_shard=150)
    monkeypatch.setattr(areas, "MAX_MASKS", 50)
    chosen = [s for s, rank in zip(own, ranks(SEED, (s.key for s in own)), strict=True) if rank < 2**62]
    assert 20 < len(chosen) < 90
    tree = PageParser(card(out, gallery=1)).root
    notes = tree.all("ul", "notes")[0].text
    assert f"Of {len(chosen)} masks" in notes
    assert "train/where (1 sample in 4)" in notes
    figure = next(f for f in tree.all("figure", "card") if "Area of masks" in f.text)
    assert sum(_count(t.text) for t in figure.all("title")) == len(chosen)
