"""`ufvideo score` on native truth and real predictions gives the figures that their authors print.

Predictions of DisTime's 8B model and those of Moment-DETR are in their authors' repositories. A test that
reads one is skipped unless UFVIDEO_REFERENCES names a folder with a checkout, as DisTime or moment_detr.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from evaluation.score.__main__ import main


def checkout(name: str) -> Path:
    """The checkout of another project's repository; without it the test is skipped."""
    folder = Path(os.environ.get("UFVIDEO_REFERENCES", "")) / name
    if "UFVIDEO_REFERENCES" not in os.environ or not folder.is_dir():
        pytest.skip(f"UFVIDEO_REFERENCES names no folder with a checkout of {name}")
    return folder


def percent(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[tuple[str, str], float]:
    """By (category, metric), in percent. Everything has to be matched."""
    assert main([*map(str, arguments), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert not any(content["problems"].values()), content["problems"]
    return {(row["category"], row["metric"]): 100 * row["value"] for row in content["metrics"]}


def test_charades_of_the_8b_model(realdata: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = checkout("DisTime") / "internvl_chat/results/Charades-STA/8B/results.json"
    for truth in ("charades_sta_test.txt", "charades_sta_test.json"):  # ends as they are written in both
        place = realdata / "charades_sta" / truth
        found = percent(capsys, "charades_sta", "--truth", place, "--predictions", made)
        printed = {
            "tIoU": 53.54,
            "R@0.3, threshold counts": 81.05,
            "R@0.5, threshold counts": 60.32,
            "R@0.7, threshold counts": 30.83,
            "R@0.5": 60.30,  # above the threshold: one answer has an IoU of 0.5
        }
        assert {name: round(found["", name], 2) for name in printed} == printed, truth


TASK_FILES = {"Action Sequence": "action_sequence", "Action Prediction": "action_prediction"}


def mvbench(answers: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, float]]:
    """Accuracy by rule of the two tasks that a file of answers holds whole.

    The file has the prompts and the right options but no videos: MVBench's own files are written from them.
    """
    rows = [row for row in json.loads(answers.read_text()) if row["task_type"] in TASK_FILES]
    truth: dict[str, list[dict[str, Any]]] = {}
    made = []
    for number, row in enumerate(rows):
        question, options = row["question"].rpartition("Question: ")[2].split("\nOptions:\n")
        candidates = re.findall(r"^\([A-E]\) (.*)$", options, re.MULTILINE)
        entry = {"video": f"{number}.mp4", "question": question, "candidates": candidates}
        truth.setdefault(row["task_type"], []).append({**entry, "answer": row["gt"][4:]})
        made.append({"video": f"{number}.mp4", "question": question, "pred": row["pred"]})
    home = folder / "json"
    home.mkdir()
    for task, entries in truth.items():
        assert len(entries) == 200
        (home / f"{TASK_FILES[task]}.json").write_text(json.dumps(entries))
    (folder / "answers.json").write_text(json.dumps(made))
    found = percent(capsys, "mvbench", "--truth", home, "--predictions", folder / "answers.json")
    return {task: {name: value for (of, name), value in found.items() if of == task} for task in TASK_FILES}


def test_mvbench_of_the_8b_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = checkout("DisTime") / "internvl_chat/results/MVBench/8B"
    found = mvbench(results / "MVBench.json", tmp_path, capsys)
    for task, printed in {"Action Sequence": 85.0, "Action Prediction": 57.5}.items():
        assert found[task] == pytest.approx(dict.fromkeys(found[task], printed), abs=1e-9)  # by every rule


def test_mvbench_of_the_1b_model(realdata: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = realdata / "mvbench_answers"
    found = mvbench(results / "MVBench.json", tmp_path, capsys)
    printed = json.loads((results / "MVBench_result_final.json").read_text())
    for task in TASK_FILES:
        # "Answer: (B) Lied on the floor." is wrong by MVBench's own rule, and right in the printed figure.
        official = found[task].pop("accuracy, MVBench's rule")
        assert official == pytest.approx(printed[task] - 0.5 * (task == "Action Sequence"), abs=1e-9)
        assert found[task] == pytest.approx(dict.fromkeys(found[task], printed[task]), abs=1e-9)
