"""Table and page of invented results: complete, escaped, and without external resources."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_bench import SOURCES
from tiny_bench import sample as bench_sample

from evaluation.compare.side import Side
from evaluation.metrics.aggregate import MetricRow, Score
from evaluation.report import bars, charts, comparison, table, timeline
from evaluation.report.colours import Colours, Kind, Outlines, choose_colours, css, distance, halo
from evaluation.report.examples import Answer, Example, pick
from evaluation.report.frames import caption, mask_frames, strip
from evaluation.report.outlines import covered, outline
from evaluation.report.page import Page, Section, Stage, change, render
from evaluation.report.pictures import Album
from evaluation.report.verdict import State, sample_score, verdict
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


def sides() -> dict[str, Side]:
    """The scores behind that table, by label: 20 samples each, four videos of five samples."""
    made = {}
    for i, label in enumerate(example_table().labels):
        accuracy = [float(n < 5 + 6 * i) for n in range(20)]
        overlap = [0.1 * i + 0.02 * n for n in range(20)]
        failures = [{"J&F": "no [SEG]"} if n < 4 - i else {} for n in range(20)]
        made[label] = Side(
            place=label,
            families={"mv": "mvbench", "uf": "ufvideo_bench"},
            scores={
                "mv": {
                    f"mv/{n}": Score(key=f"mv/{n}", values={"accuracy": accuracy[n]}, video=str(n // 5))
                    for n in range(20)
                },
                "uf": {
                    f"uf/{n}": Score(
                        key=f"uf/{n}",
                        values=dict.fromkeys(("J", "F", "J&F"), overlap[n]),
                        failures=failures[n],
                        video=str(n // 5),
                        category="PixRQA",
                    )
                    for n in range(20)
                },
            },
        )
    return made


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
    assert change(replace(line, values=(0.5, 0.5001))) == ("+0.0", "flat")
    [whole, *_] = comparison.comparisons(sides())
    assert change(line, [whole]) == ("+60.0", "up")
    group = next(group for group in whole.groups if group.benchmark == "mv")
    unsure = replace(
        whole, groups=(replace(group, rows=(replace(group.rows[0], verdict="within the error"),)),)
    )
    assert group.rows[0].metric == line.metric
    assert change(line, [unsure]) == ("+60.0", "flat"), "no colour for what may be chance"


class Reader(HTMLParser):
    """Collects tags and text, and checks that every tag is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "line", "rect", "polyline", "br", "wbr", "input"):
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
    return made_page()


def made_page() -> str:
    """One sample with two answers, both failures, and every part that a page can have."""
    album = Album({3: np.full((60, 80, 3), 128, np.uint8)})
    mask = np.zeros((60, 80), np.uint8)
    mask[10:30, 10:40] = 1
    lines = [album.outline(3, kind, 0, mask) for kind in (Kind.TRUE, Kind.PREDICTED)]
    colours = album.colours()
    shown = (album.picture(3, lines, colours, alt="frame 3", caption="1.5 s"),)
    spans = timeline.timeline(
        [timeline.Row(name=NASTY, spans=((1, 2),), true=True), timeline.Row(name="b", spans=())], 4
    )
    answers = tuple(
        Answer(
            label=name,
            text=NASTY,
            verdict="J&F 82.0",
            state=State.FAILED,
            failure="no [SEG]",
            score=0.82,
            pictures=shown,
        )
        for name in ("before training", "after stage 2")
    )
    example = Example(
        key="k/1",
        category="PixRQA",
        question=NASTY,
        truth="It is [SEG].",
        answers=answers,
        pictures=shown,
        spans=spans,
        frames=album.uris,
        legend=colours.legend,
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
            charts=bars.charts_of(example_table(), sides()),
            comparisons=comparison.comparisons(sides()),
            stages=(Stage(name="stage1", label="stage 1", history=history),),
            sections=(Section(name="uf", examples=(example,)), Section(name="empty", examples=())),
            provenance=(("code", "0.1.0 <abc>"),),
            plan="name: tiny\nnote: <b>",
        )
    )


