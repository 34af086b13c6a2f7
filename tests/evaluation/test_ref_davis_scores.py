"""Ref-DAVIS17: both protocols, and the unsupervised protocol of DAVIS for any two trees."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from shutil import make_archive
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hidden_bench import content as hidden_plan
from hidden_bench import prepared_reader, store_answers, write_outside_checkpoint
from PIL import Image

from evaluation.benchmarks.ref_davis import run_of, score_video
from evaluation.metrics.davis_unsupervised import Frame, match, without_overlap
from evaluation.metrics.masks import j_and_f
from evaluation.prediction import Prediction
from evaluation.run import evaluate
from evaluation.score.__main__ import main
from evaluation.scores import read_metrics
from pipeline.artifacts.survey import survey
from pipeline.commands.unscored import unscored_lines
from pipeline.jobs.step import build, make_context
from pipeline.plan.plan import Plan
from pipeline.records import masks
from pipeline.records.sample import MaskTrack, Sample
from tests.evaluation.davis_set import FRAMES, OBJECTS, SIZES, answer_mask, labels, write_discs, write_real
from tests.evaluation.tiny_bench import sample

# From DAVISEvaluation(root, "unsupervised", "val", codalab=True).evaluate(anno_K) of davis2017-evaluation
# (commit ac7c43f) for the files of `write_discs` and `write_real`: J&F mean, then mean, recall and decay of J
# and of F as in its evaluation_method.py, for K from 0 to 3.
DISCS = (
    (0.37725881430085584, 0.44179085456248823, 0.4166666666666667, -0.05177185921468017,
     0.3127267740392234, 0.4166666666666667, -0.02515973981465436),
    (0.24261391241173233, 0.28916781949173015, 0.0, -0.0025808485278327833,
     0.1960600053317345, 0.0, -0.02053359428262454),
    (0.21847967882814506, 0.2550472749105899, 0.1388888888888889, -0.024253045446426147,
     0.18191208274570017, 0.1388888888888889, -0.02842704815564866),
    (0.2763061795946439, 0.3052254995096731, 0.2777777777777778, 0.00808040157610907,
     0.2473868596796146, 0.2777777777777778, 0.013209675849441988),
)  # fmt: skip
REAL = (
    (0.5947669489109623, 0.4886183817675848, 0.572278911564626, 0.20856917716332837,
     0.7009155160543398, 0.8571428571428571, 0.22839099124772738),
    (0.39506506113591244, 0.306222860002278, 0.1483843537414966, 0.17434677355930076,
     0.4839072622695469, 0.5969387755102041, 0.2820759926787823),
    (0.300290854317614, 0.21894720982955154, 0.026785714285714284, 0.1403791057258321,
     0.3816344988056764, 0.23724489795918366, 0.20947888542646687),
    (0.23643062956985145, 0.16629967594502973, 0.0, 0.12730751176686006,
     0.3065615831946732, 0.12755102040816327, 0.1656706091702556),
)  # fmt: skip
# From VISA's tools/eval_davis17.py (commit ec158fd) from the masks in `single`, before it rounds.
SINGLE = {"J": 0.2666671418641129, "F": 0.20304023841580862, "J&F": 0.23485369013996077}
MEASURES = ("J&F", "J", "J_recall", "J_decay", "F", "F_recall", "F_decay")


def result(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def values(content: dict[str, Any]) -> dict[str, float]:
    return {row["metric"]: row["value"] for row in content["metrics"]}


@pytest.mark.parametrize("kind", ["discs", "real"])
def test_the_unsupervised_protocol_is_that_of_the_official_code(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    if kind == "discs":
        write_discs(tmp_path)
    else:
        write_real(tmp_path, request.getfixturevalue("realdata") / "davis2017_val_predictions/osvos")
    official = DISCS if kind == "discs" else REAL
    truth = tmp_path / "DAVIS/Annotations_unsupervised/480p"
    arguments = ["masks", "--protocol", "davis-unsupervised", "--truth", str(truth)]
    for run, expected in enumerate(official):
        found = result(capsys, *arguments, "--predictions", str(tmp_path / f"merged/anno_{run}"))
        assert [found["means"][name] for name in MEASURES] == pytest.approx(expected, abs=1e-12), run
        assert found["problems"] == []
    arguments = ["ref_davis", "--truth", str(tmp_path / "DAVIS"), "--predictions", str(tmp_path / "merged")]
    content = result(capsys, *arguments)
    archive = make_archive(str(tmp_path / "merged"), "zip", tmp_path / "merged")
    assert values(result(capsys, *arguments[:-1], archive)) == values(content)
    means = np.mean(official, axis=0)
    for name, place in (("J&F", 0), ("J", 1), ("F", 4)):
        assert values(content)[f"{name}, annotators"] == pytest.approx(means[place], abs=1e-12)
    assert set(values(content)) == {f"{name}, annotators" for name in ("J&F", "J", "F")}
    assert not any(content["problems"].values())


def test_masks_of_expressions_are_scored_by_both_protocols(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_discs(tmp_path)
    arguments = ["ref_davis", "--truth", str(tmp_path / "DAVIS"), "--predictions", str(tmp_path / "single")]
    found = values(result(capsys, *arguments))
    for name, expected in SINGLE.items():
        assert found[name] == pytest.approx(expected, abs=1e-12), name
    means = np.mean(DISCS, axis=0)
    for name, place in (("J&F", 0), ("J", 1), ("F", 4)):
        assert found[f"{name}, annotators"] == pytest.approx(means[place], abs=1e-12)
    assert 0 < found["overlap"] < 0.1
    every = [
        j_and_f(answer_mask(video, number, frame, run), labels(video, frame) == number + 1)
        for video, count in OBJECTS.items()
        for number in range(count)
        for run in range(4)
        for frame in range(FRAMES)
    ]
    assert found["J"] == pytest.approx(np.mean([one.j for one in every]), abs=1e-12)
    assert found["F"] == pytest.approx(np.mean([one.f for one in every]), abs=1e-12)


def test_files_that_do_not_fit_are_counted_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_discs(tmp_path)
    merged = tmp_path / "merged"
    (merged / "anno_0/one/00003.png").unlink()
    for place in (merged / "anno_1/two").iterdir():
        place.unlink()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(merged / "anno_2/three/00001.png")
    (merged / "anno_3/other").mkdir()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(merged / "anno_3/other/00001.png")
    arguments = ["ref_davis", "--truth", str(tmp_path / "DAVIS"), "--predictions", str(merged)]
    content = result(capsys, *arguments, "--out", str(tmp_path / "out"))
    listed = json.loads((tmp_path / "out/problems.json").read_text())
    assert listed["samples without a prediction"] == ["two/1", "two/5"]
    assert listed["predictions of no sample"] == ["anno_3/other/00001.png"]
    assert [line.partition(": ")[::2] for line in listed["failures"]] == [
        *((f"one/{4 * n}", "no mask on 1 of 6 frames") for n in range(3)),
        *((f"two/{4 * n + 1}", "no prediction") for n in range(2)),
        ("three/2", "frame 00001 has (8, 8) for (40, 56) (height, width)"),
    ]
    assert content["samples"] == 24, "failures stay in every mean"
    Image.fromarray(np.full(SIZES["one"], 21, np.uint8)).save(merged / "anno_0/one/00000.png")
    assert main(arguments) == 2
    assert "anno_0/one: has the value 21; the unsupervised protocol allows 20" in capsys.readouterr().err


def test_another_truth_than_the_unsupervised_one_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_discs(tmp_path)
    (tmp_path / "DAVIS/Annotations_unsupervised").rename(tmp_path / "DAVIS/Annotations")
    arguments = ["ref_davis", "--truth", str(tmp_path / "DAVIS"), "--predictions", str(tmp_path / "merged")]
    assert main(arguments) == 2
    assert "has no Annotations_unsupervised" in capsys.readouterr().err
    assert main([*arguments, "--masks", str(tmp_path)]) == 2
    assert "is not read: the label images are the truth" in capsys.readouterr().err


def frames(count: int, seed: int, void: bool) -> list[Frame]:
    """Frames with three proposals and two objects of scattered rectangles."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(count):
        shapes = []
        for _ in range(5):
            mask = np.zeros((30, 40), bool)
            top, left = rng.integers(0, 20, 2)
            mask[top : top + 9, left : left + 12] = True
            shapes.append(mask)
        out.append(Frame(shapes[:3], shapes[3:], rng.random((30, 40)) < 0.1 if void else None))
    return out


