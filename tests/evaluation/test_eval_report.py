"""Table and page of invented results: complete, escaped, and without external resources."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from tiny_bench import SOURCES
from tiny_bench import sample as bench_sample

from evaluation.metrics.aggregate import MetricRow, Score
from evaluation.report import charts, table
from evaluation.report.examples import Answer, Example, State, mask_frames, pick, verdict
from evaluation.report.page import Page, Section, Stage, change, render
from evaluation.report.pictures import Colours, FramePicture, Masks, choose_colours, distance, picture
from pipeline.jobs.runner import table_lines
from pipeline.plan.benchmarks import PromptStyle
from pipeline.plan.evaluation import BenchmarkConfig
from pipeline.records import masks
from pipeline.records.sample import Sample
from pipeline.storage.location import Location

BENCHMARKS = (
    BenchmarkConfig(source="mv", family="mvbench", style=PromptStyle.LLAVA_VIDEO),
    BenchmarkConfig(source="uf", family="ufvideo_bench"),
)


def row(
    benchmark: str, category: str, metric: str, value: float | None, failures: int = 0, samples: int = 20
) -> MetricRow:
    return MetricRow(
        benchmark=benchmark, category=category, metric=metric, value=value, samples=samples, failures=failures
    )


def example_table() -> table.Table:
    found = {
        cp: [
            row("mv", "", "accuracy", 0.25 + 0.3 * i, 5 - 2 * i),
            row("mv", "Counting", "accuracy", 0.5, samples=4),
            row("uf", "", "J&F", 0.1 * i),
            row("uf", "PixRQA", "J&F", 0.2 * i),
            row("uf", "PixRQA", "tIoU", None, samples=0),
        ]
        for i, cp in enumerate(("init", "stage1", "stage2"))
    }
    rejects = {"span_outside": 4, "media_missing": 1}
    counts = {
        "mv": {"samples": 20, "available": 50, "read": 1055, "rejects": rejects},
        "uf": {"samples": 20, "available": 20, "read": 20, "rejects": {}},
    }
    return table.make_table(("init", "stage1", "stage2"), found, BENCHMARKS, counts)


def test_checkpoints_have_readable_labels() -> None:
    names = ["init", "stage1", "stage_2", "tuned", "s3://bucket/runs/other"]
    assert [table.checkpoint_label(n) for n in names] == [
        "before training",
        "after stage 1",
        "after stage 2",
        "after tuned",
        "other",
    ]


def test_the_text_table_has_main_lines_counts_and_notes() -> None:
    text = table.table_text(example_table())
    header = next(line for line in text.splitlines() if "benchmark" in line)
    for name in ("metric", "before training", "after stage 1", "after stage 2", "samples", "failures"):
        assert name in header
    [accuracy] = [line.split() for line in text.splitlines() if line.strip().startswith("mv ")]
    assert accuracy == ["mv", "accuracy", "25.0", "55.0", "85.0", "20", "5", "/", "3", "/", "1"]
    assert "uf PixRQA" in text  # tasks have lines in the main table
    assert "Counting" not in text  # question types do not
    assert "tIoU" not in text  # a metric without samples is not a line
    assert "20 of its 50 samples" in text
    words = " ".join(text.split())
    assert (
        "mv: 5 of its 1,055 records were rejected in preparation (media_missing 1, span_outside 4)" in words
    )
    assert "uf: " not in words
    assert "llava_video" in text
    assert "SAvg" in text
    assert max(map(len, text.splitlines())) <= table.WIDTH


def test_the_json_has_every_line() -> None:
    content = example_table().content()
    assert content["columns"] == ["init", "stage1", "stage2"]
    assert [(line["benchmark"], line["category"], line["headline"]) for line in content["lines"]] == [
        ("mv", "", True), ("mv", "Counting", False), ("uf", "", False), ("uf", "PixRQA", True),
    ]  # fmt: skip


def test_change_compares_first_and_last() -> None:
    line = example_table().lines[0]
    assert change(line) == ("+60.0", "up")


class Reader(HTMLParser):
    """Collects tags and text, and checks that every tag is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "line", "rect", "polyline", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data


NASTY = '<script>alert("x")</script> & <region>'