def data_of(page: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The index of the samples, and the samples, as the page's script reads them."""
    index = re.search(r'<script type="application/json" id="index">(.*?)</script>', page, re.S)
    stored = re.findall(r'<script type="application/json" class="sample">(.*?)</script>', page, re.S)
    assert index
    return json.loads(index[1]), [json.loads(one) for one in stored]


def test_page_is_complete_html_without_external_resources(page: str) -> None:
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    assert "http" not in page.replace("http-equiv", "")
    for tag, attrs in reader.tags:
        assert tag not in ("link", "iframe", "b", "img", "use")
        assert tag != "script" or attrs.get("type", "application/json") == "application/json"
        if attrs.get("href") is not None:
            assert str(attrs["href"]).startswith("#")
    _, [sample] = data_of(page)
    assert all(frame.startswith("data:image/jpeg;base64,") for frame in sample["frames"])
    inside = Reader()
    inside.feed(sample["html"])
    assert inside.open == []
    for tag, attrs in inside.tags:
        assert tag not in ("link", "iframe", "b", "script", "use")
        assert not attrs.keys() & {"src", "href"}


def test_page_escapes_and_shows_everything(page: str) -> None:
    reader, inside = Reader(), Reader()
    reader.feed(page)
    index, [sample] = data_of(page)
    inside.feed(sample["html"])
    assert inside.text.count(NASTY) >= 4  # question, two answers, a row of the time line
    assert "<script>alert" not in page
    assert index["samples"][0]["text"].count(NASTY) == 3
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
    ):
        assert text in reader.text
    assert "no [SEG]" in inside.text
    images = [attrs for tag, attrs in inside.tags if tag == "img"]
    assert [attrs["data-frame"] for attrs in images] == ["0"] * 3, "a frame is stored once"
    assert len(sample["frames"]) == 1
    assert all(attrs["alt"] for attrs in images)
    drawn = [attrs for tag, attrs in (*reader.tags, *inside.tags) if tag == "svg"]
    drawn = [attrs for attrs in drawn if attrs.get("aria-hidden") != "true"]
    # text loss, learning rate, three histograms, spans; a curve of NaN is left out
    assert len(drawn) == 6
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in drawn)
    ids = [attrs["id"] for _, attrs in reader.tags if attrs.get("id")]
    links = [str(attrs["href"])[1:] for tag, attrs in reader.tags if tag == "a"]
    assert len(ids) == len(set(ids))
    assert {link for link in links if "=" not in link} <= set(ids)
    assert "benchmark=uf&task=PixRQA" in links


def test_long_curves_are_thinned_and_keep_their_peak() -> None:
    points = [(s, 1.0 + 4 * (s == 3777)) for s in range(5000)]
    svg = charts.curve("loss", points, smooth=False)
    assert svg.count(",") < 500
    assert "from 1 at step 0 to 1 at step 4999" in svg
    drawn = svg.partition('class="smooth" points="')[2].partition('"')[0]
    assert min(float(point.split(",")[1]) for point in drawn.split()) == 10, "the peak is drawn"
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


def polygons(path: str) -> list[list[tuple[float, float]]]:
    """Corners in pixels of every closed path."""
    found = []
    for loop in re.findall(r"M[^z]*z", path):
        x = y = 0
        corners = []
        for kind, numbers in re.findall(r"([Mhvl])([-\d ]+)", loop):
            first, *second = map(int, numbers.split())
            if kind == "M":
                x, y = first, second[0]
            else:
                x += first if kind in "hl" else 0
                y += first if kind == "v" else second[0] if kind == "l" else 0
            corners.append((x / 2, y / 2))
        found.append(corners)
    return found


def filled(path: str, shape: tuple[int, int]) -> np.ndarray:
    """Pixels whose middle is inside, by the even-odd rule."""
    inside = np.zeros(shape, bool)
    for corners in polygons(path):
        for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True):
            for row in range(shape[0]):
                at = row + 0.5 + 1e-6
                if (y0 > at) != (y1 > at):
                    cross = x0 + (at - y0) * (x1 - x0) / (y1 - y0)
                    inside[row, np.arange(shape[1]) + 0.5 > cross] ^= True
    return inside


