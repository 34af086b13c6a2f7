"""`ufvideo compare`: paired differences, by hand, by simulation and on answers of real models."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.benchmarks import benchmark_of
from evaluation.compare.__main__ import main
from evaluation.compare.difference import differences
from evaluation.compare.pair import Pair
from evaluation.metrics import choice
from evaluation.metrics.aggregate import Score, rows
from evaluation.scores import write_scores
from pipeline.storage.location import Location

CHARADES = """\
AAA 0.0 5.0##person sits.
AAA 5.0 9.0##person stands.
BBB 1.0 4.0##person runs.
CCC 0.0 8.0##person eats.
"""


def scores(values: Sequence[float], videos: str, measure: str = "accuracy", **more: Any) -> list[Score]:
    pairs = enumerate(zip(values, videos, strict=True))
    return [Score(key=f"s/{n}", video=video, values={measure: value}, **more) for n, (value, video) in pairs]


def pair_of(a: Sequence[Score], b: Sequence[Score], family: str = "") -> Pair:
    shared = tuple(zip(a, b, strict=True))
    return Pair(entry="b", family=family, shared=shared, only_a=(), only_b=(), names=("b", "b"))


def score_folder(folder: Path, **entries: Sequence[Score]) -> str:
    folder.mkdir()
    write_scores(Location.parse(folder), entries)
    return str(folder)


def json_output(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_difference_and_its_interval_agree_with_a_computation_by_hand() -> None:
    """Differences +1, +1 on one video and 0, -1 on the other: mean 1/4, residuals 3/2 and -3/2."""
    [one] = differences(pair_of(scores([0, 0, 1, 1], "xxyy"), scores([1, 1, 1, 0], "xxyy")))
    assert (one.a, one.b, one.difference) == (0.5, 0.75, 0.25)
    assert one.error == pytest.approx(np.sqrt(2 * (1.5**2 + 1.5**2)) / 4)
    assert (one.low, one.high) == (-1, 1), "1/4 ± 1.47 is cut"
    assert (one.only_a_right, one.only_b_right) == (1, 2)
    assert (one.samples, one.videos) == (4, 2)


def test_equal_models_differ_by_zero_and_a_single_video_has_no_interval() -> None:
    same = scores([0, 1, 1], "xyz")
    [one] = differences(pair_of(same, same))
    assert (one.difference, one.low, one.high, one.only_a_right, one.only_b_right) == (0, 0, 0, 0, 0)
    [one] = differences(pair_of(scores([0, 1], "xx"), scores([1, 1], "xx")))
    assert (one.difference, one.error, one.low) == (0.5, None, None)


def test_95_percent_intervals_contain_the_true_difference_at_that_rate() -> None:
    """Two models with a difference of 5 points on videos whose questions succeed together, 400 times."""
    rng = np.random.default_rng(11)
    covered, paired_widths, unpaired_widths = 0, [], []
    for _ in range(400):
        sizes = rng.integers(2, 6, 50)
        videos = np.repeat(np.arange(50), sizes)
        ease = rng.beta(0.8, 0.8, 50)[videos] * 0.9
        draw = rng.random(len(videos))  # what is hard for one is hard for the other
        a, b = (draw < ease).astype(float), (draw < ease + 0.05).astype(float)
        names = [chr(65 + n) for n in videos]
        [one] = differences(pair_of(scores(a, names), scores(b, names)))
        assert one.error is not None
        covered += one.low <= 0.05 <= one.high
        paired_widths.append(one.error)
        unpaired_widths.append(np.std(a) / np.sqrt(len(a)) * np.sqrt(2))
    assert 0.90 < covered / 400 <= 0.98
    assert np.mean(paired_widths) < 0.6 * np.mean(unpaired_widths), "pairing narrows the interval"


def test_a_pooled_mean_is_resampled_in_pairs() -> None:
    """Frames of all expressions in one mean: B is 10 points better on each, so in every resample."""
    rng = np.random.default_rng(4)
    values, weights = rng.random(60) * 0.9, rng.integers(1, 50, 60)
    a, b = (
        [
            Score(key=str(n), video=str(n // 2), values={"J&F shown": v + more}, weights={"J&F shown": w})
            for n, (v, w) in enumerate(zip(values, weights, strict=True))
        ]
        for more in (0.0, 0.1)
    )
    [one] = differences(pair_of(a, b, "mevis"))
    assert one.metric == "J&F, UFVideo's averaging"
    assert one.a == pytest.approx(np.average(values, weights=weights))
    assert (one.low, one.high) == pytest.approx((0.1, 0.1))
    assert one.error is None
    [row] = [row for row in rows("b", benchmark_of("mevis").metrics, a) if row.samples]
    assert one.a == pytest.approx(row.value), "the number of the table"


def test_the_interval_of_a_mean_of_tasks_is_as_wide_as_that_of_the_plain_mean() -> None:
    """Where all tasks have the same size and variance."""
    rng = np.random.default_rng(6)
    a, b = (
        [
            Score(key=str(n), video=str(n), values={"accuracy": float(v)}, category="ab"[n % 2])
            for n, v in enumerate(rng.random(400) < 0.6)
        ]
        for _ in range(2)
    )
    found = {(one.category, one.metric): one for one in differences(pair_of(a, b, "mvbench"))}
    plain, tasks = found["", "accuracy"], found["", "accuracy, mean of tasks"]
    assert tasks.difference == pytest.approx(plain.difference)
    assert tasks.high - tasks.low == pytest.approx(plain.high - plain.low, rel=0.08)
    assert found["a", "accuracy"].samples == 200
    assert not found["a", "accuracy"].headline
    assert found["", "accuracy"].headline


def test_the_difference_of_two_real_models_agrees_with_a_computation_by_hand(realdata: Path) -> None:
    """Two models on 386 questions that are identified by their options."""
    names = ("gemini", "reka-core-20240501")
    answers: dict[Any, dict[str, list[dict[str, Any]]]] = {}
    for line in (realdata / "choice_answers/answers.jsonl").read_text().splitlines():
        row = json.loads(line)
        question = (tuple(row["options"]), row["answer_index"])
        answers.setdefault(question, {}).setdefault(row["model"], []).append(row)
    both = [found for found in answers.values() if all(len(found.get(name, ())) == 1 for name in names)]
    right = np.array(
        [
            [
                choice.strict(f[n][0]["text"], f[n][0]["options"]).index == f[n][0]["answer_index"]
                for f in both
            ]
            for n in names
        ],
        dtype=float,
    )
    a, b = ([Score(key=str(n), values={"accuracy": v}) for n, v in enumerate(side)] for side in right)
    [one] = [d for d in differences(pair_of(a, b, "mvbench")) if d.metric == "accuracy"]
    assert one.samples == len(both) == 386
    gap = right[1] - right[0]
    assert one.difference == pytest.approx(gap.mean())
    assert one.error == pytest.approx(gap.std(ddof=1) / np.sqrt(386))
    assert one.only_b_right - one.only_a_right == gap.sum()
    # A paired comparison is McNemar's: the gap varies by the questions that one alone solves.
    alone = one.only_a_right + one.only_b_right
    assert one.error == pytest.approx(np.sqrt((alone - gap.sum() ** 2 / 386) / 385 / 386))
    unpaired = np.sqrt(right.var(axis=1, ddof=1).sum() / 386)
    print(f"{100 * one.difference:+.1f} points, error {100 * one.error:.2f}, unpaired {100 * unpaired:.2f}")
    assert one.error < unpaired


def test_folders_that_ufvideo_score_writes_are_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sample without a prediction is a failure, and is compared."""
    from evaluation.score.__main__ import main as score

    (tmp_path / "test.txt").write_text(CHARADES)
    spans = {"AAA": {"person sits.": (0, 5), "person stands.": (0, 5)}, "BBB": {"person runs.": (1, 4)}}
    for name, more in (("one", {}), ("two", {"CCC": {"person eats.": (0, 8)}})):
        predictions = {
            video: {query: {"start": s, "end": e} for query, (s, e) in group.items()}
            for video, group in {**spans, **more}.items()
        }
        (tmp_path / f"{name}.json").write_text(json.dumps(predictions))
        arguments = ["--truth", str(tmp_path / "test.txt"), "--predictions", str(tmp_path / f"{name}.json")]
        assert score(["charades_sta", *arguments, "--out", str(tmp_path / name)]) == 0
    capsys.readouterr()
    content = json_output(capsys, str(tmp_path / "one"), str(tmp_path / "two/scores.parquet"))
    found = {one["metric"]: one for one in content["differences"]}
    assert set(found) == {"tIoU", "R@0.3", "R@0.5", "R@0.7"}
    assert (found["R@0.5"]["a"], found["R@0.5"]["b"]) == (0.5, 0.75)
    assert (found["R@0.5"]["only_a_right"], found["R@0.5"]["only_b_right"]) == (0, 1)
    assert found["R@0.5"]["videos"] == 3
    assert main([str(tmp_path / "one"), str(tmp_path / "two"), "--all"]) == 0
    shown = capsys.readouterr().out
    assert "R@0.5, threshold counts" in shown
    assert "+25.0" in shown