@pytest.mark.parametrize("void", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_the_match_has_the_best_mean_of_all_assignments(seed: int, void: bool) -> None:
    sequence = frames(4, seed, void)
    found = match(sequence)
    jf = np.array([[[j_and_f(p, t, v) for t in ts] for p in ps] for ps, ts, v in sequence])  # frame, P, T, 2
    pair_means = jf.mean(axis=(0, 3))
    best = max(permutations(range(3), 2), key=lambda own: pair_means[own[0], 0] + pair_means[own[1], 1])
    assert (found.j.mean() + found.f.mean()) / 2 == pytest.approx(pair_means[list(best), [0, 1]].mean())
    assert np.allclose(found.j, jf[:, list(best), [0, 1], 0].T)


def test_missing_proposals_count_as_empty_and_too_many_are_refused() -> None:
    one, other = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    one[2:8, 2:8] = True
    other[10:15, 10:15] = True
    found = match([Frame([other], [one, other])] * 2)
    assert found.j.tolist() == [[0.0, 0.0], [1.0, 1.0]]
    assert match([Frame([], [one])]).j.tolist() == [[0.0]]
    assert match([Frame([one], [])]).j.shape[0] == 0
    with pytest.raises(ValueError, match="21 proposals; the protocol allows 20"):
        match([Frame([one] * 21, [one])])


def test_where_masks_overlap_the_lower_object_has_the_pixel() -> None:
    one, two = np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8)
    one[:2], two[1:] = 1, 255
    kept, lost = without_overlap([one, two])
    assert lost == [0, 4]
    assert np.array_equal(kept[0], one > 0)
    assert np.array_equal(kept[1], (two > 0) & (one == 0))