@pytest.mark.parametrize("seed", range(6))
def test_an_outline_encloses_its_mask(seed: int) -> None:
    """Blobs with holes, at the edge too, and pixels that touch at a corner alone."""
    rng = np.random.default_rng(seed)
    mask = np.kron(rng.integers(0, 2, (7, 9)), np.ones((5, 5), int)).astype(np.uint8)
    assert (filled(outline(mask), mask.shape) == (mask > 0)).mean() > 0.995  # corners are cut
    rows, columns = np.indices((60, 80))
    disc = ((rows - 30) ** 2 + (columns - 40) ** 2 < 400).astype(np.uint8)
    assert np.array_equal(filled(outline(disc), disc.shape), disc > 0)
    assert outline(disc) == outline(disc * 255)
    assert len(polygons(outline(disc))) == 1
    assert outline(disc * 0) == ""
    corner = np.zeros((8, 8), np.uint8)
    corner[2:4, 2:4] = corner[4:6, 4:6] = 1
    for touching in (corner, corner[:, ::-1]):
        assert len(polygons(outline(touching))) == 2, "shapes that touch at a corner stay two"


def test_colours_are_chosen_by_the_pixels_at_the_outline() -> None:
    mask = np.zeros((10, 10), np.uint8)
    mask[3:7, 3:7] = 1
    assert covered(mask)[3, 3]
    assert covered(mask)[2, 2]
    assert not covered(mask)[5, 0]
    assert not covered(np.ones((4, 4), np.uint8)).any(), "the picture's own edge is no outline"


@pytest.mark.parametrize(
    "below", [(46, 204, 113), (0, 229, 255), (255, 234, 0), (255, 64, 129), (20, 20, 20), (240, 240, 240)]
)
def test_outlines_differ_from_what_they_cover(below: tuple[int, int, int]) -> None:
    """On an object of one of their own colours they take another; truth and prediction share none."""
    pixels = [np.full((50, 3), below)]
    found = choose_colours({(kind, 0): pixels for kind in Kind})
    for colour in found.of.values():
        assert distance(np.array([below]), colour)[0] > 250
        assert distance(np.array([halo(colour)]), colour)[0] > 250, "a halo in the opposite tone"
    assert len(set(found.of.values())) == 3
    assert choose_colours({}) == Colours(of={})
    assert choose_colours({}).legend == ()


def test_each_of_several_objects_has_a_colour_of_its_own() -> None:
    green, dark = np.full((50, 3), (46, 204, 113)), np.full((50, 3), (20, 20, 20))
    below: dict[Outlines, list[np.ndarray]] = {
        (Kind.TRUE, 0): [green], (Kind.PREDICTED, 0): [green],
        (Kind.TRUE, 1): [dark], (Kind.PREDICTED, 1): [dark], (Kind.TRUE, 2): [dark],
    }  # fmt: skip
    found = choose_colours(below)
    for number in (0, 1):
        assert found.of[Kind.TRUE, number] == found.of[Kind.PREDICTED, number]
    assert len({found.of[Kind.TRUE, number] for number in range(3)}) == 3
    assert distance(green, found.of[Kind.TRUE, 0]).min() > 250
    legend = [(one.kind, one.words) for one in found.legend]
    assert legend == [
        (Kind.TRUE, "truth"), (Kind.PREDICTED, "prediction"),
        (None, "object 1"), (None, "object 2"), (None, "object 3"),
    ]  # fmt: skip
    assert [one.colour for one in found.legend][2:] == [css(found.of[Kind.TRUE, n]) for n in range(3)]


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
    assert sample_score(failed) == 1.0, "it is filtered by what it earned"
    assert verdict(Score(key="k", values={"accuracy": 1.0}, read_by="stated"))[1] is State.RIGHT
    assert verdict(Score(key="k", values={"accuracy": 0.0}))[1] is State.WRONG
    assert verdict(Score(key="k", values={"J&F": 0.7, "tIoU": 0.49}))[1] is State.WRONG
    assert verdict(Score(key="k", values={})) == ("not scored here", State.UNSCORED)
    lacks = Score(key="k", values={}, missing={"SAvg": "not judged: the plan has no judge"})
    assert verdict(lacks) == ("not judged: the plan has no judge", State.UNSCORED)
    marked = Score(key="k", values={"SAvg": 3.25, "SC": 4.0})
    assert verdict(marked) == ("SAvg 3.25 of 5", State.RIGHT)
    assert sample_score(marked) == 0.65
    both = Score(key="k", values={"J&F": 0.9, "tIoU": 0.6, "SAvg": 1.0})
    assert verdict(both) == ("J&F 90.0 · tIoU 60.0 · SAvg 1.00 of 5", State.RIGHT)
    assert sample_score(both) == 0.6


