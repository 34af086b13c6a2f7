"""Which embedding rows of loaded weights are new, and what they start from."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from qwen_files import write_qwen2
from start_plan import make_plan, write_language
from torch import Tensor

from pipeline.errors import UserError
from pipeline.plan.plan import RowStart
from pipeline.storage.location import Location
from tests.pipeline.small_hub import COMMIT, small_hub
from training.export import export
from training.model.build import build_model
from training.model.tokenizer import load_tokenizer
from training.model.tokens import TokenIds
from training.model.weights.checkpoints import own_state, published_state
from training.model.weights.vocabulary import NewRows
from training.stage.checkpoint import write_checkpoint
from training.stage.start import make_model, make_tokenizer, with_vocabulary

TABLES = ("model.embed_tokens.weight", "lm_head.weight")


def _write_qwen2_with_unused_rows(folder: Path, unused: int) -> tuple[int, dict[str, Tensor]]:
    """Writes ``base``, a Qwen2 tokenizer, and ``Qwen2``, weights with unused rows of 1e6."""
    known = write_qwen2(folder / "base")
    config = with_vocabulary(make_plan(folder).model.resolved, known + unused)
    state = published_state(build_model(config, TokenIds(region=1, seg=2, eos=(0,), pad=0), seed=9))
    for name in TABLES:
        state[name][known:] = 1e6
    write_language(state, folder / "Qwen2")
    return known, state


def _with_tokens(folder: Path) -> Path:
    """The tokenizer of ``base`` as it is saved with a model that was trained on the 102 tokens."""
    load_tokenizer(folder / "base").save_pretrained(str(folder / "extended"))
    return folder / "extended"


@pytest.mark.parametrize("start", ["mean", "random"])
def test_rows_of_tokens_that_the_weights_lack_are_initialised(tmp_path: Path, capsys, start: str) -> None:
    """Fails if the unused rows after a stored vocabulary are taken for trained ones, in either role."""
    # 40 of the 102 tokens have unused rows, 62 have none.
    known, state = _write_qwen2_with_unused_rows(tmp_path, unused=40)
    plan = make_plan(tmp_path, tmp_path / "base", start, language=tmp_path / "Qwen2")
    tokenizer = make_tokenizer(plan, None)
    assert len(tokenizer) == known + 102
    made = published_state(make_model(plan, tokenizer))
    for name in TABLES:
        assert torch.equal(made[name][:known], state[name][:known])
        new, mean = made[name][known:], state[name][:known].mean(0)
        if start == "mean":
            assert torch.allclose(new, mean.expand(102, -1), atol=1e-6)
        else:
            assert float(new.std()) == pytest.approx(0.02, rel=0.1)
            assert not torch.equal(new[0], new[1])
    how = {"mean": "from the mean of the old", "random": "at random"}[start]
    assert f"vocabulary: {known} rows as stored, 102 new ones start {how}\n" in capsys.readouterr().out


@pytest.mark.parametrize("place", ["folder", "file", "hub"])
def test_the_tokenizer_beside_the_weights_decides_which_rows_are_new(
    tmp_path: Path, capsys, place: str
) -> None:
    """Fails if untrained rows pass as trained ones because the plan's tokenizer knows their tokens."""
    known, state = _write_qwen2_with_unused_rows(tmp_path, unused=150)
    weights = tmp_path / "hub" / "org" / "Qwen2"
    shutil.copytree(tmp_path / "base", weights)
    shutil.copy(tmp_path / "Qwen2" / "model.safetensors", weights)
    text = {"folder": weights, "file": weights / "model.safetensors", "hub": "hf://org/Qwen2"}[place]
    plan = make_plan(tmp_path, _with_tokens(tmp_path), language=text)
    commits: dict[str, str] = {}
    with small_hub(tmp_path / "hub", tmp_path / "cache"):
        tokenizer = make_tokenizer(plan, None)
        made = published_state(make_model(plan, tokenizer, commits))
    for name in TABLES:
        mean = state[name][:known].mean(0)
        assert torch.allclose(made[name][known:], mean.expand(102, -1), atol=1e-6)
    message = capsys.readouterr().out
    assert (
        f"vocabulary: {known} rows as stored, 102 new ones start from the mean of the old, 48 un" in message
    )
    assert commits == ({"language": COMMIT} if place == "hub" else {})
    assert (f"init: language from {text} at commit {COMMIT} (" in message) is (place == "hub")
    assert "holds no tokenizer" not in message


