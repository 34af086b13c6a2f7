"""Parts: the table of what is trained, gradient checkpointing and compilation of single parts."""

from __future__ import annotations

import shutil

import pytest
import torch
import two_workers
from tiny_corpus import stage
from torch.utils import checkpoint

from pipeline.errors import UserError
from pipeline.plan.layout import LayoutConfig
from pipeline.plan.model import LossWeights
from pipeline.plan.parts import CHECKPOINTED, Part
from pipeline.plan.training import LoraConfig, OptimizerConfig
from training.loop.losses import compute_losses
from training.model.compiling import compile_parts, refuse_without_compiler
from training.model.ufvideo import UFVideo
from training.stage.model_setup import set_up_model
from training.stage.parts_table import params, part_rows, planned_rows, render

DENSE = (0, 0), (0, 1)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def gradients(parts: tuple[Part, ...]) -> tuple[dict[str, torch.Tensor], int]:
    """Gradients of a batch with regions and one with masks, and the number of checkpointed layer calls."""
    model = two_workers.new_model()
    config = two_workers.stage(two_workers.PARTS, gradient_checkpointing=parts)
    set_up_model(model, config, seed=1)
    calls = 0

    def counted(*args: object, **kwargs: object) -> object:
        nonlocal calls
        calls += 1
        return checkpoint.checkpoint(*args, use_reentrant=False, **kwargs)

    for module in model.modules():
        if hasattr(module, "_gradient_checkpointing_func"):
            module._gradient_checkpointing_func = counted
    for rank, turn in DENSE:
        two_workers.loss(model, rank, 0, turn).backward()
    return {n: p.grad for n, p in model.named_parameters() if p.grad is not None}, calls


@pytest.fixture(scope="module")
def without_checkpointing() -> dict[str, torch.Tensor]:
    """Gradients without gradient checkpointing."""
    expected, calls = gradients(())
    assert not calls
    return expected


@pytest.mark.parametrize("part", CHECKPOINTED)
def test_gradient_checkpointing_of_a_part_changes_no_gradient(without_checkpointing, part: Part) -> None:
    """Up to rounding. Fails if the part's switch reaches no layer, or a layer of another part."""
    with_checkpointing, calls = gradients((part,))
    # Twice through vision (2 of 3 layers), connector (8 blocks) and language (3), once through SAM 2 (5).
    assert calls == {"vision": 4, "connector": 16, "language": 6, "sam_encoder": 5}[part]
    assert with_checkpointing.keys() == without_checkpointing.keys()
    for name, gradient in without_checkpointing.items():
        torch.testing.assert_close(
            with_checkpointing[name], gradient, atol=1e-7, rtol=1e-6, msg=f"{part}: {name}"
        )


def test_gradient_checkpointing_takes_a_boolean_or_offered_parts() -> None:
    def parsed(**layout: object) -> LayoutConfig:
        return LayoutConfig.model_validate({"workers": 1, "micro_batch": 1, **layout})

    assert parsed().gradient_checkpointing == (Part.LANGUAGE,)
    assert parsed(gradient_checkpointing=True).gradient_checkpointing == (Part.LANGUAGE,)
    assert parsed(gradient_checkpointing=False).gradient_checkpointing == ()
    assert parsed(gradient_checkpointing=["vision"]).gradient_checkpointing == (Part.VISION,)
    with pytest.raises(ValueError, match="gradient_checkpointing seg_head is not offered"):
        parsed(gradient_checkpointing=["seg_head"])
    with pytest.raises(ValueError, match="compile language is not offered"):
        parsed(compile=["language"])
    with pytest.raises(ValueError, match="compile cannot be combined with zero_stage 3"):
        parsed(compile=["vision"], zero_stage=3)


def test_the_mask_decoder_s_former_name_is_accepted_and_its_current_one_is_shown() -> None:
    """Fails if plan and table have two names for one part, or if older plans are refused."""
    config = stage(train=("mask_decoder",))
    assert config.train == (Part.SAM_DECODER,)
    assert config.model_dump(mode="json")["train"] == ["sam_decoder"]
    rows = {r.part: r for r in planned_rows(two_workers.config(), config)}
    assert [name for name, row in rows.items() if row.trainable] == ["sam_decoder"]
    assert params(list(rows.values()))["parameters.trainable"] == rows["sam_decoder"].trainable


