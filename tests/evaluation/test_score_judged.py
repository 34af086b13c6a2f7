"""`ufvideo score` with a judge: a real HTTP server marks the texts of native truth's predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from judge_server import KEY, MODEL, JudgeServer, Response, judge_server, marks

from evaluation.score.__main__ import main
from pipeline.records import masks

HEIGHT, WIDTH = 24, 32
SQUARE = masks.encode(np.pad(np.ones((8, 8), np.uint8), ((4, HEIGHT - 12), (4, WIDTH - 12))))
RLE = {"size": [HEIGHT, WIDTH], "counts": SQUARE}


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", KEY)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """VideoRefer-Bench-D as published, with four descriptions, and answers of other code to three of them."""
    truth = [
        {
            "id": n,
            "video": f"clip_{n}.mp4",
            "caption": f"Object {n} is red and runs.",
            "frame_idx": "2",
            "annotation": [{"2": {"segmentation": RLE}, "5": {"segmentation": RLE}}],
            "height": HEIGHT,
            "width": WIDTH,
        }
        for n in range(4)
    ]
    (tmp_path / "VideoRefer-Bench-D.json").write_text(json.dumps(truth))
    rows = [{"video": f"clip_{n}.mp4", "question": "?", "id": n, "pred": f"Answer {n}."} for n in (0, 1, 2)]
    (tmp_path / "answers.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


def arguments(home: Path, server: JudgeServer | None, *more: str) -> list[str]:
    judge = [
        "--judge-model",
        "judge",
        "--judge-cache",
        str(home / "cache"),
        "--judge-key-variable",
        "JUDGE_KEY",
    ]
    url = ["--judge-url", server.url] if server else []
    truth, made = home / "VideoRefer-Bench-D.json", home / "answers.jsonl"
    return ["videorefer_bench_d", "--truth", str(truth), "--predictions", str(made), *judge, *url, *more]


def result(capsys: pytest.CaptureFixture[str], given: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    assert main([*given, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    return {row["metric"]: row for row in content["metrics"]}, content


def test_a_line_break_behind_the_key_does_no_harm(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUDGE_KEY", KEY + "\n")
    with judge_server() as server:
        assert main(arguments(home, server)) == 0
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    printed = capsys.readouterr()
    assert KEY[:6] not in printed.out + printed.err


def test_texts_are_marked_and_judgements_are_kept(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def script(request: dict[str, Any], n: int) -> Response:
        answer = json.loads(request["messages"][1]["content"])["answer"]
        if answer == "Answer 1.":  # too busy, then nonsense, then marks
            faults = [Response(status=429, headers={"Retry-After": "0"}), Response(content="Sorry.")]
            return faults[n - 1] if n <= len(faults) else Response(content=marks(3))
        if answer == "Answer 2.":
            return Response(content="", ended="content_filter")
        return Response(content=marks(4, subject_correspondence=5, temporal_description=1))

    with judge_server(script) as server:
        found, content = result(capsys, arguments(home, server, "--out", str(home / "out")))
        asked = [json.loads(r["messages"][1]["content"]) for r in server.requests]
        assert {header["Authorization"] for header in server.headers} == {f"Bearer {KEY}"}
    # 0: marked; 1: marked in the end; 2: refused; 3: no answer, the marks of a useless one.
    assert found["SC"]["value"] == pytest.approx((5 + 3 + 0) / 3)
    assert found["Avg"]["value"] == pytest.approx((14 / 4 + 3 + 0) / 3)
    assert found["Avg without T"]["value"] == pytest.approx((13 / 3 + 3 + 0) / 3)
    assert (found["Avg"]["samples"], found["Avg"]["failures"]) == (3, 1)
    assert sum(found["Avg"]["missing"].values()) == 1
    assert MODEL in found["Avg"]["description"]
    assert content["problems"]["answers without a mark"] == 1
    assert content["problems"]["samples without a prediction"] == 1
    question = "Please give a detailed description of the highlighted object [<region>] in the video."
    assert {(one["question"], one["reference"]) for one in asked if one["answer"] == "Answer 0."} == {
        (question, "Object 0 is red and runs.")
    }
    rows = [json.loads(line) for line in (home / "out/judgements.jsonl").read_text().splitlines()]
    assert [row["marks"] and row["marks"]["SC"] for row in rows] == [5, 3, None]
    assert json.loads((home / "out/judge.json").read_text())["judged"] == 2
    kept = [r for r in pq.read_table(home / "out/scores.parquet").to_pylist() if r["measure"] == "SAvg"]
    assert [r["value"] for r in kept] == [3.5, 3.0, None, 0.0]
    assert kept[2]["failure"]
    everything = b"".join(place.read_bytes() for place in home.rglob("*") if place.is_file())
    assert KEY.encode() not in everything

    again, _ = result(capsys, arguments(home, None))  # what is stored, without an endpoint
    assert again["SC"]["value"] == found["SC"]["value"]
    with judge_server(lambda request, n: Response(content=marks(2))) as server:
        filled, content = result(capsys, arguments(home, server))
        assert server.answers() == ["Answer 2."], "what is judged is not asked again"
    assert filled["SC"]["value"] == pytest.approx((5 + 3 + 2 + 0) / 4)
    assert content["problems"]["answers without a mark"] == 0


def test_the_screen_shows_marks_as_marks(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with judge_server(lambda request, n: Response(content=marks(4))) as server:
        assert main(arguments(home, server)) == 0
    shown = capsys.readouterr().out
    assert "judge: 3 of 3 answers judged" in shown
    line = next(line for line in shown.splitlines() if line.lstrip().startswith("Avg "))
    assert " 3.00 " in line, "four answers, one of them missing, and not 300 %"
    assert "Not judged" not in shown


def test_without_a_judge_the_output_says_what_is_not_judged(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth, made = home / "VideoRefer-Bench-D.json", home / "answers.jsonl"
    assert main(["videorefer_bench_d", "--truth", str(truth), "--predictions", str(made)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Not judged: SC, AD, TD, HD, Avg, Avg without T. --judge-url and --judge-model name" in shown


def test_options_that_cannot_work_are_refused(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = ["--judge-url", "http://127.0.0.1:1/v1"]
    for more, words in (
        (["--judge-url", "https://me:secret@host/v1"], "--judge-url: holds credentials"),
        (["--judge-url", "host/v1"], "--judge-url: is not an http:// or https:// URL"),
        (["--judge-key-variable", "sk-secret-1"], "--judge-key-variable: is not a name"),
        ([*url, "--judge-key-variable", "OTHER_KEY"], "OTHER_KEY: is not set in the environment"),
        ([*url, "--judge-instructions", str(home / "none.txt")], "none.txt: cannot be read"),
        ([*url, "--judge-tokens", "-1"], "--judge-tokens"),
    ):
        assert main(arguments(home, None, *more)) == 2, more
        said = capsys.readouterr().err
        assert words in said, said
        assert "secret" not in said
    (home / "truth.txt").write_text("3MSZA 24.3 30.4##person sits down.\n")
    charades = [
        "charades_sta",
        "--truth",
        str(home / "truth.txt"),
        "--predictions",
        str(home / "answers.jsonl"),
    ]
    assert main([*charades, *url]) == 2
    assert "--judge-url: is not used: no metric of Charades-STA is judged" in capsys.readouterr().err
    assert main(["masks", "--truth", str(home), "--predictions", str(home), *url]) == 2
    assert "--judge-url: is not used: no metric of masks is judged" in capsys.readouterr().err


def test_a_budget_ends_the_run_and_the_rest_is_counted(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with judge_server() as server:
        found, content = result(capsys, arguments(home, server, "--judge-tokens", "10"))
        assert server.requests == []
    assert found["Avg"]["value"] is None
    assert found["Avg"]["missing"] == {
        "not judged: the budget is spent": 3,
        "not judged: an answer without text, and no other is judged": 1,
    }
    assert content["problems"]["answers without a mark"] == 4


def test_the_text_beside_masks_is_judged_even_if_they_cannot_be_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """UFVideo-Bench: masks and a text in one record."""
    folder = tmp_path / "bench"
    folder.mkdir()
    truth = [
        {
            "id": n,
            "video": f"v{n}.mp4",
            "frame_idx": [0, 1],
            "height": HEIGHT,
            "width": WIDTH,
            "annotation": [{"0": {"segmentation": RLE}, "1": {"segmentation": RLE}}],
            "conversations": [
                [
                    {"from": "human", "value": "<video>\nWhat does it do?"},
                    {"from": "gpt", "value": f"It runs {n}. The segmentation mask is [SEG]."},
                ]
            ],
        }
        for n in range(2)
    ]
    (folder / "PixHQA.json").write_text(json.dumps(truth))
    made = [
        {
            "video": f"v{n}.mp4",
            "question": "What does it do?",
            "pred": f"It walks {n}.",
            "masks": [RLE] * (2 - n),
        }
        for n in range(2)
    ]
    (tmp_path / "made.jsonl").write_text("\n".join(map(json.dumps, made)))
    with judge_server(lambda request, n: Response(content=marks(3))) as server:
        given = ["ufvideo_bench", "--truth", str(folder), "--predictions", str(tmp_path / "made.jsonl")]
        judge = ["--judge-url", server.url, "--judge-key-variable", "", "--judge-cache", str(tmp_path)]
        found, content = result(capsys, [*given, *judge])
        assert sorted(server.answers()) == ["It walks 0.", "It walks 1."]
        assert all("Authorization" not in header for header in server.headers)
    assert found["SAvg"]["value"] == 3.0
    assert found["J"]["value"] == 0.5
    assert content["problems"]["failures"] == 1
