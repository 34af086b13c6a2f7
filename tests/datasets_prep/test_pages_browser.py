"""The card and the doctor's page in a browser, from a file: filters, folds, a phone. Needs Chromium."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from datasets_prep.card.build import write_card
from pipeline.dataset.reader import ShardReader
from tests.datasets_prep.card_corpus import FPS, FRAMES, SEED, samples, write
from tests.datasets_prep.clips import write_clip
from tests.datasets_prep.doctor_here import Sources, doctor, write_plan
from tests.evaluation import chromium

TOOLS = """
const form = document.querySelector("form.filter");
const set = values => {
  for (const [name, value] of Object.entries(values)) form.elements[name].value = value;
  form.elements.text.dispatchEvent(new Event("input", {bubbles: true}));
  return form.querySelector("output").textContent;
};
const later = ms => new Promise(done => setTimeout(done, ms));
const folds = () => [...document.querySelectorAll("details.fold")].map(fold => [fold.hidden, fold.open]);
const shown = () => document.querySelectorAll(".filtered:not([hidden])").length;
const options = name => [...form.elements[name].options].map(option => option.textContent);
"""
OVERFLOW = "document.documentElement.scrollWidth - innerWidth"
PHONE = chromium.Command(
    "Emulation.setDeviceMetricsOverride",
    {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": False},
)


@pytest.fixture(scope="module")
def browser() -> str:
    return chromium.browser()


def follow(fold: int) -> str:
    """Follow the link of the table to the fold of a number, and see where it lies on the screen."""
    return (
        f"(async () => {{ const fold = document.querySelectorAll('details.fold')[{fold}];"
        "document.querySelector(`a[href='#${fold.id}']`).click(); await later(200);"
        "return [fold.open, fold.hidden, Math.abs(fold.getBoundingClientRect().top) < innerHeight]; })()"
    )


def test_samples_of_the_card_are_filtered(browser: str, tmp_path: Path) -> None:
    """Catches a page that is wider than the screen, pictures that move it, and filters that lose samples."""
    (tmp_path / "media").mkdir()
    for name in ("a.mp4", "b.mp4"):
        write_clip(tmp_path / "media" / name, frames=FRAMES, fps=FPS)
    dataset = write(tmp_path, tmp_path / "media", samples())
    page = write_card(ShardReader(dataset), dataset, title="tiny", seed=SEED)
    before, moved, everything, tasks, refer, open_, one, none, back, there, wide, _, narrow = chromium.look(
        browser,
        page.local_path.as_uri(),
        [
            TOOLS + "folds()",
            "(async () => { for (let y = 0; y < document.body.scrollHeight; y += 400) { scrollTo(0, y);"
            "await later(30); } return [shift.value, shift.what]; })()",
            "set({})",
            "options('task')",
            "set({task: 'refer'})",
            "folds()",
            "set({task: '', text: 'bench/when/0'})",
            "set({text: 'no such words'})",
            "form.querySelector('button').click(); later(50).then(() => [folds(), shown()])",
            follow(2),
            OVERFLOW,
            PHONE,
            f"later(200).then(() => {OVERFLOW})",
        ],
        width=1400,
    )
    total = int(everything.split()[2])
    assert everything == f"{total} of {total} samples"
    assert [open_ for _, open_ in before] == [True, True, *[False] * (len(before) - 2)]
    counts = {name: int(rest.rstrip(")")) for name, _, rest in (t.partition(" (") for t in tasks[1:])}
    assert sum(counts.values()) == total
    assert refer == f"{counts['refer']} of {total} samples"
    assert all(hidden != is_open for hidden, is_open in open_)
    assert one == f"1 of {total} samples"
    assert none == f"0 of {total} samples"
    assert back == [before, total]
    assert there == [True, False, True]
    assert (wide, narrow, moved) == (0, 0, [0, []])


@pytest.mark.usefixtures("doctor_here")
def test_findings_of_the_doctor_are_filtered(browser: str, tmp_path: Path, ill: Sources) -> None:
    """Catches a finding that a filter loses, and a page that is wider than the screen."""
    doctor(write_plan(tmp_path, ill), tmp_path / "out")
    page = tmp_path / "out" / "doctor.html"
    found: list[Any] = chromium.look(
        browser,
        page.as_uri(),
        [
            TOOLS + "set({})",
            "options('finding')",
            "set({finding: 'mask_size'})",
            "[...document.querySelectorAll('.filtered:not([hidden])')].map(row => row.dataset.finding)",
            follow(2),
            "shown()",
            OVERFLOW,
            PHONE,
            f"later(200).then(() => {OVERFLOW})",
        ],
        width=1400,
    )
    everything, findings, some, rows, there, after, wide, _, narrow = found
    total = int(everything.split()[2])
    assert everything == f"{total} of {total} findings"
    counts = {name: int(rest.rstrip(")")) for name, _, rest in (f.partition(" (") for f in findings[1:])}
    assert sum(counts.values()) == total
    assert some == f"{counts['mask_size']} of {total} findings"
    assert rows == ["mask_size"] * counts["mask_size"]
    assert there == [True, False, True]
    assert after in (total, counts["mask_size"])  # a fold that is filtered away is shown with all others
    assert (wide, narrow) == (0, 0)
