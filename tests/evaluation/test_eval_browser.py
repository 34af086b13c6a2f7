"""The page in a browser, from a file: no sideways scrolling, filters, light and dark. Needs Chromium."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.report import charts
from evaluation.report.examples import Answer, Example, State
from evaluation.report.page import Page, Section, Stage, render
from evaluation.report.pictures import Colours, Masks, picture
from evaluation.report.table import Table

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome")
PROBE = """
<script>
addEventListener("load", () => {
  const at = id => document.getElementById(id), out = {};
  const shown = () => [...document.querySelectorAll("article")].filter(a => a.offsetParent).map(a => a.id);
  const choose = values => { for (const [k, v] of Object.entries(values)) at(k).value = v;
    at("filter").dispatchEvent(new Event("input")); return [shown().length, at("f-count").textContent]; };
  out.width = [innerWidth, document.documentElement.scrollWidth];
  out.background = getComputedStyle(document.body).backgroundColor;
  out.failed = getComputedStyle(document.querySelector(".verdict.failed")).color;
  out.right = getComputedStyle(document.querySelector(".verdict.up")).color;
  out.all = choose({});
  out.benchmark = choose({"f-benchmark": "one"});
  out.tasks = [...at("f-task").options].filter(o => !o.hidden).map(o => o.value);
  out.right_answers = choose({"f-state": "right"});
  out.right_at_first = choose({"f-checkpoint": "0"});
  out.sections = [...document.querySelectorAll("section.samples")].filter(s => s.offsetParent).length;
  at("f-task").value = ""; at("f-benchmark").value = ""; at("f-checkpoint").value = "";
  out.failed_answers = choose({"f-state": "failed"});
  out.task = choose({"f-state": "", "f-task": "c"});
  const image = document.querySelector("img");
  out.image = [image.getAttribute("width"), image.getAttribute("height"), image.loading];
  document.body.innerHTML = '<pre id="probe"></pre>';
  at("probe").textContent = JSON.stringify(out);
});
</script>
"""


@pytest.fixture(scope="module")
def browser() -> str:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is on the path")
    return found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two benchmarks with answers of two checkpoints, and everything long that could widen a page."""
    frame = np.full((120, 320, 3), 128, np.uint8)
    mask = np.zeros((120, 320), np.uint8)
    mask[10:90, 40:200] = 1
    shown = tuple(
        picture(Masks(frame=frame, true=[mask], predicted=[mask]), Colours(), alt="frame", caption="12.5 s")
        for _ in range(6)
    )
    states = [
        ("one", "a", State.RIGHT, State.RIGHT),
        ("one", "b", State.WRONG, State.RIGHT),
        ("two", "c", State.FAILED, State.WRONG),
    ]
    sections: dict[str, list[Example]] = {}
    for benchmark, task, *made in states:
        answers = tuple(
            Answer(
                label=label,
                text="<TEMP-031>" * 30 + "x" * 300,
                verdict="J&F 62.5  tIoU 40.0 " * 3,
                state=state,
                failure="no [SEG]" if state is State.FAILED else "",
                pictures=shown,
            )
            for label, state in zip(("before training", "after stage 2"), made, strict=True)
        )
        bars = [charts.Bar(name="truth", span=(1, 2), kind="true")]
        sections.setdefault(benchmark, []).append(
            Example(
                key="source/" + "k" * 120,
                category=task,
                question="A question " * 30 + "y" * 200,
                truth="z" * 200,
                pictures=shown,
                spans=charts.spans(bars, 4),
                answers=answers,
            )
        )
    from tests.evaluation.test_eval_report import example_table

    table = example_table()
    table = replace(
        table,
        columns=("init", "stage2"),
        labels=("before training", "after stage 2"),
        lines=tuple(replace(line, values=line.values[:2], errors=(), missing=()) for line in table.lines),
    )
    assert isinstance(table, Table)
    html = render(
        Page(
            title="tiny",
            table=table,
            stages=(Stage(name="stage1", label="stage 1", history={"lr": [(0, 0.1), (9, 0.2)]}),),
            sections=tuple(Section(name=name, examples=tuple(group)) for name, group in sections.items()),
            provenance=(("dataset", "f" * 128),),
            plan="name: " + "n" * 400,
        )
    )
    place = tmp_path_factory.mktemp("page") / "report.html"
    place.write_text(html + PROBE)
    return place


def probe(browser: str, page: Path, width: int, *more: str) -> dict[str, Any]:
    typed = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--dump-dom"]
    typed += [f"--user-data-dir={page.parent / 'profile'}", f"--window-size={width},900", *more]
    done = subprocess.run([*typed, page.as_uri()], capture_output=True, text=True, timeout=120)
    found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.S)
    assert found, done.stderr[-2000:]
    return json.loads(found[1].replace("&amp;", "&"))


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_screen(browser: str, page: Path, width: int) -> None:
    assert probe(browser, page, width)["width"] == [width, width]


def test_filters(browser: str, page: Path) -> None:
    found = probe(browser, page, 1280)
    assert found["all"] == [3, "3 of 3 samples"]
    assert found["benchmark"] == [2, "2 of 3 samples"]
    assert found["tasks"] == ["", "a", "b"]
    assert found["right_answers"] == [2, "2 of 3 samples"]
    assert found["right_at_first"] == [1, "1 of 3 samples"]
    assert found["sections"] == 1
    assert found["failed_answers"] == [1, "1 of 3 samples"]
    assert found["task"] == [1, "1 of 3 samples"]
    assert found["image"] == ["240", "90", "lazy"]


def test_light_and_dark(browser: str, page: Path) -> None:
    """Backgrounds differ, and a failure is not green in either."""
    light = probe(browser, page, 800)
    dark = probe(browser, page, 800, "--blink-settings=preferredColorScheme=0")
    brightness = [sum(map(int, re.findall(r"\d+", one["background"]))) for one in (light, dark)]
    assert brightness[0] > 600
    assert brightness[1] < 150
    for one in (light, dark):
        red, green, _ = map(int, re.findall(r"\d+", one["failed"]))
        assert red > green
        assert one["failed"] != one["right"]