def test_samples_can_be_filtered(page: str) -> None:
    index, [sample] = data_of(page)
    [row] = index["samples"]
    assert index["labels"] == ["before training", "after stage 1", "after stage 2"]
    assert (row["benchmark"], row["task"]) == ("uf", "PixRQA")
    assert row["states"] == ["failed", "none", "failed"]
    assert row["scores"] == [0.82, None, 0.82]
    words = " ".join(sample["html"].split())
    assert '<span class="verdict failed"><span aria-hidden="true">⚠</span> failed · J&amp;F 82.0' in words
    assert 'class="verdict up"' not in page
    assert page.count("<script>") == 1
    reader = Reader()
    reader.feed(sample["html"])
    for image in (attrs for tag, attrs in reader.tags if tag == "img"):
        assert (image["width"], image["height"], image["loading"]) == ("80", "60", "lazy")
    assert "1.5 s" in reader.text
    assert [attrs["class"] for tag, attrs in reader.tags if tag == "path"][-2:] == ["true", "predicted"]


def test_the_same_inputs_give_the_same_bytes(page: str) -> None:
    assert made_page() == page


def test_checkpoints_are_compared_in_pairs() -> None:
    """The numbers of ``ufvideo compare``; every sample is better, worse or the same."""
    found = comparison.comparisons(sides())
    assert [(one.a, one.b) for one in found] == [
        ("before training", "after stage 2"),
        ("before training", "after stage 1"),
        ("after stage 1", "after stage 2"),
    ]
    groups = {(group.benchmark, group.category): group for group in found[0].groups}
    accuracy = next(row for row in groups["mv", ""].rows if row.metric == "accuracy")
    assert (accuracy.a, accuracy.b, accuracy.difference, accuracy.samples) == ("25.0", "85.0", "+60.0", 20)
    assert (groups["mv", ""].better, groups["mv", ""].worse, groups["mv", ""].same) == (12, 0, 8)
    overlap = next(row for row in groups["uf", "PixRQA"].rows if row.metric == "J&F")
    assert (overlap.difference, overlap.interval, overlap.verdict) == ("+20.0", "+20.0 to +20.0", "better")
    assert overlap.low is not None
    assert 50 < overlap.low <= overlap.at <= 98
    assert comparison.comparisons({"one": sides()["after stage 1"]}) == ()
    assert [comparison.change(*both) for both in ((0.5, 0.5), (0.5, 0.505), (0.5, 0.51), (0.5, 0.2))] == [
        "same", "same", "better", "worse",
    ]  # fmt: skip
    assert comparison.change(None, 0.5) == ""


def test_bars_have_errors_and_baselines_and_every_task() -> None:
    whole = example_table()
    lines = tuple(replace(line, errors=(0.1, None, 0.1), baseline=0.3) for line in whole.lines)
    mv, uf = bars.charts_of(replace(whole, lines=lines), sides())
    assert [group.name for group in mv.groups] == ["accuracy", "Counting · accuracy"]
    first = mv.groups[0]
    assert (first.baseline, first.baseline_text) == (30.0, "30.0")
    assert [(bar.text, bar.end, bar.low, bar.high) for bar in first.bars] == [
        ("25.0 ±10.0", 25.0, 15.0, 35.0), ("55.0", 55.0, None, None), ("85.0 ±10.0", 85.0, 75.0, 95.0),
    ]  # fmt: skip
    assert [one.counts for one in mv.outcomes] == [
        {"right": 5, "wrong": 15}, {"right": 11, "wrong": 9}, {"right": 17, "wrong": 3},
    ]  # fmt: skip
    assert mv.histograms == (), "a measure that is 0 or 1 has no distribution worth drawing"
    assert uf.outcomes[0].counts == {"wrong": 16, "failed": 4}
    [(name, drawn)] = uf.histograms
    assert name == "J&F"
    assert len(drawn) == 3