@pytest.fixture(scope="module")
def page() -> str:
    frame = np.full((60, 80, 3), 128, np.uint8)
    mask = np.zeros((60, 80), np.uint8)
    mask[10:30, 10:40] = 1
    shown = (
        picture(Masks(frame=frame, true=[mask], predicted=[mask]), Colours(), alt="frame 3", caption="1.5 s"),
    )
    spans = charts.spans(
        [charts.Bar(name=NASTY, span=(1, 2), kind="true"), charts.Bar(name="b", span=None, kind="made")], 4
    )
    answers = tuple(
        Answer(
            label=name, text=NASTY, verdict="J&F 82.0", state=State.FAILED, failure="no [SEG]", pictures=shown
        )
        for name in ("before training", "after stage 2")
    )
    example = Example(
        key="k/1",
        category="PixRQA",
        question=NASTY,
        truth="It is [SEG].",
        pictures=shown,
        spans=spans,
        answers=answers,
    )
    history = {
        "loss/text": [(s, 3 / (s + 1)) for s in range(900)],
        "lr": [(0, 1e-3)],
        "loss/bce": [(0, float("nan"))],
    }
    return render(
        Page(
            title="tiny",
            table=example_table(),
            stages=(Stage(name="stage1", label="stage 1", history=history),),
            sections=(Section(name="uf", examples=(example,)), Section(name="empty", examples=())),
            provenance=(("code", "0.1.0 <abc>"),),
            plan="name: tiny\nnote: <b>",
        )
    )


def test_page_is_complete_html_without_external_resources(page: str) -> None:
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    assert "http" not in page.replace("http-equiv", "")
    for tag, attrs in reader.tags:
        assert tag not in ("link", "iframe", "b")
        assert tag != "script" or not attrs
        for name in ("src", "href"):
            if attrs.get(name) is not None:
                assert str(attrs[name]).startswith(("data:image/jpeg;base64,", "#"))
    assert not any(tag == "use" for tag, _ in reader.tags)


def test_page_escapes_and_shows_everything(page: str) -> None:
    reader = Reader()
    reader.feed(page)
    assert reader.text.count(NASTY) >= 4  # question, two answers, a bar's name
    assert "0.1.0 <abc>" in reader.text
    assert "note: <b>" in reader.text
    for text in (
        "before training",
        "after stage 1",
        "after stage 2",
        "85.0",
        "+60.0",
        "5 / 3 / 1",
        "Counting",
        "no [SEG]",
    ):
        assert text in reader.text
    images = [attrs for tag, attrs in reader.tags if tag == "img"]
    assert len(images) == 3
    assert all(attrs["alt"] for attrs in images)
    drawn = [attrs for tag, attrs in reader.tags if tag == "svg"]
    assert len(drawn) == 3  # text loss, learning rate, spans; a curve of NaN is left out
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in drawn)
    ids = [attrs["id"] for _, attrs in reader.tags if attrs.get("id")]
    links = [str(attrs["href"])[1:] for tag, attrs in reader.tags if tag == "a"]
    assert len(ids) == len(set(ids))
    assert set(links) <= set(ids)


def test_long_curves_are_thinned() -> None:
    svg = charts.curve("loss", [(s, 1.0) for s in range(5000)])
    assert svg.count(",") < 1000
    assert "from 1 at step 0 to 1 at step 4999" in svg
    assert charts.curve("loss", []) == ""


def test_a_learning_rate_is_drawn_unsmoothed() -> None:
    """Catches a running mean of a schedule, which peaks late and low."""
    points = [(0, 0.0), (1, 1.0), (2, 0.5), (3, 0.0)]
    svg = charts.curve("learning rate", points, smooth=False)
    assert svg.count("<polyline") == 1
    drawn = svg.partition('class="smooth" points="')[2].partition('"')[0]
    heights = [float(point.split(",")[1]) for point in drawn.split()]
    assert heights[0] == heights[3] == max(heights)
    assert heights[1] == min(heights)
    assert heights[2] == sum(heights[:2]) / 2
    stage = Stage(name="stage1", label="stage 1", history={"lr": points, "loss/text": points})
    assert [s.count("<polyline") for title, s in sorted(stage.curves)] == [1, 2]


def pixels_of(made: FramePicture) -> np.ndarray:
    import base64
    import io

    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(base64.b64decode(made.uri.partition(",")[2])))).astype(int)


def test_a_picture_has_a_solid_truth_and_a_dashed_prediction() -> None:
    frame = np.full((240, 240, 3), 90, np.uint8)
    true, predicted = (np.zeros((240, 240), np.uint8) for _ in range(2))
    true[30:200, 30:100], predicted[30:200, 130:210] = 1, 1
    colours = Colours()
    made = picture(Masks(frame=frame, true=[true], predicted=[predicted]), colours, alt="frame 0")
    assert (made.width, made.height) == (240, 240)
    pixels = pixels_of(made)
    assert pixels.shape == (240, 240, 3)
    left = np.abs(pixels[40:190, 99:101] - colours.true).max(axis=2).min(axis=1) < 90
    right = np.abs(pixels[40:190, 209:211] - colours.predicted).max(axis=2).min(axis=1) < 90
    assert left.mean() > 0.98
    assert 0.3 < right.mean() < 0.8
    assert np.abs(pixels[110, 60] - 90).max() < 12, "what is inside stays as it was"


