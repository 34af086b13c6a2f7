"""The page in a browser, from a file: filters, scrolling, phone, light and dark. Needs Chromium."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import chromium
import numpy as np
import pytest

from evaluation.report.bars import charts_of
from evaluation.report.colours import Kind
from evaluation.report.examples import Answer, Example
from evaluation.report.page import Page, Section, Stage, render
from evaluation.report.pictures import Album
from evaluation.report.timeline import Row, timeline
from evaluation.report.verdict import State
from tests.evaluation.test_eval_report import example_table, sides

MANY = 24
LABELS = ("before training", "after stage 1", "after stage 2")
SET = """
const set = values => {
  const form = document.getElementById("filter");
  for (const [name, value] of Object.entries(values)) form.elements[name].value = value;
  form.elements.q.dispatchEvent(new Event("input", {bubbles: true}));
  return [document.getElementById("count").textContent, location.hash];
};
const shown = () => [...document.querySelectorAll("article .key")].map(key => key.textContent);
const wait = ms => new Promise(done => setTimeout(done, ms));
"""
WIDTH = "[innerWidth, document.documentElement.scrollWidth]"


@pytest.fixture(scope="module")
def browser() -> str:
    return chromium.browser()


def example(key: str, task: str, states: Sequence[State], scores: Sequence[float | None]) -> Example:
    """A sample with pictures, a time line, and everything long that could widen a page."""
    frame = np.full((120, 320, 3), 128, np.uint8)
    mask = np.zeros((120, 320), np.uint8)
    mask[10:90, 40:200] = 1
    album = Album(dict.fromkeys(range(6), frame))
    lines = {n: [album.outline(n, kind, 0, mask) for kind in (Kind.TRUE, Kind.PREDICTED)] for n in range(6)}
    colours = album.colours()
    pictures = tuple(
        album.picture(n, found, colours, alt=f"frame {n}", caption="12.5 s") for n, found in lines.items()
    )
    answers = tuple(
        Answer(
            label=label,
            text="<TEMP-031>" * 30 + "x" * 300,
            verdict="J&F 62.5 · tIoU 40.0 " * 3,
            state=state,
            failure="no [SEG]" if state is State.FAILED else "",
            score=score,
            pictures=pictures,
        )
        for label, state, score in zip(LABELS, states, scores, strict=False)
    )
    return Example(
        key=key,
        category=task,
        question="A question " * 30 + "y" * 200,
        truth="z" * 200,
        answers=answers,
        spans=timeline([Row(name="truth", spans=((1, 2),), true=True), Row(name="b", spans=())], 4),
        frames=album.uris,
        legend=colours.legend,
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Four samples of one benchmark, and many of another; the third checkpoint did not answer the many."""
    right, wrong, failed = State.RIGHT, State.WRONG, State.FAILED
    one = (
        example("one/0", "a", (wrong, right, right), (0.2, 0.6, 0.9)),
        example("one/1", "a", (right, wrong, wrong), (0.8, 0.3, 0.3)),
        example("one/2", "b", (failed, wrong, failed), (0.6, 0.4, 0.6)),
        example("one/3 zebra", "b", (right, State.UNSCORED, right), (0.7, None, 0.705)),
    )
    many = tuple(example(f"many/{n}", "c", (wrong, right), (0.1, 0.5)) for n in range(MANY))
    table = example_table()
    table = replace(table, lines=tuple(replace(line, errors=(0.01,) * 3) for line in table.lines))
    html = render(
        Page(
            title="tiny",
            table=table,
            charts=charts_of(table, sides()),
            stages=(Stage(name="stage1", label="stage 1", history={"lr": [(0, 0.1), (9, 0.2)]}),),
            sections=(Section(name="one", examples=one), Section(name="many", examples=many)),
            provenance=(("dataset", "f" * 128),),
            plan="name: " + "n" * 400,
        )
    )
    place = tmp_path_factory.mktemp("page") / "report.html"
    place.write_text(html)
    return place.as_uri()