def samples_and_answers(video: str) -> tuple[list[Sample], list[Prediction]]:
    """A video's expressions as a prepared dataset holds them, in the order of its four files; and answers."""
    height, width = SIZES[video]
    order = [4 * number + run for run in range(4) for number in range(OBJECTS[video])]

    def track(of: list[np.ndarray]) -> MaskTrack:
        return MaskTrack(
            height=height, width=width, frames=tuple(range(FRAMES)), counts=tuple(map(masks.encode, of))
        )

    samples, predictions = [], []
    for number, run in (divmod(n, 4) for n in order):
        true = track([labels(video, frame) == number + 1 for frame in range(FRAMES)])
        key = f"ref_davis17/{video}/{4 * number + run}"
        like = sample("bench/mevis", 0)
        samples.append(
            replace(like, key=key, targets=(true,), video=replace(like.video, height=height, width=width))
        )
        made = track([answer_mask(video, number, frame, run) for frame in range(FRAMES)])
        predictions.append(Prediction(key=key, source="s", text="[SEG]", masks=(made,)))
    return samples, predictions


def test_scores_of_a_prepared_dataset_are_marked_void_kept() -> None:
    """Without void pixels both names have one value."""
    for video, has_void in (("two", False), ("one", True)):
        samples, predictions = samples_and_answers(video)
        found = score_video(samples, predictions)
        assert [s.key for s in found] == [s.key for s in samples]
        assert not any("J&F run" in s.values for s in found)
        image = [labels(video, frame) == 255 for frame in range(FRAMES)]
        like = samples[0].targets[0]
        void = replace(like, counts=tuple(map(masks.encode, image)))
        taken = score_video([replace(s, void=void) for s in samples], predictions)
        same = [
            a.values["J&F run, void kept"] == b.values["J&F run"] for a, b in zip(found, taken, strict=True)
        ]
        assert all(same) is not has_void
    assert run_of("ref_davis17/bike/13") == 1
    assert run_of("ref_davis17/bike/first") is None


