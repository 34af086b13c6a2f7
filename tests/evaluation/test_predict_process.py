"""The command ``ufvideo predict``, and the three lines of the README."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from answering_checkpoint import QUESTION, TEXT, sample_of, write_answering_checkpoint
from PIL import Image
from tiny_bench import FRAMES, HEIGHT, WIDTH, square

from evaluation import Answer, Box, Checkpoint, MaskFile, Point
from evaluation.predict.__main__ import main
from evaluation.predict.clip import open_clip
from pipeline.records import masks
from pipeline.times.temporal import with_seconds

REPO = Path(__file__).resolve().parents[2]


def test_the_command_prints_the_answer_and_writes_its_files(
    home: Path, answer: Answer, tmp_path: Path
) -> None:
    """Catches progress or warnings in the printed answer, and files in another place than it prints.

    Run in a folder with files named like this project's: catches an import from the working folder.
    """
    for name in ("evaluation/__init__.py", "evaluation/predict/__main__.py", "json.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("raise SystemExit('somebody else')")
    code = "import sys; sys.path.remove(''); from pipeline.commands.cli import main; sys.exit(main())"
    arguments = [
        "predict",
        str(home / "checkpoint"),
        str(home / "clip.mp4"),
        QUESTION,
        "--max-new-tokens",
        "8",
    ]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments, "--device", "cpu"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPO)},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    text, _, span, mask, files = done.stdout.splitlines()
    assert text == f"{TEXT} (0.2 to 1.2 s)"
    assert span == "span 1: 0.20 s to 1.21 s"
    seen, share = answer.coverage(answer.masks[0])
    assert mask.startswith(f"object 1: visible on {seen} of {FRAMES} segmented frames, {100 * share:.1f} %")
    (folder,) = (tmp_path / "predictions").iterdir()
    assert folder.name.startswith("clip-")
    assert files == f"{folder}: overlay.mp4, answer.json"
    assert json.loads((folder / "answer.json").read_text())["identity"] == answer.question.identity
    labels = [line.partition(":")[0] for line in done.stderr.splitlines()]
    assert set(labels) == {"load", "answer", "overlay", "Next"}


def test_a_closed_pipe_does_not_stop_the_command(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches a traceback with ``| head -1``, also the one that Python prints at its exit."""
    arguments = [str(home / "checkpoint"), str(home / "clip.mp4"), QUESTION, "--max-new-tokens", "8"]
    reading, writing = os.pipe()
    os.close(reading)  # as by a reader that has exited
    with os.fdopen(writing, "w") as pipe:  # closing it fails if buffered output is left
        monkeypatch.setattr(sys, "stdout", pipe)
        code = main([*arguments, "--device", "cpu", "--out", str(tmp_path / "out"), "--frames", "2"])
        monkeypatch.undo()
    assert code == 0
    assert "Traceback" not in capsys.readouterr().err
    assert (tmp_path / "out" / "answer.json").is_file()


def test_the_command_reports_a_mistake_in_one_line(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches a traceback, another exit code, and anything half-written."""
    monkeypatch.chdir(tmp_path)
    arguments = [str(home / "checkpoint"), str(home / "clip.mp4"), "What is <region>?"]
    assert main([*arguments, "--box", "0.5s:10,10,70,40"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: box 0.5s:10,10,70,40: extends beyond the frame")
    assert printed.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_regions_of_the_command_are_those_of_the_python_api(
    home: Path, model: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """Catches a mask file, a box and a point that are confused or reordered."""
    Image.fromarray(square(0, 7) * 255).save(tmp_path / "square.png")
    monkeypatch.chdir(tmp_path)
    question = "Is <region> left of <region>, or of <region>?"
    regions_given = ["--mask", "7:square.png", "--box", "0.5s:10,10,50,40", "--point", "3:30,20"]
    arguments = [
        str(home / "checkpoint"),
        str(home / "clip.mp4"),
        question,
        "--out",
        "out",
        "--device",
        "cpu",
    ]
    assert main([*arguments, *regions_given, "--max-new-tokens", "8"]) == 0
    found = json.loads((tmp_path / "out" / "answer.json").read_text())
    printed = capsys.readouterr().out.splitlines()[0]
    assert printed == with_seconds(found["answer"], found["video"]["duration_s"])
    inside, box, point = found["regions"]
    assert [list(region["masks"]) for region in (inside, box, point)] == [["7"], ["4"], ["3"]]
    rle = inside["masks"]["7"]
    assert (masks.decode(rle["counts"], *rle["size"]) == square(0, 7)).all()
    assert masks.area(box["masks"]["4"]["counts"], HEIGHT, WIDTH) == 40 * 30
    regions = [MaskFile(7, "square.png"), Box("0.5s", 10, 10, 50, 40), Point(3, 30, 20)]
    same = model.ask(home / "clip.mp4", question, regions=regions)
    other = model.ask(home / "clip.mp4", question, regions=regions[::-1])
    assert (same.text, same.question.identity) == (found["answer"], found["identity"])
    assert other.question.identity != found["identity"]
    assert [str(region) for region in same.question.regions] == [r["given"] for r in found["regions"]]


def test_the_example_of_the_readme_runs(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs the README's lines verbatim, with the files that they name."""
    blocks = re.findall(r"```python\n(.*?)```", (REPO / "README.md").read_text(), re.DOTALL)
    (lines,) = [block for block in blocks if "load_checkpoint" in block]
    place, video, question = re.findall(r'"([^"]+)"', lines)
    assert len([line for line in lines.splitlines() if line]) == 3
    shutil.copy(home / "clip.mp4", tmp_path / video)
    clip = open_clip(tmp_path / video)
    write_answering_checkpoint(tmp_path / place, sample_of(clip, question), clip.footage)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(lines, "README.md", "exec"), names)
    answer = names["answer"]
    assert isinstance(answer, Answer)
    assert (answer.text, len(answer.spans), len(answer.masks)) == (TEXT, 1, 1)
    assert len(answer.masks[0].frames) == FRAMES
    assert "overlay.mp4" in answer.save("out").files