@pytest.mark.parametrize(
    "below", [(46, 204, 113), (0, 229, 255), (255, 234, 0), (255, 64, 129), (20, 20, 20)]
)
def test_outlines_differ_from_what_they_cover(below: tuple[int, int, int]) -> None:
    """On an object of one of their own colours they take another; truth and prediction share none."""
    frame = np.full((60, 80, 3), below, np.uint8)
    mask = np.zeros((60, 80), np.uint8)
    mask[10:40, 10:60] = 1
    found = choose_colours([Masks(frame=frame, true=[mask], predicted=[mask], regions=[mask])])
    for colour in (found.true, found.predicted, found.region):
        assert distance(np.array([below]), colour)[0] > 250
    assert len({found.true, found.predicted, found.region}) == 3
    assert choose_colours([]) == Colours()


def mask_sample(shown: Sequence[int], frames: int = 12) -> Sample:
    made = bench_sample(next(name for name, family in SOURCES.items() if family == "mevis"), 0)
    track = made.targets[0]
    there = np.zeros((track.height, track.width), np.uint8)
    there[5:20, 5:30] = 1
    counts = tuple(masks.encode(there if f in shown else there * 0) for f in range(frames))
    return replace(made, targets=(replace(track, frames=tuple(range(frames)), counts=counts),))


def test_frames_show_presence_and_absence() -> None:
    for shown, absent in ((range(3, 9), 1), (range(1), 3), (range(12), 0), (range(0), 4), (range(11), 1)):
        chosen = mask_frames(mask_sample(shown))
        assert len(chosen) == len(set(chosen)) == 4
        assert chosen == sorted(chosen)
        assert sum(frame not in shown for frame in chosen) == absent


def test_a_failure_is_never_green() -> None:
    """An answer without masks on frames without the object earns 1, and is a failure all the same."""
    failed = Score(key="k", values={"J&F": 1.0}, failures={"J": "no [SEG]"})
    assert verdict(failed) == ("J&F 100.0", State.FAILED)
    assert verdict(Score(key="k", values={"accuracy": 1.0}, read_by="stated"))[1] is State.RIGHT
    assert verdict(Score(key="k", values={"accuracy": 0.0}))[1] is State.WRONG
    assert verdict(Score(key="k", values={"J&F": 0.7, "tIoU": 0.49}))[1] is State.WRONG
    assert verdict(Score(key="k", values={})) == ("marks: see judgements.jsonl", State.UNSCORED)


def test_samples_can_be_filtered(page: str) -> None:
    reader = Reader()
    reader.feed(page)
    [article] = [attrs for tag, attrs in reader.tags if tag == "article"]
    assert article["data-benchmark"] == "uf"
    assert article["data-task"] == "PixRQA"
    assert article["data-states"] == "failed none failed"
    assert 'class="verdict failed">failed · J&amp;F 82.0' in page
    assert 'class="verdict up"' not in page
    assert page.count("<script>") == 1
    for image in (attrs for tag, attrs in reader.tags if tag == "img"):
        assert (image["width"], image["height"], image["loading"]) == ("80", "60", "lazy")
    assert "1.5 s" in reader.text


def test_examples_come_from_every_category() -> None:
    keys = [f"k{i}" for i in range(12)]
    kinds = ["a"] * 9 + ["b"] * 2 + ["c"]
    assert {kinds[i] for i in pick(keys, kinds, 3, 1, each=False)} == {"a", "b", "c"}
    every = pick(keys, kinds, 2, 1, each=True)
    assert sorted(kinds[i] for i in every) == ["a", "a", "b", "b", "c"]
    assert pick(keys, kinds, 0, 1, each=True) == []


@pytest.mark.parametrize("width", [30, 60, 80, 100, 118, 200])
def test_every_number_is_shown_at_every_terminal_width(width: int) -> None:
    """As a table where all numbers fit, otherwise as a list; no ellipsis, no number across two lines."""
    shown = table.text_table(example_table())
    text = shown.text(width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    words = " ".join(text.split())
    for numbers in (("25.0", "55.0", "85.0"), ("5 / 3 / 1",), ("uf",), ("accuracy",)):
        assert all(n in words for n in numbers)
    assert ("before training: 25.0" in words) == (width < 80)
    if width == table.WIDTH:
        assert text == table.table_text(example_table())
    assert all(" ".join(note.split()) in words for note in shown.notes)


def test_the_table_is_laid_out_for_the_terminal_s_width(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = table.table_text(example_table())
    (tmp_path / "table.txt").write_text(text)
    place = Location.parse(tmp_path)
    monkeypatch.setenv("COLUMNS", "60")
    assert table_lines(place) == text.rstrip(), "an older report has only the text"
    content = {**example_table().content(), "text": asdict(table.text_table(example_table()))}
    (tmp_path / "table.json").write_text(json.dumps(content))
    narrow = table_lines(place)
    assert max(map(len, narrow.splitlines())) <= 60
    assert "after stage 2: 85.0" in narrow
    monkeypatch.setenv("COLUMNS", "130")
    assert table_lines(place) == text.rstrip()
    monkeypatch.delenv("COLUMNS")
    assert table_lines(place) == text.rstrip(), "a pipe gets the file"