def prepared_plan(folder: Path, void: bool) -> Plan:
    """Ref-DAVIS17 in the layout of its download, from ``write_discs``."""
    for video, count in OBJECTS.items():
        for frame in range(FRAMES):
            place = folder / "DAVIS/JPEGImages/480p" / video / f"{frame:05d}.jpg"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((*SIZES[video], 3), 40 + frame, np.uint8)).save(place)
        for run, name in enumerate(("annot1", "annot1_full_video", "annot2", "annot2_full_video")):
            place = folder / f"texts/Davis17_{name}.txt"
            place.parent.mkdir(exist_ok=True)
            with place.open("a") as file:
                file.writelines(f'{video} {n + 1} "thing {n} by {run}"\n' for n in range(count))
    content = hidden_plan(folder)
    content["data"]["sources"] = [
        {
            "name": "davis",
            "format": "ref_davis",
            "use": "benchmark",
            "annotations": str(folder / "texts"),
            "masks": str(folder / "DAVIS/Annotations_unsupervised/480p"),
            "media": [str(folder / "DAVIS")],
            "keep_videos": str(folder / "DAVIS/ImageSets/2017/val.txt"),
            **({"void": True} if void else {}),
        }
    ]
    content["evaluation"]["benchmarks"] = [{"source": "davis", "family": "ref_davis"}]
    return Plan.model_validate(content)


@pytest.mark.parametrize("void", [True, False])
def test_a_plan_scores_the_authors_protocol_if_its_source_keeps_void(tmp_path: Path, void: bool) -> None:
    """From label images through preparation, stored answers and the step, to the official numbers."""
    write_discs(tmp_path)
    write_outside_checkpoint(tmp_path / "checkpoint")
    plan = prepared_plan(tmp_path, void)
    reader = prepared_reader(tmp_path, plan)

    def answer(of: Sample) -> Prediction:
        _, video, number = of.key.split("/")
        height, width = SIZES[video]
        counts = tuple(
            masks.encode(answer_mask(video, int(number) // 4, frame, int(number) % 4))
            for frame in range(FRAMES)
        )
        track = MaskTrack(height=height, width=width, frames=tuple(range(FRAMES)), counts=counts)
        return Prediction(key=of.key, source="davis", text="[SEG]", masks=(track,))

    store_answers(plan, reader, answer)
    name = next(spec.name for spec in survey(plan).specs if spec.name.startswith("evaluate"))
    made = build(make_context(plan, name), evaluate)
    found = {row.metric: row for row in read_metrics(made.location)[0] if not row.category}
    means = np.mean(DISCS, axis=0)
    for measure, place in (("J&F", 0), ("J", 1), ("F", 4)):
        with_void, without = found[f"{measure}, annotators"], found[f"{measure}, annotators, void kept"]
        if void:
            assert with_void.value == pytest.approx(means[place], abs=1e-12)
            assert with_void.protocol == "standard"
            assert "void taken out" in with_void.description
            assert without.value is None
        else:
            assert with_void.value is None
            assert without.protocol == "void as background"
            assert without.value != pytest.approx(means[place], abs=1e-6)
        assert found[measure].value == pytest.approx(SINGLE[measure], abs=1e-12)
    columns = pq.read_schema(next((tmp_path / "data").rglob("davis-*.parquet"))).names
    assert ("void" in columns) is void, "the bytes of a dataset that does not keep void do not change"
    lines = [line for line in unscored_lines(plan) if line.startswith("davis: ")]
    assert len(lines) == (not void)
    assert all("the authors' own protocol (`standard`) needs void: true" in line for line in lines)


def test_an_incomplete_run_has_no_score() -> None:
    samples, predictions = samples_and_answers("one")
    last = next(n for n, s in enumerate(samples) if s.key.endswith("/8"))  # of run 0
    some = [p if n != last else None for n, p in enumerate(predictions)]
    found = {score.key: score for score in score_video(samples, some)}
    assert len(found) == len(samples) - 1
    for key, score in found.items():
        whole = run_of(key) != 0
        assert ("J&F run, void kept" in score.values) is whole
        assert score.missing == ({} if whole else dict.fromkeys(score.missing, "not every expression of the "
                                 "annotator was asked"))  # fmt: skip
        assert bool(score.missing) is not whole
        assert "J&F" in score.values


def test_an_answer_that_failed_is_an_empty_proposal() -> None:
    samples, predictions = samples_and_answers("one")
    failed = [replace(p, failure="it failed") if run_of(p.key) == 1 else p for p in predictions]
    for score in score_video(samples, failed):
        if run_of(score.key) == 1:
            assert score.values["J run, void kept"] == score.values["J"] == 0.0
            assert score.failures["J run, void kept"] == "it failed"
        else:
            assert not score.failures
