"""Arguments of ``ufvideo predict`` are parsed, and refused before a model is loaded if they are invalid."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.commands import predict
from pipeline.errors import UserError
from pipeline.media.pointing import Box, MaskFile, Point, parse_region, seconds_of
from pipeline.plan.evaluation import SegState

REPO = Path(__file__).resolve().parents[2]


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    predict.add_arguments(parser)
    options = parser.parse_args(["checkpoint", "clip.mp4", "What is <region>?", *arguments])
    predict.check(options)
    return options


def test_regions_keep_the_order_of_the_command_line():
    """Catches boxes that are sorted before points: the k-th region belongs to the k-th <region>."""
    options = parsed(
        "--point", "12:5,6.5", "--box", "3.5s:1,2,30,40", "--mask", "0:a:b.png", "--point", "1:2,3"
    )
    assert options.regions == (
        Point(12, 5, 6.5),
        Box("3.5s", 1, 2, 30, 40),
        MaskFile(0, "a:b.png"),
        Point(1, 2, 3),
    )


def test_defaults_and_choices_are_those_of_plans():
    """Catches a [SEG] state that plans have and the command lacks."""
    options = parsed()
    assert (options.regions, options.frames, options.out) == ((), None, None)
    assert tuple(SegState) == predict.SEG_STATES
    assert options.seg_state == SegState.PREDICTING
    assert parsed("--frames", "all").frames == "all"
    assert parsed("--frames", "12").frames == 12
    assert (options.prompted_frames, parsed("--prompted-frames", "4").prompted_frames) == (None, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--box", "12:1,2,3"), "is not a frame and 4 numbers"),
        (("--box", "12:1,2,3,4,5"), "is not a frame and 4 numbers"),
        (("--box", "1,2,3,4"), "is not a frame and 4 numbers"),
        (("--box", "12:30,2,3,40"), "has no area"),
        (("--box", "12:a,b,c,d"), "is not a frame and 4 numbers"),
        (("--point", "12:1"), "is not a frame and 2 numbers"),
        (("--point", "12:nan,1"), "not finite"),
        (("--point", "-3:1,1"), "neither a frame number nor a time"),
        (("--point", "3.5:1,1"), "such as 12, or seconds with their unit, such as 3.5s"),
        (("--mask", "ball.png"), "names no frame and file"),
        (("--frames", "0"), "not a number of frames"),
        (("--frames", "some"), "not a number of frames"),
        (("--max-new-tokens", "0"), "leaves no answer"),
        (("--prompted-frames", "0"), "leaves no mask"),
    ],
)
def test_invalid_arguments_are_refused(arguments: tuple[str, str], message: str):
    """Catches a number without a unit that is taken for seconds, and invalid values that reach the model."""
    arguments = (arguments[0] + "=" + arguments[1],) if arguments[1].startswith("-") else arguments
    with pytest.raises(UserError, match=message):
        parsed(*arguments)


def test_times_are_seconds_with_a_unit():
    assert seconds_of("3.5s") == seconds_of(" 3.5 s ") == 3.5
    assert seconds_of(".5s") == 0.5
    assert seconds_of(12) is None
    assert parse_region("point", "12s:1,2") == Point("12s", 1, 2)


def ufvideo(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command in its own process, without a model that would answer."""
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: print('loaded', *[m for m in ('torch', 'numpy', 'pydantic') "
        "if m in sys.modules], file=sys.stderr))\n"
        "from pipeline.commands import predict; predict.MODULE = 'nothing.that.starts'\n"
        "from pipeline.commands.cli import main\n"
        f"sys.exit(main({list(arguments)!r}))\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(REPO)},
        timeout=60,
    )


def test_help_loads_no_heavy_module_and_explains_regions(tmp_path: Path):
    """Catches help that takes seconds because it loads the model's code."""
    done = ufvideo("predict", "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr == "loaded\n"
    assert "--box FRAME:X1,Y1,X2,Y2" in done.stdout
    assert "1.9 %" in done.stdout


def test_an_invalid_region_is_refused_without_torch(tmp_path: Path):
    """Catches arguments that are checked only in the process that loads the model."""
    done = ufvideo(
        "predict", "checkpoint", "clip.mp4", "What is <region>?", "--box", "x:1,2,3,4", cwd=tmp_path
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: box x:1,2,3,4: 'x' is neither a frame number nor a time.")
    assert "torch" not in done.stderr


def test_an_interrupt_sent_only_to_the_command_reaches_its_process(tmp_path: Path):
    """Catches a SIGINT from another program, without a terminal, that is ignored."""
    (tmp_path / "slow_one.py").write_text(
        "import sys, time\nprint('asking', flush=True)\n"
        "try:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    sys.exit(130)\n"
    )
    code = (
        "import signal, sys; from pipeline.commands import own_process, predict\n"
        # A test run in the background ignores Ctrl-C, and its children inherit that.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "predict.MODULE = 'slow_one'; own_process.GRACE_S = 0.1\n"
        "from pipeline.commands.cli import main; "
        "sys.exit(main(['predict', 'checkpoint', 'clip.mp4', 'What is it?']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": f"{REPO}{os.pathsep}{tmp_path}"},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "asking\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130


def test_arguments_and_exit_code_pass_between_command_and_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Catches a lost exit code and changed arguments."""
    package = tmp_path / "asks"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(
        "import sys; print(sys.argv[1:], flush=True); sys.exit(len(sys.argv))\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(predict, "MODULE", "asks")
    arguments = ["checkpoint", "clip.mp4", "What is it?", "--frames", "3"]
    parser = argparse.ArgumentParser()
    predict.add_arguments(parser)
    options = parser.parse_args(arguments)
    options.typed = ["predict", *arguments]
    assert predict.act(options) == 6
