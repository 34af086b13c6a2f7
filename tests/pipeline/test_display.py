"""What a run shows while it goes on: which step of how many, and the time that is left."""

from __future__ import annotations

import sys

import pytest
from rich.console import Console

from pipeline import progress
from pipeline.jobs.display import _Live, choose_display
from pipeline.progress import duration

STEPS = ["prepare", "init", "stage1"]


def test_lines_say_which_step_of_how_many_starts(capsys: pytest.CaptureFixture[str]):
    with choose_display(STEPS, {"prepare": "kept"}) as display:
        display.start("init")
        display.finish("init", "done", "digest 0123")
    with choose_display(["doctor"], {}) as display:
        display.start("doctor")
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == "init: started, step 2 of 3"
    assert second.startswith("init: done in 0.0 s  digest 0123")
    assert third == "doctor: started"


def test_bars_say_it_too():
    live = _Live(STEPS, {"prepare": "kept"})
    live.start("init")
    live.progress("init", {"title": "steps", "done": 5, "total": 20, "fields": {"left": "12:05 min"}})
    console = Console(width=100)
    with console.capture() as capture:
        console.print(live)
    shown = " ".join(capture.get().split())
    assert "init running 0.0 s step 2 of 3" in shown
    assert "5/20 left 12:05 min" in shown


@pytest.mark.parametrize(
    ("done", "took_s", "left"), [(30, 30, "10 s"), (10, 250, "12:30 min"), (1, 600, "6:30:00 h")]
)
def test_the_time_left_is_what_the_pace_so_far_gives(
    monkeypatch: pytest.MonkeyPatch, done: int, took_s: float, left: str
):
    track = progress.Track("steps", 40, progress._PlainOut())
    track.done = done
    monkeypatch.setattr(progress.time, "monotonic", lambda: track.started + took_s)
    assert track.values()["left"] == left


def test_a_duration_is_short():
    assert [duration(s) for s in (3.24, 245, 7380)] == ["3.2 s", "4:05 min", "2:03:00 h"]


def test_a_pipe_gets_lines():
    assert not sys.stdout.isatty()
    assert type(choose_display(STEPS, {})).__name__ == "_Lines"