def test_a_histogram_counts_and_shows_failures_apart() -> None:
    svg = bars.histogram("J&F", [(0.0, True), (0.05, False), (0.1, False), (1.0, False), (0.3, False)])
    label = svg.partition('aria-label="')[2].partition('"')[0]
    assert label == (
        "J&amp;F: 0 to 10: 2 samples, 1 of them failures; 10 to 20: 1 samples; 30 to 40: 1 samples; "
        "90 to 100: 1 samples"
    )
    assert svg.count('class="bin failed"') == 1


def test_spans_stand_on_a_time_line_in_seconds() -> None:
    rows = [
        timeline.Row(name="truth", spans=((1.0, 2.5), (4.0, 5.0)), true=True),
        timeline.Row(name="a & b", spans=((3.0, 2.0),)),
        timeline.Row(name="none", spans=()),
        timeline.Row(name="late", spans=((8.0, 14.0),)),
    ]
    svg = timeline.timeline(rows, 10)
    assert (
        'aria-label="time line of 10.0 s; truth: 1.0 to 2.5 s; 4.0 to 5.0 s; a &amp; b: 3.0 to 2.0 s is'
        in svg
    )
    assert svg.count('class="true"') == 2
    assert svg.count('class="made"') == 1, "what is no span is not drawn"
    assert 'x="80.00%" y="133" width="20.00%"' in svg, "cut at the video's end"
    assert [t for t in ("0 s", "2 s", "4 s", "10 s") if f">{t}</text>" not in svg] == []
    assert "no span" in svg


def test_a_strip_shows_the_true_span_and_what_is_outside() -> None:
    """Catches an even strip of a long video that misses a short span."""
    made = bench_sample(next(name for name, family in SOURCES.items() if family == "charades_sta"), 0)
    span = replace(made.spans[0], start_s=33.4, end_s=33.7)
    long = replace(made, video=replace(made.video, num_frames=800, duration_s=100.0), spans=(span,))
    shown = strip(long)
    assert len(shown) == 6
    inside = [index for index in shown if "in the true span" in caption(long, index)]
    assert len(inside) == 1
    assert caption(long, inside[0]) == "33.6 s · in the true span"
    whole = replace(long, spans=(replace(span, start_s=0.0, end_s=99.0),))
    assert any("outside the true span" in caption(whole, index) for index in strip(whole))


def test_examples_come_from_every_category() -> None:
    keys = [f"k{i}" for i in range(12)]
    kinds = ["a"] * 9 + ["b"] * 2 + ["c"]
    assert {kinds[i] for i in pick(keys, kinds, 3, 1, each=False)} == {"a", "b", "c"}
    every = pick(keys, kinds, 2, 1, each=True)
    assert sorted(kinds[i] for i in every) == ["a", "a", "b", "b", "c"]
    assert pick(keys, kinds, 0, 1, each=True) == []
    everything = pick(keys, kinds, None, 1, each=False)
    assert sorted(everything) == list(range(12))
    assert everything[:3] == pick(keys, kinds, 3, 1, each=False), "more samples are added at the end"


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


def test_a_long_name_is_in_one_line_where_there_is_room() -> None:
    shown = table.text_table(example_table())
    name = "videorefer_bench_q"
    shown = replace(shown, rows=tuple((name, *row[1:]) for row in shown.rows))
    narrow = next(width for width in range(40, 118) if shown.fits(width))
    assert name not in shown.text(narrow), "folded"
    assert name in shown.text(118)


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