def test_samples_without_a_partner_are_counted_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = score_folder(tmp_path / "a", mine=scores([1, 0, 1], "xyz"), other=scores([1], "x"))
    b = score_folder(
        tmp_path / "b", mine=[*scores([1, 1], "xy"), Score(key="s/9", video="w", values={"accuracy": 1})]
    )
    assert main([a, b]) == 0
    shown = capsys.readouterr().out
    assert "mine: 1 samples in A alone: s/2" in shown
    assert "mine: 1 samples in B alone: s/9" in shown
    assert "other: 1 samples, in A alone" in shown
    content = json_output(capsys, a, b)
    assert content["benchmarks"]["mine"]["only_a"] == ["s/2"]
    assert content["differences"][0]["samples"] == 2


def test_entries_with_other_names_are_paired_by_their_family(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An entry of a plan has its own name, and its source's name begins its keys."""
    a = score_folder(tmp_path / "a", mvbench=scores([1, 0], "xy"))
    theirs = [
        Score(key=s.key.replace("s/", "source/"), video=s.video, values=s.values)
        for s in scores([1, 1], "xy")
    ]
    b = score_folder(tmp_path / "b", bench=theirs)
    described = {"benchmarks": {"bench": {"family": "mvbench"}, "hidden": {"family": "mevis"}}, "metrics": []}
    (tmp_path / "b/metrics.json").write_text(json.dumps(described))
    content = json_output(capsys, a, b)
    [one] = [d for d in content["differences"] if d["metric"] == "accuracy"]
    assert (one["benchmark"], one["samples"], one["difference"]) == ("mvbench", 2, 0.5)
    assert content["benchmarks"]["mvbench"]["names"] == ["mvbench", "bench"]
    assert content["benchmarks"]["mvbench"]["notes"] == [
        "mvbench of A is bench of B, by their family mvbench",
        "samples are found by their keys without the name of the source",
    ]
    assert content["notes"] == ["hidden: not scored in B (its truth is hidden, or it has no answers)"]


def test_marks_are_compared_where_both_have_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = [Score(key=f"s/{n}", video=str(n), values={"SAvg": float(n)}) for n in range(3)]
    b = [
        Score(key="s/0", video="0", values={"SAvg": 1.0}),
        Score(key="s/1", video="1", values={}, missing={"SAvg": "the reply is not JSON"}),
        Score(key="s/2", video="2", values={"SAvg": 3.5}),
    ]
    places = (
        score_folder(tmp_path / "a", videorefer_bench_d=a),
        score_folder(tmp_path / "b", videorefer_bench_d=b),
    )
    [one] = json_output(capsys, *places)["differences"]
    assert (one["metric"], one["unit"], one["samples"], one["difference"]) == ("Avg", "mark", 2, 1.25)
    assert (one["without_a"], one["without_b"], one["only_a_right"]) == (0, 1, None)
    assert main(list(places)) == 0
    shown = capsys.readouterr().out
    assert "+1.25" in shown
    assert "0 shared samples have no mark in A, 1 none in B" in shown


def test_mistakes_are_reported_with_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = score_folder(tmp_path / "a", mine=scores([1], "x"))
    b = score_folder(tmp_path / "b", mine=[Score(key="t/8", video="x", values={"accuracy": 1})])
    assert main([a, b]) == 2
    assert "share no sample" in capsys.readouterr().err
    assert main([a, str(tmp_path / "c")]) == 2
    assert "does not exist" in capsys.readouterr().err
    (tmp_path / "d.parquet").write_text("no")
    assert main([a, str(tmp_path / "d.parquet")]) == 2
    assert "is not a Parquet file" in capsys.readouterr().err
    for name, family in (("a", "mvbench"), ("b", "mevis")):
        described = {"benchmarks": {"mine": {"family": family}}, "metrics": []}
        (tmp_path / name / "metrics.json").write_text(json.dumps(described))
    assert main([a, b]) == 2
    assert "is mvbench in A and mevis in B" in capsys.readouterr().err
    (tmp_path / "b/metrics.json").write_text("{")
    assert main([a, b]) == 2
    assert "is damaged" in capsys.readouterr().err


def test_a_comparison_needs_neither_torch_nor_ray(tmp_path: Path) -> None:
    a = score_folder(tmp_path / "a", mine=scores([1, 0], "xy"))
    code = (
        f"import sys; from evaluation.compare.__main__ import main; main([{a!r}, {a!r}]); "
        "print(*{'torch', 'ray', 'transformers', 'mlflow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == ""
    arguments = [sys.executable, "-m", "pipeline", "compare", a, a]
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "+0.0 to +0.0" in done.stdout


def test_samples_of_other_videos_are_no_pair(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Keys of Charades are the numbers of lines: another file's line 0 has the same."""
    place = score_folder(tmp_path / "a", b=scores([1, 0], ("v1.mp4", "v2.mp4")))
    moved = score_folder(tmp_path / "moved", b=scores([1, 1], ("copy/v1.mkv", "other.mp4")))
    content = json_output(capsys, place, moved)
    assert [one["samples"] for one in content["differences"]] == [1]
    [pair] = content["benchmarks"].values()
    assert (pair["only_a"], pair["only_b"]) == (["s/1"], ["s/1"])
    assert "samples with another video in B, which are not compared: 1 (s/1)" in pair["notes"]
    foreign = score_folder(tmp_path / "foreign", b=scores([1, 1], ("x.mp4", "y.mp4")))
    assert main([place, foreign]) == 2
    assert "which are not compared: 2 (s/0)" in capsys.readouterr().err
    hashes = [letter * 64 for letter in "ab"]  # of videos that may have been encoded again
    assert json_output(capsys, place, score_folder(tmp_path / "h", b=scores([1, 1], hashes)))["differences"]


def test_rows_of_one_protocol_are_not_another_way_of_scoring(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from evaluation.score.__main__ import main as score

    (tmp_path / "truth.txt").write_text(CHARADES)
    made = {"AAA": {"person sits.": {"start": 0.0, "end": 5.0}}}
    (tmp_path / "made.json").write_text(json.dumps(made))
    places = ["--truth", str(tmp_path / "truth.txt"), "--predictions", str(tmp_path / "made.json")]
    for name, more in (("all", []), ("one", ["--protocol", "inclusive"]), ("clamped", ["--clamp-times"])):
        assert score(["charades_sta", *places, "--out", str(tmp_path / name), *more]) == 0
    capsys.readouterr()
    [pair] = json_output(capsys, str(tmp_path / "all"), str(tmp_path / "one"))["benchmarks"].values()
    assert not pair["notes"]
    [pair] = json_output(capsys, str(tmp_path / "all"), str(tmp_path / "clamped"))["benchmarks"].values()
    assert "B: times outside are cut" in pair["notes"][0]