@pytest.mark.parametrize("width", [390, 1400])
def test_nothing_is_wider_than_the_screen(browser: str, page: str, width: int) -> None:
    opened = "document.querySelectorAll('details').forEach(one => one.open = true)"
    found = chromium.look(browser, page, [WIDTH, opened, WIDTH], width=width)
    assert found[0] == found[2] == [width, width]


FILTERS: list[tuple[dict[str, str], list[str]]] = [
    ({"benchmark": "one"}, ["one/0", "one/1", "one/2", "one/3 zebra"]),
    ({"task": "b"}, ["one/2", "one/3 zebra"]),
    ({"state": "failed"}, ["one/2"]),
    ({"state": "right", "of": "0"}, ["one/1", "one/3 zebra"]),
    ({"min": "55", "max": "65"}, ["one/0", "one/2"]),
    ({"min": "55", "max": "65", "state": "failed"}, ["one/2"]),
    ({"state": "wrong", "min": "60"}, []),  # state and score of one answer
    ({"benchmark": "one", "change": "better"}, ["one/0"]),
    ({"change": "worse"}, ["one/1"]),
    ({"change": "same"}, ["one/2", "one/3 zebra"]),  # half a point is the same
    ({"benchmark": "one", "change": "better", "from": "0", "to": "1"}, ["one/0"]),
    ({"benchmark": "one", "change": "worse", "from": "0", "to": "1"}, ["one/1", "one/2"]),
    ({"q": "ZEBRA question"}, ["one/3 zebra"]),
]


def test_filters_find_samples_and_stand_in_the_address(browser: str, page: str) -> None:
    """Each filter by itself; then the address that it made is opened anew, and shows the same."""
    empty = "document.querySelector('#filter button').click(); wait(50)"
    scripts = [SET + "0"]
    for values, _ in FILTERS:
        scripts += [f"set({values})", "shown()", empty]
    found = chromium.look(browser, page, scripts)[1:]
    for number, (values, keys) in enumerate(FILTERS):
        count, address = found[3 * number]
        assert (count, found[3 * number + 1]) == (f"{len(keys)} of {MANY + 4} samples", keys), values
        assert set(re.findall(r"[#&](\w+)=", address)) == {
            name for name, value in values.items() if (name, value) not in (("from", "0"), ("to", "2"))
        }
    for number in (4, 11, 12):
        again = chromium.look(browser, page + found[3 * number][1], [SET + "shown()"])
        assert again == [FILTERS[number][1]]


def test_choices_have_counts_under_the_other_filters(browser: str, page: str) -> None:
    read = "[...document.querySelectorAll('[name=task] option')].map(o => [o.textContent, o.disabled])"
    found = chromium.look(browser, page, [SET + "0", read, "set({benchmark: 'one'})", read])
    assert found[1] == [["all (28)", False], ["a (2)", False], ["b (2)", False], ["c (24)", False]]
    assert found[3] == [["all (4)", False], ["a (2)", False], ["b (2)", False], ["c (0)", True]]


@pytest.mark.parametrize("width", [390, 1400])
def test_samples_appear_while_scrolling_and_nothing_jumps(browser: str, page: str, width: int) -> None:
    """A page begins with few elements. Layout shift, as browsers measure it, is 0."""
    count = "document.querySelectorAll('article').length"
    scroll = f"""(async () => {{
      document.getElementById("samples").scrollIntoView();
      for (let n = 0; n < 400 && {count} < {MANY + 4}; n++) {{ scrollBy(0, 900); await wait(30); }}
      await wait(200);
      return [{count}, document.getElementById("more").hidden, shift.value, shift.what];
    }})()"""
    images = """(async () => {
      const all = [...document.querySelectorAll("article img")].slice(0, 12);
      for (const image of all) {  // a lazy image that was scrolled past too fast was never loaded
        image.scrollIntoView();
        await image.decode();
      }
      return all.map(i => [i.naturalWidth, i.naturalHeight, i.width > 0, i.width / i.height > 2.6]);
    })()"""
    first, _, found, shown = chromium.look(browser, page, [count, SET + "0", scroll, images], width=width)
    assert first <= 16
    assert found == [MANY + 4, True, 0, []]
    assert shown == [[320, 120, True, True]] * 12