def test_the_table_counts_every_parameter_once_and_shows_which_are_trained() -> None:
    """Fails if a part's row counts what another part trains, or parameters that are never trained."""
    config = stage(
        train=("connector", "language"),
        optimizer=OptimizerConfig(lr=1e-3, part_lr={Part.CONNECTOR: 5e-4}),
        layout={"gradient_checkpointing": ["connector"]},
    )
    model = two_workers.new_model()
    set_up_model(model, config, seed=1)
    rows = {r.part: r for r in part_rows(model, config)}
    assert list(rows) == [*(p.value for p in Part), "(not trained)"]
    assert sum(r.parameters for r in rows.values()) == sum(p.numel() for p in model.parameters())
    connector, language = (sum(p.numel() for p in m.parameters()) for m in (model.connector, model.language))
    assert rows["connector"].trainable == rows["connector"].parameters == connector
    assert rows["connector"].share == pytest.approx(connector / (connector + language))
    assert (rows["connector"].lr, rows["language"].lr, rows["vision"].lr) == (5e-4, 1e-3, 0.0)
    assert [r.part for r in rows.values() if r.checkpointed] == ["connector"]
    assert rows["vision"].trainable == rows["(not trained)"].trainable == 0
    assert rows["(not trained)"].parameters > 0
    assert planned_rows(two_workers.config(), config) == list(rows.values())
    lines = render(list(rows.values())).splitlines()
    assert lines[0].split() == ["part", "tensors", "parameters", "trainable", "share", "lr", "checkpointed"]
    assert next(line for line in lines if line.startswith("connector")).split()[-2:] == ["0.0005", "yes"]
    assert params(list(rows.values())) == {
        "parameters": sum(p.numel() for p in model.parameters()),
        "parameters.trainable": rows["connector"].trainable + rows["language"].trainable,
    }


def test_the_table_separates_adapters_from_the_base_weights() -> None:
    config = stage(train=("language",), lora=LoraConfig(rank=2, train_embeddings=False))
    rows = {r.part: r for r in planned_rows(two_workers.config(), config)}
    width, narrow, layers = 128, 64, 3  # of the toy's hidden size, its keys and values, its blocks
    assert rows["language"].trainable == layers * 2 * (width + width + width + narrow)
    assert rows["language"].parameters > 10 * rows["language"].trainable
    assert rows["language"].share == 1.0
    config = stage(train=("language",), lora=LoraConfig(rank=2))
    vocabulary_tables = 2 * two_workers.config().language.vocab_size * width
    whole = {r.part: r for r in planned_rows(two_workers.config(), config)}["language"]
    assert whole.trainable == rows["language"].trainable + vocabulary_tables


def test_compiled_encoders_keep_their_parameter_names() -> None:
    """Fails if compiling wraps a module, which renames its weights."""
    plain, compiled = two_workers.new_model(), two_workers.new_model()
    compile_parts(compiled, (Part.VISION, Part.SAM_ENCODER))
    assert list(compiled.state_dict()) == list(plain.state_dict())
    sam = compiled.segmentation.sam.vision_encoder
    assert compiled.vision.tower.encoder.layers[0]._compiled_call_impl is not None
    assert sam.backbone._compiled_call_impl is not None


ENCODERS = (Part.VISION, Part.SAM_ENCODER)


@pytest.fixture(scope="module")
def uncompiled() -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    """Answer logits, mask logits and gradients of a batch with masks."""
    return outputs_and_gradients(two_workers.new_model(), ())


def outputs_and_gradients(
    model: UFVideo, checkpointed: tuple[Part, ...]
) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    """Answer logits, mask logits and gradients of one forward and backward pass, all parts trained."""
    set_up_model(model, two_workers.stage(two_workers.PARTS, gradient_checkpointing=checkpointed), seed=1)
    one = two_workers.batch(0, 0, 1)
    output = model(one)
    compute_losses(output, one.gt_masks, LossWeights())["total"].backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return output.answer_logits.detach(), output.mask_logits[0].detach(), gradients


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_compiled_encoders_give_the_same_outputs_and_gradients(uncompiled) -> None:
    """Fails if a compiled part is cut off from the graph, alone (SAM 2) or recomputed (vision)."""
    torch._dynamo.reset()
    model = two_workers.new_model()
    compile_parts(model, ENCODERS)
    answers, masks, gradients = outputs_and_gradients(model, (Part.VISION,))
    torch.testing.assert_close(answers, uncompiled[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(masks, uncompiled[1], atol=1e-4, rtol=1e-4)
    assert gradients.keys() == uncompiled[2].keys()
    first_blocks = ("vision.tower.encoder.layers.0.", "segmentation.sam.vision_encoder.backbone.blocks.0.")
    assert all(any(name.startswith(place) for name in gradients) for place in first_blocks)
    for name, expected in uncompiled[2].items():
        # Relative to the tensor's largest entry: single entries near zero are rounding error.
        tolerance = 1e-3 * float(expected.abs().max()) + 1e-6
        torch.testing.assert_close(gradients[name], expected, atol=tolerance, rtol=0, msg=name)


def test_a_machine_without_a_compiler_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CXX", str(tmp_path / "g++"))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    torch._dynamo.reset()
    with pytest.raises(UserError, match=r"layout\.compile.*does not work on this machine.*\(g\+\+\)"):
        refuse_without_compiler(torch.device("cpu"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_on_a_gpu_the_error_asks_for_triton_instead_of_a_cpp_compiler() -> None:
    """Fails if the message asks for a C++ compiler on every device."""
    torch._dynamo.reset()
    with pytest.raises(UserError, match=r"layout\.compile.*Install triton") as caught:
        refuse_without_compiler(torch.device("cuda"))
    assert "g++" not in str(caught.value)
