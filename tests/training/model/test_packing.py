"""Packed sequences do not attend to each other, in results and in gradients."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from pipeline.plan.model import Attention, LossWeights, ModelConfig
from training.loop.losses import compute_losses
from training.model import packing
from training.model.batch import Batch
from training.model.build import build_model
from training.model.packing import PackedRow, PackedSequences
from training.model.ufvideo import UFVideo

VIDEO, SEG = -201, 51


@pytest.fixture(scope="module", params=[Attention.SDPA, Attention.EAGER])
def model(request, toy_config: ModelConfig, tokens) -> UFVideo:
    made = build_model(toy_config.model_copy(update={"attention": request.param}), tokens, seed=5).train()
    made.set_trainable(["language", "connector"])
    return made


@pytest.fixture(scope="module")
def batch(text_batch) -> Batch:
    """Three samples of very different lengths, the middle one the longest."""
    return text_batch(
        [[5, VIDEO], [6, VIDEO, *range(5, 45)], [7, 8, VIDEO, 9]], [[3, 2], [11, 12, 13, 2], [2]]
    )


def _states_and_gradients(
    model: UFVideo, batch: Batch, packing: bool
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    model.language.packing = packing
    model.zero_grad(set_to_none=True)
    output = model(batch)
    compute_losses(output, [], LossWeights())["total"].backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return output.hidden.detach(), gradients


def test_packed_states_and_gradients_are_those_of_padded_rows(model: UFVideo, batch: Batch):
    """Catches one block for the whole pack, and a boundary that is one token off."""
    padded, padded_gradients = _states_and_gradients(model, batch, packing=False)
    packed, packed_gradients = _states_and_gradients(model, batch, packing=True)
    torch.testing.assert_close(packed, padded, atol=2e-5, rtol=1e-5)
    assert packed_gradients.keys() == padded_gradients.keys()
    for name, gradient in packed_gradients.items():
        torch.testing.assert_close(gradient, padded_gradients[name], atol=2e-5, rtol=1e-4, msg=name)


def test_a_sample_does_not_see_its_neighbours(model: UFVideo, batch: Batch):
    """Catches attention across a boundary, in either direction."""
    model.language.packing = True
    with torch.no_grad():
        before = model(batch).hidden
        changed = dataclasses.replace(batch, input_ids=batch.input_ids.clone())
        changed.input_ids[1, 2] = 30
        after = model(changed).hidden
    first, middle, last = (before - after).abs().split(model(batch).lengths)
    assert first.max() == last.max() == 0
    assert middle.max() > 1e-3


def test_positions_restart_in_every_sequence(model: UFVideo, batch: Batch):
    """A sample in the middle of a pack is the sample alone. Catches: positions that go on counting."""
    model.language.packing = True
    with torch.no_grad():
        rows = model.rows(batch)
        together = model.language.hidden(PackedSequences.of(rows)).split([len(row.labels) for row in rows])
        for row, states in zip(rows, together, strict=True):
            torch.testing.assert_close(
                model.language.hidden(PackedSequences.of([row])), states, atol=2e-5, rtol=1e-5
            )


def test_the_last_token_of_a_sequence_predicts_nothing():
    """Catches: the first label of the next sample as the target of the one before it."""
    rows = [
        PackedRow(embeds=torch.zeros(n, 4), labels=torch.full((n,), label))
        for n, label in ((2, 7), (3, 8), (1, 9))
    ]
    assert PackedSequences.of(rows).next_labels.tolist() == [7, -100, 8, 8, -100, -100]


def test_padding_is_on_the_requested_side():
    x, lengths = torch.arange(1.0, 4.0), (1, 2)
    assert packing.pad(x, lengths).tolist() == [[1, 0], [2, 3]]
    assert packing.pad(x, lengths, left=True).tolist() == [[0, 1], [2, 3]]
    assert packing.real(lengths, x.device, left=True).tolist() == [[False, True], [True, True]]


def test_a_pack_of_many_samples_makes_no_square_mask(toy_config, tokens, text_batch, monkeypatch):
    """Attention is computed one sequence at a time: a mask of the whole pack would grow with its square."""
    model = build_model(toy_config, tokens, seed=5).eval()
    model.language.packing = True
    calls = []
    real = torch.nn.functional.scaled_dot_product_attention

    def spy(q, k, v, *args, **kwargs):
        calls.append((q.shape[-2], kwargs.get("attn_mask")))
        return real(q, k, v, *args, **kwargs)

    monkeypatch.setattr(packing.F, "scaled_dot_product_attention", spy)
    with torch.no_grad():
        lengths = model(text_batch([[VIDEO, 5]] * 3, [[2], [3, 2], [4, 4, 2]])).lengths
    language = calls[-3 * toy_config.language.num_hidden_layers :]
    assert language == [(n, None) for n in lengths] * toy_config.language.num_hidden_layers
