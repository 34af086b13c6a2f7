"""`ufvideo score`: predictions of any code against a benchmark's own truth."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evaluation.score.__main__ import main
from pipeline.records import masks
from tests.conftest import REPO

HEIGHT, WIDTH, FRAMES = 24, 32, 4


def square(left: int, on: bool = True) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    if on:
        mask[6:18, left : left + 10] = 1
    return mask


TRUTH = {  # two expressions of one video, one of another; the last frame of each is empty
    ("clip_a", "0"): [square(2 + f, f < 3) for f in range(FRAMES)],
    ("clip_a", "1"): [square(18 - f, f < 3) for f in range(FRAMES)],
    ("clip_b", "0"): [square(8, f < 3) for f in range(FRAMES)],
}
NAMES = [f"{5 * f:05d}" for f in range(FRAMES)]


def rle(mask: np.ndarray) -> dict[str, Any]:
    return {"size": [HEIGHT, WIDTH], "counts": masks.encode(mask)}


@pytest.fixture
def mevis(tmp_path: Path) -> Path:
    """MeViS in its own layout."""
    folder = tmp_path / "valid_u"
    folder.mkdir()
    videos: dict[str, Any] = {}
    annotations = {}
    for number, ((video, part), track) in enumerate(TRUTH.items()):
        entry = videos.setdefault(video, {"expressions": {}, "frames": NAMES})
        entry["expressions"][part] = {"exp": f"square {part}", "obj_id": [number], "anno_id": [number]}
        annotations[str(number)] = [rle(mask) if mask.any() else None for mask in track]
    (folder / "meta_expressions.json").write_text(json.dumps({"videos": videos}))
    (folder / "mask_dict.json").write_text(json.dumps(annotations))
    return folder


def write_pngs(folder: Path, form: str, tracks: dict[tuple[str, str], list[np.ndarray]]) -> Path:
    for (video, part), track in tracks.items():
        place = folder / video / part
        place.mkdir(parents=True)
        for name, mask in zip(NAMES, track, strict=True):
            if form == "palette":
                image = Image.fromarray(mask, "P")
                image.putpalette([0, 0, 0, 200, 30, 30])
            else:
                image = Image.fromarray(mask * (255 if form == "255" else 1))
            image.save(place / f"{name}.png")
    return folder


def result(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def value(content: dict[str, Any], metric: str, category: str = "") -> float:
    return next(r["value"] for r in content["metrics"] if (r["metric"], r["category"]) == (metric, category))


@pytest.mark.parametrize("form", ["1", "255", "palette", "zip", "zip of Annotations", "rle", "rle by video"])
def test_masks_are_read_in_every_usual_form(
    mevis: Path, tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tracks = {**TRUTH, ("clip_b", "0"): [square(13) for _ in range(FRAMES)]}
    place = tmp_path / "predictions"
    if form.startswith("rle"):
        place = tmp_path / "predictions.json"
        if form == "rle":
            rows = [
                {"video": video, "exp_id": part, "segmentations": [rle(m) for m in track]}
                for (video, part), track in tracks.items()
            ]
            place.write_text("\n".join(map(json.dumps, rows)))
        else:
            nested: dict[str, Any] = {}
            for (video, part), track in tracks.items():
                nested.setdefault(video, {})[part] = [rle(m) for m in track]
            place.write_text(json.dumps(nested))
    elif form.startswith("zip"):
        folder = write_pngs(tmp_path / "tree", "255", tracks)
        place = tmp_path / "predictions.zip"
        with zipfile.ZipFile(place, "w") as archive:
            for path in sorted(folder.rglob("*.png")):
                inner = path.relative_to(folder).as_posix()
                archive.write(path, f"Annotations/{inner}" if "Annotations" in form else inner)
    else:
        write_pngs(place, form, tracks)
    content = result(capsys, "mevis", "--truth", str(mevis), "--predictions", str(place))
    # Two are right everywhere; the third overlaps by a third on three frames and is wrong on the empty one.
    assert value(content, "J") == pytest.approx((2 + 3 * (5 / 15) / 4) / 3)
    assert content["samples"] == 3
    assert not any(content["problems"].values())


def test_predictions_that_do_not_fit_the_samples_are_counted_and_named(
    mevis: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tracks = {
        ("clip_a", "0"): TRUTH["clip_a", "0"],
        ("clip_a", "7"): TRUTH["clip_a", "1"],
        ("clip_c", "0"): TRUTH["clip_b", "0"],
        ("clip_b", "0"): [mask[:12] for mask in TRUTH["clip_b", "0"]],
    }
    folder = write_pngs(tmp_path / "predictions", "1", tracks)
    (folder / "clip_a/0" / f"{NAMES[1]}.png").unlink()
    arguments = ["mevis", "--truth", str(mevis), "--predictions", str(folder), "--out", str(tmp_path / "out")]
    content = result(capsys, *arguments)
    assert content["problems"] == {
        "samples without a prediction": 1,
        "predictions of no sample": 2,
        "predictions that fit samples of several videos": 0,
        "predictions of a sample that had one": 0,
        "predictions with the id of another sample than their video and words": 0,
        "records of the truth that cannot be used": 0,
        "failures": 3,
    }
    listed = json.loads((tmp_path / "out/problems.json").read_text())
    assert listed["samples without a prediction"] == ["clip_a/1"]
    assert [p.split(", ")[-1] for p in listed["predictions of no sample"]] == ["clip_a/7", "clip_c/0"]
    assert listed["failures"] == [
        "clip_a/0: no mask on 1 of 4 frames",
        "clip_a/1: no prediction",
        "clip_b/0: masks of 12x32 for frames of 24x32",
    ]
    assert value(content, "J") == pytest.approx((3 / 4 + 1 / 4 + 1 / 4) / 3), "failures stay in the mean"
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert "Predictions of no sample (2): " in text
    assert "clip_a/1" in text


CHARADES = """\
3MSZA 24.3 30.4##person turn a light on.
3MSZA 0.0 10.0##person sits down.
AMT7R 5.0 15.0##a person is putting a picture onto the wall.
"""
SPANS = {  # the second does not overlap, the third has an IoU of 1/2
    ("3MSZA", "person turn a light on."): (24.3, 30.4),
    ("3MSZA", "person sits down."): (20.0, 30.0),
    ("AMT7R", "a person is putting a picture onto the wall."): (5.0, 25.0),
}


@pytest.mark.parametrize("form", ["nested", "list", "lines", "texts", "folder", "lmms-eval", "store"])
def test_spans_are_read_in_every_usual_form(
    tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    truth, place = tmp_path / "charades_sta_test.txt", tmp_path / "predictions.json"
    truth.write_text(CHARADES)
    rows: list[dict[str, Any]] = [
        {"vid": f"/data/{video}.mp4", "caption": query.upper(), "pred": [start, end]}
        for (video, query), (start, end) in SPANS.items()
    ]
    if form == "nested":
        nested: dict[str, Any] = {}
        for (video, query), (start, end) in SPANS.items():
            nested.setdefault(video, {})[query] = {"start": start, "end": end, "conf": 1}
        place.write_text(json.dumps(nested))
    elif form == "list":
        place.write_text(json.dumps(rows[::-1]))
    elif form == "lines":
        place.write_text("\n".join(map(json.dumps, rows)) + "\n")
    elif form == "texts":
        for row in rows:
            row["prediction"] = "From {} s to {} s.".format(*row.pop("pred"))
        place.write_text(json.dumps({"results": rows}))
    elif form == "folder":
        place = tmp_path / "predictions"
        place.mkdir()
        for rank in range(2):
            (place / f"results_rank{rank}.json").write_text("\n".join(map(json.dumps, rows[rank::2])))
    elif form == "lmms-eval":
        logs = [
            {
                "doc_id": n,
                "doc": {"video": f"{video}.mp4", "caption": query},
                "target": [0, 1],
                "resps": [[f"From {start} s to {end} s."]],
            }
            for n, ((video, query), (start, end)) in enumerate(SPANS.items())
        ]
        place = tmp_path / "samples_charades.jsonl"
        place.write_text("\n".join(map(json.dumps, logs)))
    else:
        place = store_folder(tmp_path, [f"From {start} s to {end} s." for start, end in SPANS.values()])
    content = result(capsys, "charades_sta", "--truth", str(truth), "--predictions", str(place))
    assert value(content, "tIoU") == pytest.approx((1 + 0 + 0.5) / 3)
    assert value(content, "R@0.5") == pytest.approx(1 / 3)
    assert value(content, "R@0.5, threshold counts") == pytest.approx(2 / 3)
    assert not any(content["problems"].values())


def store_folder(folder: Path, texts: list[str]) -> Path:
    from evaluation.answer_store import Answered, AnswerStore
    from evaluation.prediction import Prediction
    from pipeline.storage.location import Location

    store = AnswerStore.at(Location.parse(folder), {"checkpoint": "c"})
    made = [Prediction(key=f"when/test/{n}", source="when/test", text=text) for n, text in enumerate(texts)]
    store.write("when/test", [Answered(question="q", prediction=p) for p in made])
    return store.root.local_path


def test_choices_are_read_by_letter_text_and_index(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = tmp_path / "json"
    truth.mkdir()
    items = [
        {"video": f"{n}.mp4", "question": f"What is {n}?", "candidates": ["Red.", "Blue.", "Green."]}
        for n in range(4)
    ]
    items = [{**item, "answer": item["candidates"][n % 3]} for n, item in enumerate(items)]
    (truth / "action_antonym.json").write_text(json.dumps(items))
    rows = [
        {"task_type": "Action Antonym", "question": "What is 0?", "pred": "(A) Red."},
        {"video": "1.mp4", "question": "What is 1?", "pred": "Blue."},
        {"video": "2.mp4", "question": "What is 2?", "pred": 2},
        {"video": "3.mp4", "question": "What is 3?", "pred": "no idea"},
    ]
    place = tmp_path / "answers.json"
    place.write_text(json.dumps(rows))
    content = result(capsys, "mvbench", "--truth", str(truth), "--predictions", str(place))
    assert value(content, "accuracy") == 0.75
    assert content["problems"]["failures"] == 1
    one = result(
        capsys, "mvbench", "--truth", str(truth), "--predictions", str(place), "--protocol", "standard"
    )
    assert {row["protocol"] for row in one["metrics"]} == {"standard"}


@pytest.mark.parametrize("width", [30, 60, 80, 84, 90, 100, 140])
def test_no_number_is_cut_at_any_width_of_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    """A table where the numbers fit, without intervals if they fit only so; otherwise a list."""
    monkeypatch.setenv("COLUMNS", str(width))
    home = tmp_path / "json"
    home.mkdir()
    rows = [
        {"video": f"{name}.mp4", "question": "What?", "candidates": ["Red.", "Blue."], "answer": "Red."}
        for name in "abc"
    ]
    for task in ("counterfactual_inference", "egocentric_navigation"):
        (home / f"{task}.json").write_text(json.dumps(rows))
    made = [{"video": f"{name}.mp4", "question": "What?", "pred": "A"} for name in "abc"]
    (tmp_path / "made.json").write_text(json.dumps(made))
    assert main(["mvbench", "--truth", str(home), "--predictions", str(tmp_path / "made.json")]) == 0
    shown = capsys.readouterr().out
    table = shown.partition("\n± is")[0]
    assert max(map(len, table.splitlines())) <= width
    assert "…" not in shown
    assert shown.count("100.00") == 6
    is_list = "%: 100.00" in shown
    assert is_list == (width < 80)
    assert ("100.0 to 100.0" in shown) == (is_list or width >= 100)
    if not is_list:  # the last column is whole, in every row
        [head] = [line for line in table.splitlines() if "metric" in line]
        assert head.endswith("failed")
        values = [line for line in table.splitlines() if "100.00" in line]
        assert len(values) == 6
        assert all(line.endswith("0") and len(line) == len(head) for line in values)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("predictions.json", json.dumps([{"video": "3MSZA", "caption": "x", "seen": 1}]), "looked for"),
        (
            "predictions.json",
            json.dumps([{"video": "other", "caption": "x", "pred": [1, 2]}]),
            "none of its 1 pred",
        ),
        ("predictions.csv", "a,b", "not a form of predictions that is known"),
        ("predictions.jsonl", '{"vid": "a", "pred": "x"}\nnot json', "line 2"),
    ],
)
def test_unrecognised_predictions_are_refused_with_what_was_expected(
    tmp_path: Path, name: str, content: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "test.txt").write_text(CHARADES)
    (tmp_path / name).write_text(content)
    arguments = ["charades_sta", "--truth", str(tmp_path / "test.txt"), "--predictions", str(tmp_path / name)]
    assert main(arguments) == 2
    assert message.lower() in capsys.readouterr().err.lower()
    assert main(["charades", *arguments[1:]]) == 2
    assert "Did you mean charades_sta?" in capsys.readouterr().err
    assert main([*arguments, "--protocol", "strict"]) == 2
    assert "Choose standard, inclusive" in capsys.readouterr().err


def test_scoring_needs_neither_torch_nor_ray(tmp_path: Path) -> None:
    (tmp_path / "test.txt").write_text(CHARADES)
    (tmp_path / "predictions.json").write_text(
        json.dumps({"3MSZA": {"person sits down.": {"start": 1, "end": 9}}})
    )
    code = (
        "import sys; from evaluation.score.__main__ import main; "
        "main(['charades_sta', '--truth', 'test.txt', '--predictions', 'predictions.json', '--json']); "
        "print(*{'torch', 'ray', 'transformers', 'mlflow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == ""
    arguments = ["score", "charades_sta", "--truth", "test.txt", "--predictions", "predictions.json"]
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "1 of 3 samples predicted" in done.stdout
    assert str(REPO) not in done.stdout


def test_scores_of_charades_equal_the_official_ones(
    realdata: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = realdata / "charades_sta"
    golden = json.loads((home / "golden_metrics.json").read_text())
    made = str(home / "predictions/results.json")
    for truth, name in (
        ("charades_sta_test.txt", "raw_ends/iou"),
        ("charades_sta_test.json", "raw_ends/iou"),
        ("test_float.json", "clipped_ends_test_float/iou"),
    ):
        content = result(capsys, "charades_sta", "--truth", str(home / truth), "--predictions", made)
        expected = golden[name]
        assert 100 * value(content, "tIoU") == pytest.approx(expected["mIoU"], abs=1e-9)
        for threshold in ("0.3", "0.5", "0.7"):
            assert 100 * value(content, f"R@{threshold}") == pytest.approx(
                expected["gt"][threshold], abs=1e-9
            )
            inclusive = 100 * value(content, f"R@{threshold}, threshold counts")
            assert inclusive == pytest.approx(expected["ge"][threshold], abs=1e-9)
        if name == "raw_ends/iou" and truth.endswith(".json"):  # the durations are in this file
            cut = golden["clipped_ends_test_float/iou"]
            assert 100 * value(content, "tIoU, truth cut") == pytest.approx(cut["mIoU"], abs=1e-9)
            assert 100 * value(content, "R@0.7, truth cut") == pytest.approx(cut["gt"]["0.7"], abs=1e-9)
        assert not any(content["problems"].values())


def test_scores_of_two_mask_trees_equal_the_official_davis_code(
    realdata: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    golden = json.loads((realdata / "davis2017_val_predictions/golden_JF.json").read_text())
    truth = str(realdata / "davis2016_val_480p/Annotations/480p")
    made = str(realdata / "davis2017_val_predictions/osvos")
    arguments = ["masks", "--truth", truth, "--predictions", made]
    whole = {o["sequence"]: o for o in result(capsys, *arguments)["objects"]}
    cut = {
        o["sequence"]: o for o in result(capsys, *arguments, "--protocol", "davis-semi-supervised")["objects"]
    }
    for sequence, entry in golden["union_foreground_vs_davis2016_gt"].items():
        found = entry["osvos"]
        assert whole[sequence]["J"] == pytest.approx(found["J_all_frames"], abs=1e-12)
        assert whole[sequence]["F"] == pytest.approx(found["F_all_frames"], abs=1e-12)
        inner = found["no_first_last"]
        names = {"J": "JM", "J_recall": "JR", "J_decay": "JD", "F": "FM", "F_recall": "FR", "F_decay": "FD"}
        for name, official in names.items():
            assert cut[sequence][name] == pytest.approx(inner[official], abs=1e-12), (sequence, name)


def test_objects_of_two_mask_trees_are_matched_by_their_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two objects with void around one; a missing frame, a surplus object, a sequence without truth."""
    truth, made = np.zeros((HEIGHT, WIDTH), np.uint8), np.zeros((HEIGHT, WIDTH), np.uint8)
    truth[4:12, 4:12], truth[4:12, 18:28], truth[12:20, 18:28] = 1, 2, 255
    made[4:12, 4:12], made[4:20, 18:28], made[0:2, 0:2] = 1, 2, 3
    for root, image, frames, names in (
        ("truth", truth, 3, ["seq"]),
        ("predictions", made, 2, ["seq", "other"]),
    ):
        for name in names:
            (tmp_path / root / name).mkdir(parents=True)
            for frame in range(frames):
                Image.fromarray(image).save(tmp_path / root / name / f"{frame:05d}.png")
    content = result(
        capsys, "masks", "--truth", str(tmp_path / "truth"), "--predictions", str(tmp_path / "predictions")
    )
    assert [(o["object"], o["J"]) for o in content["objects"]] == [
        (1, pytest.approx(2 / 3)),
        (2, pytest.approx(2 / 3)),
    ]
    text = "\n".join(content["problems"])
    assert "sequence other has no truth" in text
    assert "1 of 3 frames are missing (00002 ...)" in text
    assert "objects [3] have no truth" in text