def test_a_reader_who_is_faster_than_the_page_sees_no_jump(browser: str, page: str) -> None:
    """Articles are drawn while the button below them is on the screen."""
    script = """(async () => {
      const more = document.getElementById("more"), moved = [];
      for (let n = 0; n < 3; n++) {
        more.scrollIntoView({block: "center"});
        moved.push(!more.hidden);
        more.click();
        await wait(200);
      }
      return [moved, shift.value, shift.what];
    })()"""
    found = chromium.look(browser, page, [SET + "0", script])
    assert found[1] == [[True, True, True], 0, []]


def test_more_samples_by_keyboard(browser: str, page: str) -> None:
    """The button works where nothing is scrolled; filters are reached by tab, in their order."""
    found = chromium.look(
        browser,
        page,
        [
            "window.before = document.querySelectorAll('article').length",
            SET + "document.getElementById('more').focus(); document.activeElement.id",
            """(async () => {  // until samples were drawn above it
              for (let n = 0; n < 200 && document.querySelectorAll("article").length === before; n++)
                await wait(50);
              return document.activeElement.id;
            })()""",
            "window.then = document.querySelectorAll('article').length",
            "document.activeElement.click(); document.querySelectorAll('article').length - then",
            "[...document.querySelectorAll('#list > *')].indexOf(document.activeElement) >= then",
            "[...document.querySelectorAll('#filter select, #filter input')].every(e => e.labels.length"
            " || e.ariaLabel)",
            "[...document.querySelectorAll('.scroll')].every(e => e.tabIndex === 0 && e.ariaLabel)",
        ],
    )
    assert found[1:3] == ["more", "more"]
    assert found[3] > found[0]
    assert found[4] > 0
    assert found[5:] == [True, True, True], "focus goes to the first new sample; everything has a name"


def test_outlines_have_a_halo_and_can_be_hidden(browser: str, page: str) -> None:
    lines = """(() => {
      const look = path => [path.classList.value, path.getAttribute("stroke"),
        getComputedStyle(path).fill, getComputedStyle(path).strokeDasharray !== "none",
        getComputedStyle(path).display];
      return [...document.querySelector(".shot svg").querySelectorAll("path")].map(look);
    })()"""
    click = "document.getElementById('show-true').click()"
    before, _, after = chromium.look(browser, page, [lines, click, lines])
    assert [one[0] for one in before] == ["true halo", "true", "predicted halo", "predicted"]
    assert all(one[2] == "none" for one in before), "outlines, no fills"
    assert [one[3] for one in before] == [False, False, True, True]
    assert before[0][1] != before[1][1] != before[3][1]
    assert [one[4] for one in after] == ["none", "none", "inline", "inline"]


def test_light_and_dark(browser: str, page: str) -> None:
    """Backgrounds differ, and a failure is not green in either and has a sign beside its colour."""
    style = "getComputedStyle(document.querySelector('{}')).{}"
    scripts = [
        style.format("body", "backgroundColor"),
        style.format(".verdict.failed", "color"),
        style.format(".verdict.up", "color"),
        "document.querySelector('.verdict.failed').textContent.replace(/\\s+/g, ' ')",
    ]
    light, dark = (chromium.look(browser, page, scripts, scheme=scheme) for scheme in ("light", "dark"))
    assert sum(_rgb(light[0])) > 600
    assert sum(_rgb(dark[0])) < 150
    for found in (light, dark):
        red, green, _ = _rgb(found[1])
        assert red > green
        assert found[1] != found[2]
        assert found[3].startswith("⚠ failed · ")


def _rgb(colour: Any) -> tuple[int, int, int]:
    red, green, blue = map(int, re.findall(r"\d+", colour)[:3])
    return red, green, blue
