"""The card of an exported checkpoint, that it tells the truth, and the push to a hub."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from qwen_files import write_qwen2

from pipeline.artifacts.fingerprint import code_version
from pipeline.artifacts.record import ArtifactRecord, InputRef, commit_artifact
from pipeline.plan.presets import model_config
from pipeline.storage.location import Location
from tests.pipeline.pushable_hub import COMMIT, pushable_hub
from training import export
from training.model.build import build_model
from training.model.tokenizer import load_tokenizer
from training.model.tokens import TokenIds
from training.stage.checkpoint import write_checkpoint
from training.stage.start import with_vocabulary

CHECKPOINT, DATASET, START = "c" * 64, "d" * 64, "e" * 64
ROW = {"benchmark": "held_out", "category": "", "metric": "tIoU", "value": 0.5, "error": 0.125, "main": True}
ROW |= {"samples": 8, "failures": 1, "baseline": 0.25, "baseline_name": "best constant span", "unit": "share"}
MIXTURE = [{"source": "own", "available": 12, "used": 10, "planned": 20.0, "realised": 20}]


def record(kind: str, digest: str, summary: dict[str, object], **inputs: str) -> ArtifactRecord:
    refs = {name: InputRef(uri=f"/secret/{name}", fingerprint="0", digest=d) for name, d in inputs.items()}
    return ArtifactRecord(
        step="finetune" if kind == "stage" else "evaluate-finetune",
        kind=kind,
        fingerprint="f" * 64,
        digest=digest,
        schema_version=4,
        code=code_version(),
        inputs=refs,
        config={},
        summary=summary,
        created="2026-01-01T00:00:00Z",
        seconds=1.0,
    )


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Location:
    """A checkpoint with the record of a stage, and an evaluation of it beside it."""
    base = tmp_path_factory.mktemp("card")
    write_qwen2(base / "qwen2")
    tokenizer = load_tokenizer(base / "qwen2")
    config = with_vocabulary(model_config("toy", {"num_frames": 2}), len(tokenizer))
    out = Location.parse(base / "checkpoint")
    write_checkpoint(build_model(config, TokenIds.of(tokenizer), seed=4), tokenizer, out, base / "scratch")
    commit_artifact(out, record("stage", CHECKPOINT, {"mixture": MIXTURE}, prepare=DATASET, init=START))
    for name, digest in (("scores", CHECKPOINT), ("others", START)):
        place = Location.parse(base / name)
        rows = [ROW, ROW | {"metric": "R@0.5", "main": False}, ROW | {"category": "a"}]
        made_from = {"checkpoint": digest, "dataset": DATASET}
        (place / "metrics.json").write_text(json.dumps({"made_from": made_from, "metrics": rows}))
        commit_artifact(place, record("evaluate", "0" * 64, {}))
    return out


def beside(checkpoint: Location, name: str) -> str:
    return str(checkpoint.local_path.parent / name)


def test_the_card_has_digests_data_and_scores_but_no_paths(checkpoint: Location, tmp_path: Path):
    out = tmp_path / "out"
    assert export.main([checkpoint.uri, str(out), "--scores", beside(checkpoint, "scores")]) == 0
    card = (out / "README.md").read_text()
    assert all(f"`{digest}`" in card for digest in (CHECKPOINT, DATASET, START))
    assert "| `own` | 12 | 10 | 20 |" in card
    assert "| `held_out` | tIoU | 50.0 % ± 12.5 % | 25.0 % (best constant span) | 8 | 1 |" in card
    assert card.count("`held_out`") == 1  # headlines over all samples
    assert "/secret" not in card
    assert str(checkpoint.local_path.parent) not in card


def test_scores_of_another_checkpoint_are_refused(
    checkpoint: Location, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    assert export.main([checkpoint.uri, str(out), "--scores", beside(checkpoint, "others")]) == 2
    assert "has the scores of another checkpoint" in capsys.readouterr().err
    assert export.main([checkpoint.uri, str(out), "--scores", beside(checkpoint, "qwen2")]) == 2
    assert "is no finished evaluation" in capsys.readouterr().err
    assert export.main([checkpoint.uri, str(out), "--frames", "4"]) == 2
    assert "--frames: is not for a checkpoint" in capsys.readouterr().err
    assert not out.exists()


# Our packages cannot be imported there, as on a machine that has none of them.
ELSEWHERE = """
import sys
sys.modules.update(dict.fromkeys(("pipeline", "training", "evaluation", "datasets_prep")))
import transformers
whole, language = sys.argv[1:]
assert len(transformers.AutoTokenizer.from_pretrained(whole)) > 300
for kind in (transformers.AutoModel, transformers.AutoModelForCausalLM):
    for trust in (False, True):
        try:
            kind.from_pretrained(whole, trust_remote_code=trust)
        except ValueError as error:
            assert "videorefer_qwen2" in str(error), error
        else:
            raise AssertionError("the card says that this does not load")
model = transformers.AutoModelForCausalLM.from_pretrained(language)
print(type(model).__name__, transformers.AutoTokenizer.from_pretrained(language).__class__.__name__)
"""


@pytest.mark.slow  # a process that imports transformers and torch
def test_what_the_card_says_about_transformers_is_true(checkpoint: Location, tmp_path: Path):
    """In a process that has transformers and torch, and not this project."""
    whole, language = tmp_path / "whole", tmp_path / "language"
    assert export.main([checkpoint.uri, str(whole)]) == 0
    assert export.main([checkpoint.uri, str(language), "--language-only"]) == 0
    done = subprocess.run(
        [sys.executable, "-I", "-c", ELSEWHERE, str(whole), str(language)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Qwen2ForCausalLM")
    assert (
        "`videorefer_qwen2`, and this folder holds weights and no code" in (whole / "README.md").read_text()
    )
    assert "what sees, points and segments is not here" in (language / "README.md").read_text()


def test_an_export_is_pushed_as_one_commit(
    checkpoint: Location, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    with pushable_hub() as hub:
        hub.files = {"model-00009-of-00009.safetensors": b"of an earlier push", "notes.md": b"of its owner"}
        assert export.main([checkpoint.uri, str(out), "--push", "me/toy"]) == 0
    printed = capsys.readouterr()
    assert f"pushed: {hub.url}/me/toy/commit/{COMMIT}" in printed.out
    assert (hub.repos, hub.commits) == ({"me/toy": True}, 1)
    written = {p.name: p.read_bytes() for p in out.iterdir()}
    assert hub.files == written | {"notes.md": b"of its owner"}
    assert b"hf_secret" not in b"".join(written.values())
    assert "hf_secret" not in printed.out + printed.err


def test_nothing_is_asked_of_the_hub_before_the_export_is_written(
    checkpoint: Location, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pushable_hub() as hub:
        assert export.main([checkpoint.uri, str(tmp_path / "full"), "--push", "me/toy"]) == 2
        assert "is there already" in capsys.readouterr().err
        monkeypatch.delenv("HF_TOKEN")
        assert export.main([checkpoint.uri, str(tmp_path / "out"), "--push", "me/toy"]) == 2
        assert "in the environment variable HF_TOKEN" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert hub.requests == []