def test_without_a_tokenizer_beside_the_weights_the_plan_s_own_decides(tmp_path: Path, capsys) -> None:
    """Fails if that is not reported, since rows that were never trained may then pass as trained."""
    known, state = _write_qwen2_with_unused_rows(tmp_path, unused=150)
    plan = make_plan(tmp_path, _with_tokens(tmp_path), language=tmp_path / "Qwen2")
    made = published_state(make_model(plan, make_tokenizer(plan, None)))
    assert all(torch.equal(made[name], state[name][: known + 102]) for name in TABLES)
    message = capsys.readouterr().out
    assert f"init: {tmp_path / 'Qwen2'} holds no tokenizer: model.tokenizer.path tells which" in message
    assert f"vocabulary: {known + 102} rows as stored, 0 new ones" in message


def test_a_tokenizer_with_other_token_ids_than_the_weights_is_refused(tmp_path: Path) -> None:
    """Fails if rows are taken by number where the weights' own tokenizer gives the numbers to others."""
    _write_qwen2_with_unused_rows(tmp_path, unused=150)
    shutil.copytree(tmp_path / "base", tmp_path / "Qwen2", dirs_exist_ok=True)
    file = tmp_path / "base" / "vocab.json"
    text = file.read_text()
    assert '"!":0,"\\"":1' in text
    file.write_text(text.replace('"!":0,"\\"":1', '"!":1,"\\"":0'))
    plan = make_plan(tmp_path, tmp_path / "base", language=tmp_path / "Qwen2")
    with pytest.raises(UserError, match=r"gives 2 tokens other ids .* '\"' is 1 there and 0 here"):
        make_model(plan, make_tokenizer(plan, None))


def test_an_export_is_complete_as_starting_weights(tmp_path: Path, capsys) -> None:
    """Fails if an exported model loads with a new row, or without one of its parts."""
    write_qwen2(tmp_path / "base")
    tokenizer = load_tokenizer(tmp_path / "base")
    config = with_vocabulary(make_plan(tmp_path).model.resolved, len(tokenizer))
    donor = build_model(config, TokenIds.of(tokenizer), seed=123)
    checkpoint = Location.parse(tmp_path / "checkpoint")
    write_checkpoint(donor, tokenizer, checkpoint, tmp_path / "scratch")
    export(checkpoint, tmp_path / "out")
    plan = make_plan(tmp_path, tmp_path / "out", whole=tmp_path / "out")
    made = make_model(plan, make_tokenizer(plan, None))
    assert made.tokens == donor.tokens
    theirs = own_state(donor)
    assert all(torch.equal(t, theirs[n]) for n, t in own_state(made).items())
    message = capsys.readouterr().out
    assert f"vocabulary: {len(tokenizer)} rows as stored, 0 new ones" in message
    assert "init: language, connector, regions, vision, seg_head, sam_encoder from " in message
    assert "at random:" not in message
    assert "holds no tokenizer" not in message


def test_random_rows_depend_on_the_seed_alone(tmp_path: Path) -> None:
    """Fails if a second init of a plan draws other rows, or if seeds or the two tables share rows."""
    known, _ = _write_qwen2_with_unused_rows(tmp_path, unused=0)
    rows: list[Tensor] = []
    for seed in (1, 1, 2):
        plan = make_plan(tmp_path, tmp_path / "base", "random", seed=seed, language=tmp_path / "Qwen2")
        made = published_state(make_model(plan, make_tokenizer(plan, None)))
        rows += [made[name][known:].clone() for name in TABLES]
    assert torch.equal(rows[0], rows[2])
    assert torch.equal(rows[1], rows[3])
    for other in (1, 4, 5):
        assert not torch.equal(rows[0], rows[other])


def test_weights_without_a_row_of_a_known_token_are_a_user_error() -> None:
    """Fails if a mean over no rows is taken, or if a bare ValueError is raised."""
    fit = NewRows(tokens=frozenset(range(3)), start=RowStart.MEAN)
    with pytest.raises(UserError, match=r"^embed: has no row of a token"):
        fit.fill(torch.zeros(4, 2), torch.ones(3, 2), "embed")
