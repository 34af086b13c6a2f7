"""The 7B benchmark's pure functions, and a whole run at toy size without a GPU."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import flops, gpu_7b
from pipeline.plan.model import Sam2Config
from pipeline.plan.presets import model_config, published_7b
from training.model.connector import Connector
from training.model.language import Language
from training.model.packing import PackedRow, PackedSequences
from training.model.segmentation import Segmentation
from training.model.vision import VisionTower

_TOY = model_config("toy", {"connector": {"depth": 2}})


def _counted_operations(run) -> int:
    """Floating-point operations that PyTorch counts during a call."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        run()
    return counter.get_total_flops()


def test_operations_of_vision_and_connector_are_those_that_run():
    """Catches: a layer that is carried but never run, a shortcut or the squeeze-excite left out."""
    side, grid, wide = _TOY.vision.image_size, _TOY.vision.grid, _TOY.language.hidden_size
    tower = VisionTower(_TOY.vision, "eager")
    assert _counted_operations(lambda: tower(torch.zeros(3, 3, side, side))) == flops.vision(_TOY.vision, 3)
    inner = _TOY.vision.hidden_size
    connector = Connector(inner, wide, _TOY.connector)
    patches = torch.zeros(1, 8, grid**2, inner)
    assert _counted_operations(lambda: connector(patches)) == flops.connector(
        _TOY.connector, 8, grid, inner, wide
    )


def test_operations_of_the_language_model_leave_out_what_causal_attention_masks():
    model, n, answers = Language(_TOY.language, "eager"), 40, 7
    width, layers = _TOY.language.hidden_size, _TOY.language.num_hidden_layers
    row = PackedRow(embeds=torch.zeros(n, width), labels=torch.zeros(n, dtype=torch.long))
    counted = _counted_operations(lambda: model.logits(model.hidden(PackedSequences.of([row]))[:answers]))
    masked = 2 * layers * 2 * width * (n * n - n * (n + 1) // 2)
    assert counted - masked == flops.language(_TOY.language, [n], answers)


@pytest.mark.parametrize("side", [128, 192])
def test_operations_of_sam_s_encoder_are_close_to_those_that_run(side: int):
    """transformers multiplies queries once more than SAM 2 has to; side 192 fills windows up."""
    config = Sam2Config(
        image_size=side, embed_dim=48, num_heads=2, stages=(1, 2, 4, 2), global_att_blocks=(4, 6)
    )
    model = Segmentation(64, config, "eager")
    counted = _counted_operations(lambda: model.encode(torch.zeros(2, 3, side, side)))
    assert flops.sam_encoder(config, 2) == pytest.approx(counted, rel=0.01)


def test_operations_of_the_published_model_agree_with_the_usual_estimate():
    """Six for each weight and token is the usual estimate of what training a language model takes."""
    config = published_7b()
    parts = flops.training_step(config, lengths=[3000], answers=0, videos=1, sam_frames=4)
    weights = config.language.num_hidden_layers * (
        2 * 3584 * (3584 + 512) + 3 * 3584 * config.language.intermediate_size
    )
    assert parts["language"] == pytest.approx(6 * weights * 3000, rel=0.05)
    with torch.device("meta"):
        sam = Segmentation(64, config.sam2, "eager")
        frames = torch.zeros(4, 3, config.sam2.image_size, config.sam2.image_size)
    assert parts["SAM 2's encoder"] == pytest.approx(
        _counted_operations(lambda: sam.encode(frames)), rel=0.01
    )


def test_the_table_shows_rates_and_what_is_unknown():
    row = gpu_7b.Measurement(what="packed", tokens=6000, seconds=1.5, operations=300e12, peak_gib=61.25)
    assert gpu_7b.table([row], 400e12).splitlines()[-1] == ("| packed | 1.500 s | 4,000 | 50.0% | 61.2 GiB |")
    bare = gpu_7b.Measurement(what="packed", tokens=6000, seconds=1.5, operations=300e12, peak_gib=None)
    assert gpu_7b.table([bare], None).splitlines()[-1].endswith("| not known | not counted |")
    assert gpu_7b.peak_of("NVIDIA H100 PCIe") == 756e12
    assert gpu_7b.peak_of("NVIDIA H100 80GB HBM3") == 989e12
    assert gpu_7b.peak_of("Some other device") is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_without_a_gpu_the_benchmark_ends_with_an_error_of_one_line(capsys):
    assert gpu_7b.main([]) == 2
    error = capsys.readouterr().err
    assert "needs a CUDA device" in error
    assert len(error.strip().splitlines()) == 1


@pytest.mark.slow
def test_the_benchmark_runs_at_toy_size(capsys, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gpu_7b, "_WARM_UP", 0)
    monkeypatch.setattr(gpu_7b, "_ANSWERS", (60, 10, 20))
    monkeypatch.setattr(gpu_7b, "_TRUTH", (48, 85))
    assert gpu_7b.main(["--preset", "toy", "--device", "cpu", "--repeats", "1", "--peak", "1"]) == 0
    printed = capsys.readouterr().out
    rows = [line for line in printed.splitlines() if line.startswith(("| padded", "| packed"))]
    assert len(rows) == 2
    assert all("%" in row for row in rows)
    with pytest.raises(SystemExit):
        gpu_7b.main(["--preset", "toy", "--device", "cpu", "--write"])


def test_random_weights_and_the_batch_fit_together():
    tokens = gpu_7b.TokenIds(region=1021, seg=1022, eos=(1023,), pad=0)
    batch = gpu_7b.make_batch(_TOY, tokens)
    assert batch.labels is not None
    assert (batch.labels == tokens.seg).sum(1).tolist() == [0, 2, 0]
    assert (batch.labels != -100).sum(1).tolist() == list(gpu_7b._ANSWERS)
    model = gpu_7b.random_model(_TOY, tokens, "cpu")
    assert not any(t.is_meta for t in (*model.parameters(), *model.buffers()))
    assert all(p.dtype == torch.bfloat16 for p in model.parameters())
    with torch.no_grad():
        lengths = model(batch.to(torch.device("cpu"), torch.bfloat16)).lengths
    assert list(lengths) == gpu_7b.sequence_lengths(_TOY)
