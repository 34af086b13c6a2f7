"""ReVOS: the authors' numbers, from their own layout and from a prepared dataset."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from revos_set import EXPRESSIONS, FRAMES, KINDS, SIZES, predicted, truth, write_real, write_set

from datasets_prep.truth import read_truth
from evaluation import scoring
from evaluation.answer_store import Answered, AnswerStore
from evaluation.benchmarks import benchmark_of
from evaluation.benchmarks.revos import foreground, score_video
from evaluation.metrics.aggregate import rows
from evaluation.metrics.robustness import robustness
from evaluation.prediction import Prediction
from evaluation.score.__main__ import main
from evaluation.work import Item
from pipeline.dataset.arrow import to_table
from pipeline.dataset.manifest import SourceEntry, make_manifest, write_manifest
from pipeline.dataset.reader import ShardReader
from pipeline.dataset.writer import write_shard
from pipeline.plan.data import Use
from pipeline.plan.evaluation import BenchmarkConfig
from pipeline.records import masks
from pipeline.records.sample import MaskTrack, Sample
from pipeline.storage.location import Location

# Output of tools/eval_revos.py of github.com/cilinyan/VISA (commit ec158fd), with mask_dict_foreground.json
# of its tools/generate_foreground_mask.py, for files of `write_set` with masks of 0 and 1: unrounded J, F, A
# and R of each expression, and "overall" of the saved file.
OFFICIAL = {
    ("OVIS/train/one", "0"): (0.1763435900787344, 0.08584893026406876, 0.88475, 0.8269231612932746),
    ("OVIS/train/one", "1"): (
        0.10104275755095422,
        0.09411764705882353,
        0.8212499999999998,
        0.7166087703349707,
    ),
    ("OVIS/train/one", "2"): (0.2, 0.2, 0.8983333333333334, 0.48490310569493866),
    ("OVIS/train/one", "3"): (0.20368663594470043, 0.23125, 0.9115833333333333, 0.7647331284596477),
    ("MOSE/two", "0"): (0.2309244056496659, 0.1, 0.9402263374485595, 0.6484018268301328),
    ("MOSE/two", "1"): (0.0, 0.0, 0.0, 0.0),
    ("MOSE/two", "10"): (0.2, 0.2, 0.9602880658436213, 0.5356164389597797),
}
SAVED = {
    "J": 14.630833333333332,
    "F": 10.135833333333334,
    "A": 73.975,
    "R": 60.65166666666667,
    "J&F": 12.383333333333333,
}
# The same for the files that `write_real` makes from real predictions.
REAL_OFFICIAL = {
    "bmx-trees/0": (0.10669244427068272, 0.3514743876599338, 0.987487614844172, 0.6050480264082542),
    "bmx-trees/1": (0.25910427963417393, 0.40423990603106014, 0.9866975920254608, 0.5770168545445583),
    "bmx-trees/2": (0.23597408076872603, 0.4127761863379909, 0.9768273734462258, 0.33719909935977377),
    "horsejump-high/0": (0.37172932274423787, 0.4134279325867216, 0.9655237607338016, 0.7031983029104103),
    "horsejump-high/1": (0.1680856371342216, 0.370985374566302, 0.9813027541959407, 0.8229208554270213),
    "horsejump-high/2": (0.3621971119956381, 0.35910502995727955, 0.9537455479117877, 0.5907549760886909),
    "soapbox/0": (0.3953074367345388, 0.4543170697728006, 0.9201431071916472, 0.6115249360514381),
    "soapbox/1": (0.13560132765799404, 0.25567024340877875, 0.996276712529274, 0.9492578625100061),
    "soapbox/2": (0.19058611159625138, 0.44477733719450147, 0.9723723531420765, 0.8682558981259891),
    "soapbox/3": (0.4703148871927944, 0.4243116368309348, 0.9153534531128025, 0.5685529589867401),
}
REAL_SAVED = {
    "J": 26.767916666666665,
    "F": 38.48916666666667,
    "A": 96.62958333333333,
    "R": 67.43916666666667,
    "J&F": 32.62854166666667,
}
MEASURES = ("J", "F", "A", "R")


def result_and_measures(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> tuple[dict[str, Any], dict[str, dict[str, float]]]:
    """The result, and each expression's measures."""
    import pyarrow.parquet as pq

    out = folder / "scores"
    arguments = [
        "revos",
        "--truth",
        str(folder),
        "--predictions",
        str(folder / "predictions"),
        "--out",
        str(out),
    ]
    assert main([*arguments, "--json"]) == 0
    values: dict[str, dict[str, float]] = {}
    for row in pq.read_table(out / "scores.parquet").to_pylist():
        values.setdefault(row["key"].removeprefix("truth/"), {})[row["measure"]] = row["value"]
    return json.loads(capsys.readouterr().out), values


