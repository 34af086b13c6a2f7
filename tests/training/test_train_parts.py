"""Parts: the table of what is trained, gradient checkpointing and compilation of single parts."""

from __future__ import annotations

import shutil

import pytest
import torch
import two_workers
from tiny_corpus import stage
from torch.utils import checkpoint

from pipeline.config.training import CHECKPOINTED, LayoutConfig, LoraConfig, OptimizerConfig, Part
from pipeline.errors import UserError
from training.arrange import arrange
from training.model.compiling import compile_parts, refuse_without_compiler
from training.parts_table import params, part_rows, planned_rows, render

DENSE = (0, 0), (0, 1)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def gradients(parts: tuple[Part, ...]) -> tuple[dict[str, torch.Tensor], int]:
    """Gradients of a batch with regions and one with masks, and how many layers were run twice."""
    model = two_workers.fresh()
    config = two_workers.stage(two_workers.PARTS, gradient_checkpointing=parts)
    arrange(model, config, seed=1)
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
def kept() -> dict[str, torch.Tensor]:
    """Gradients without gradient checkpointing."""
    made, calls = gradients(())
    assert not calls
    return made


@pytest.mark.parametrize("part", CHECKPOINTED)
def test_gradient_checkpointing_of_a_part_changes_no_gradient(kept, part: Part) -> None:
    """Fails if the part's switch reaches no layer, or a layer of another part."""
    made, calls = gradients((part,))
    # Twice through vision (2 of 3 layers), connector (8 blocks) and language (3), once through SAM 2 (5).
    assert calls == {"vision": 4, "connector": 16, "language": 6, "sam_encoder": 5}[part]
    assert made.keys() == kept.keys()
    for name, gradient in kept.items():
        torch.testing.assert_close(made[name], gradient, atol=1e-7, rtol=1e-6, msg=f"{part}: {name}")


def test_gradient_checkpointing_reads_as_before_and_refuses_what_is_not_offered() -> None:
    def given(**layout: object) -> LayoutConfig:
        return LayoutConfig.model_validate({"workers": 1, "micro_batch": 1, **layout})

    assert given().gradient_checkpointing == (Part.LANGUAGE,)
    assert given(gradient_checkpointing=True).gradient_checkpointing == (Part.LANGUAGE,)
    assert given(gradient_checkpointing=False).gradient_checkpointing == ()
    assert given(gradient_checkpointing=["vision"]).gradient_checkpointing == (Part.VISION,)
    with pytest.raises(ValueError, match="gradient_checkpointing seg_head is not offered"):
        given(gradient_checkpointing=["seg_head"])
    with pytest.raises(ValueError, match="compile language is not offered"):
        given(compile=["language"])
    with pytest.raises(ValueError, match="compile does not go with zero_stage 3"):
        given(compile=["vision"], zero_stage=3)
    assert stage(train=("sam_decoder",)).train == (Part.MASK_DECODER,)


def test_the_table_counts_every_parameter_once_and_says_what_is_trained() -> None:
    """Fails if a part's row counts what another part trains, or what is carried along only."""
    config = stage(
        train=("connector", "language"),
        optimizer=OptimizerConfig(lr=1e-3, part_lr={Part.CONNECTOR: 5e-4}),
        layout={"gradient_checkpointing": ["connector"]},
    )
    model = two_workers.fresh()
    arrange(model, config, seed=1)
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
    assert params(rows.values())["not_trained"]["trainable"] == 0


def test_the_table_tells_adapters_from_the_weights_they_stand_on() -> None:
    config = stage(train=("language",), lora=LoraConfig(rank=2))
    rows = {r.part: r for r in planned_rows(two_workers.config(), config)}
    width, narrow, layers = 128, 64, 3  # of the toy's hidden size, its keys and values, its blocks
    assert rows["language"].trainable == layers * 2 * (width + width + width + narrow)
    assert rows["language"].parameters > 10 * rows["language"].trainable
    assert rows["language"].share == 1.0


def test_compiled_encoders_keep_their_names() -> None:
    """Fails if compiling wraps a module, which renames the weights behind it."""
    plain, compiled = two_workers.fresh(), two_workers.fresh()
    compile_parts(compiled, (Part.VISION, Part.SAM_ENCODER))
    assert list(compiled.state_dict()) == list(plain.state_dict())
    sam = compiled.segmentation.sam.vision_encoder
    assert compiled.vision.tower.encoder.layers[0]._compiled_call_impl is not None
    assert sam.backbone._compiled_call_impl is not None


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_compiled_encoders_give_the_same_outputs() -> None:
    plain, compiled = two_workers.fresh().eval(), two_workers.fresh().eval()
    compile_parts(compiled, (Part.VISION, Part.SAM_ENCODER))
    one = two_workers.batch(0, 0, 1)
    with torch.no_grad():
        made, wanted = compiled(one), plain(one)
        torch.testing.assert_close(made.answer_logits, wanted.answer_logits, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(made.mask_logits[0], wanted.mask_logits[0], atol=1e-4, rtol=1e-4)


def test_a_machine_without_a_compiler_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CXX", str(tmp_path / "g++"))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    torch._dynamo.reset()
    with pytest.raises(UserError, match=r"layout\.compile.*does not work on this machine"):
        refuse_without_compiler(torch.device("cpu"))