def value(content: dict[str, Any], metric: str) -> float:
    return next(row["value"] for row in content["metrics"] if row["metric"] == metric)


@pytest.mark.parametrize("inside", [1, 100, 255])
def test_every_number_is_that_of_the_official_code(
    tmp_path: Path, inside: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also for masks of other values than 0 and 1, for which the official code gives R = 0 and a wrong A."""
    write_set(tmp_path, inside)
    content, values = result_and_measures(tmp_path, capsys)
    for (video, part), expected in OFFICIAL.items():
        found = values[f"{video}/{part}"]
        assert [found[name] for name in MEASURES] == pytest.approx(expected, abs=1e-12), (video, part)
    for name, expected in SAVED.items():
        assert 100 * value(content, f"{name}, each rounded") == pytest.approx(expected, abs=1e-12), name
    kinds = {(video, part): KINDS[kind] for video, part, _, kind in EXPRESSIONS}
    means = {}
    for kind in KINDS:
        every = np.array([row for name, row in OFFICIAL.items() if kinds[name] == kind])
        means[kind] = dict(zip(MEASURES, every.mean(axis=0), strict=True))
        for name in MEASURES:
            assert value(content, f"{name}, {kind}") == pytest.approx(means[kind][name], abs=1e-12)
    for name in MEASURES:
        overall = (means["referring"][name] + means["reasoning"][name]) / 2
        assert value(content, name) == pytest.approx(overall, abs=1e-12), name
    assert content["problems"]["samples without a prediction"] == 1
    assert {row["category"] for row in content["metrics"]} == {""}, "no row pools what the authors separate"


def test_real_predictions_have_the_numbers_of_the_official_code(
    tmp_path: Path, realdata: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_real(tmp_path, realdata / "davis2017_val_predictions/osvos")
    content, values = result_and_measures(tmp_path, capsys)
    assert set(values) == set(REAL_OFFICIAL)
    for name, expected in REAL_OFFICIAL.items():
        assert [values[name][measure] for measure in MEASURES] == pytest.approx(expected, abs=1e-12), name
    for name, expected in REAL_SAVED.items():
        assert 100 * value(content, f"{name}, each rounded") == pytest.approx(expected, abs=1e-12), name


def test_objects_that_overlap_are_united_and_not_added(tmp_path: Path) -> None:
    """The official code adds them, and where two meet 1 - 2 is 255 in uint8."""
    one = np.zeros((10, 10), np.uint8)
    one[2:6, 2:6] = 1
    two = np.roll(one, 2, axis=1)

    def track_of(*parts: np.ndarray) -> MaskTrack:
        return MaskTrack(
            height=10, width=10, frames=(0,), counts=(masks.encode(np.bitwise_or.reduce(parts)),)
        )

    assert int((one | two).sum()) == 24
    assert foreground([track_of(one), track_of(two), track_of(one, two)]) == {0: 24}
    write_set(tmp_path)
    samples = [s for s in read_truth("meta_expressions", Location.parse(tmp_path)) if isinstance(s, Sample)]
    like = samples[0]
    both = replace(like, category="reasoning", targets=(track_of(one, two),))
    made = Prediction(key=like.key, source="s", masks=(track_of(one, np.roll(one, 4, axis=0)),))
    (found,) = score_video([both], [made])
    assert found.values["R"] == pytest.approx(1 - 16 / 24)
    assert found.values["A"] == pytest.approx(1 - (16 + 8) / 100)


def test_robustness_of_a_frame_is_at_least_zero() -> None:
    assert robustness(0, 0) == 1.0
    assert robustness(1, 0) == 0.0
    assert robustness(5, 10) == pytest.approx(0.5)
    assert robustness(30, 10) == 0.0


def answers(samples: list[Sample]) -> list[Prediction]:
    """The predictions of ``write_set`` as answers of a model."""
    out = []
    for place, sample in enumerate(samples):
        size = SIZES[EXPRESSIONS[place][0]]
        counts = tuple(masks.encode(predicted(place, frame)) for frame in range(FRAMES))
        track = MaskTrack(height=size[0], width=size[1], frames=tuple(range(FRAMES)), counts=counts)
        out.append(Prediction(key=sample.key, source="revos", text="It is [SEG].", masks=(track,)))
    return out


def sample_of(place: int) -> Sample:
    """An expression as preparation stores it."""
    video, part, objects, kind = EXPRESSIONS[place]
    like = benchmark_like()
    counts = tuple(masks.encode(truth(video, objects, frame)) for frame in range(FRAMES))
    height, width = SIZES[video]
    track = MaskTrack(height=height, width=width, frames=tuple(range(FRAMES)), counts=counts)
    digest = ("a" if video.startswith("OVIS") else "b") * 64
    return replace(
        like,
        key=f"revos/{video}/{part}",
        dataset="revos",
        video=replace(like.video, path=video, height=height, width=width, sha256=digest, num_frames=FRAMES),
        expression=f"words {place}",
        targets=(track,),
        category=KINDS[kind],
    )


def benchmark_like() -> Sample:
    from tiny_bench import sample

    return sample("bench/mevis", 0)


@pytest.mark.parametrize("subset", [range(7), [0, 4], [1]], ids=["all", "two", "one"])
def test_a_prepared_dataset_gives_the_same_scores_for_every_subset_of_questions(
    tmp_path: Path, subset: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The foreground is that of all expressions of a video, including those that a limit leaves out."""
    samples, out = [sample_of(place) for place in range(7)], Location.parse(tmp_path / "data")
    shard = write_shard(out, "revos", 0, to_table(samples))
    entry = SourceEntry(
        name="revos", use=Use.BENCHMARK, read=7, kept=7, rejected=0, not_selected=0, rejects={}, media=("/",)
    )
    write_manifest(out, make_manifest([shard], [entry], 2048))
    reader, store = ShardReader(out), AnswerStore.at(Location.parse(tmp_path), {})
    items = [
        Item(entry="revos", source="revos", row=n, key=samples[n].key, question="q", video="v", cost=1)
        for n in subset
    ]
    made = [answers(samples)[n] for n in subset]
    places = store.write("revos", [Answered(question="q", prediction=p) for p in made])
    config = BenchmarkConfig(source="revos", family="revos")
    monkeypatch.setattr(scoring, "SLICE_SAMPLES", 2)
    parts = list(scoring.slices(config, items, [places[item.name] for item in items]))
    assert len(parts) == (2 if len(items) > 4 else 1), (
        "a video is in one slice, even if it exceeds the slice's size"
    )
    found = scoring.in_order([scoring.score_slice(reader, store, part) for part in parts], items)
    assert [s.key for s in found] == [item.key for item in items]
    for n, score in zip(subset, found, strict=True):
        if EXPRESSIONS[n][:2] == ("MOSE/two", "1"):  # predicted here, not in the official run
            continue
        assert [score.values[name] for name in MEASURES] == pytest.approx(
            OFFICIAL[EXPRESSIONS[n][:2]], abs=1e-12
        )
        assert score.video == samples[n].video.sha256


def test_an_answer_without_masks_is_right_for_hallucinations_alone() -> None:
    samples = [sample_of(0), sample_of(2)]
    found = score_video(samples, [Prediction(key=s.key, source="s", text="There is none.") for s in samples])
    assert {found[0].values[name] for name in ("J", "F", "J&F", "A", "R")} == {0.0}
    assert found[0].failure == "no [SEG] in the answer"
    assert {found[1].values[name] for name in ("J", "F", "J&F", "A", "R")} == {1.0}
    assert found[1].failure is None
    failed = score_video(samples, [Prediction(key=s.key, source="s", failure="it failed") for s in samples])
    assert {score.values["J&F"] for score in failed} == {0.0}


def test_a_baseline_is_over_the_same_kinds_as_its_metric() -> None:
    """An empty mask is right for every hallucination, which must not raise the baseline of other kinds."""
    samples = [sample_of(place) for place in range(7)]
    family = benchmark_of("revos")
    videos = [[n for n in range(7) if (n < 4) is first] for first in (True, False)]
    scores = []
    for places in videos:
        own = [samples[n] for n in places]
        scores += score_video(own, [answers(samples)[n] for n in places])
    found = {row.metric: row.baseline for row in rows("revos", family.metrics, scores, family.baseline)}
    assert found["J, hallucination"] == 1.0
    assert found["J, referring"] == pytest.approx(np.mean([0, 3 / 5, 1 / 5]))  # frames without the object
    assert found["J, reasoning"] == pytest.approx(np.mean([0, 1 / 5]))
    assert found["J"] == pytest.approx(np.mean([np.mean([0, 3 / 5, 1 / 5]), np.mean([0, 1 / 5])]))
