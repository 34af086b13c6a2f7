"""LoRA: trained parameters, the merged weights, the adapter that PEFT reads, exact resuming."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import two_workers
from safetensors.torch import load_file
from tiny_corpus import stage
from torch._subclasses.fake_tensor import FakeTensorMode

from pipeline.artifacts.checkpoint import start_config
from pipeline.plan.presets import model_config
from pipeline.plan.training import LoraConfig, LoraTarget, StageConfig
from pipeline.storage.location import Location
from training.loop.reporter import LocalReporter
from training.loop.train import Job, WorkerResult, train
from training.model.lora import add_adapters, plain_model
from training.model.weights.checkpoints import load_model

LORA = LoraConfig(rank=4, alpha=12, targets=(LoraTarget.QUERY, LoraTarget.VALUE, LoraTarget.DOWN))


def run_worker(
    prepared: Location, start: Location, out: Path, config: StageConfig, stop_at: int | None = None
) -> tuple[WorkerResult, LocalReporter]:
    """Trains with one worker; its states are stored beside ``out``."""
    model = start_config(start, model_config("toy"), "one")
    job = Job(stage=config, model=model, seed=7, data=prepared, start=start, out=Location.parse(out))
    reporter = LocalReporter(out.with_suffix(".states"))
    return train(job, reporter, stop_at=stop_at), reporter


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {
        k: v for file in sorted((folder / "model").glob("*.safetensors")) for k, v in load_file(file).items()
    }


def lora_stage(**more: object) -> StageConfig:
    """Three steps of the language model's adapters alone."""
    adapters = LORA.model_copy(update=more)
    return stage(steps=3, train=("language",), lora=adapters, layout={"save_every": 2})


@pytest.mark.parametrize("embeddings", [pytest.param(False, marks=pytest.mark.slow), True])
def test_the_adapter_gives_peft_users_the_logits_of_the_merged_weights(
    prepared: Location, start: Location, tmp_path: Path, embeddings: bool
) -> None:
    """Fails if merging forgets alpha / rank, mixes up A and B, or if a name in the file is not PEFT's."""
    from peft import PeftModel

    run_worker(prepared, start, tmp_path / "a", lora_stage(train_embeddings=embeddings))
    before, after = weights(start.local_path), weights(tmp_path / "a")
    assert before.keys() == after.keys()
    changed = {n for n in before if not torch.equal(before[n], after[n])}
    adapted = {n for n in before if n.endswith(("q_proj.weight", "v_proj.weight", "down_proj.weight"))}
    adapted = {n for n in adapted if n.startswith("language.lm.model.layers.")}
    vocabulary_tables = {"language.lm.model.embed_tokens.weight", "language.lm.lm_head.weight"}
    assert changed == (adapted | vocabulary_tables if embeddings else adapted)

    ids = torch.arange(3, 23)[None]
    merge_adapters = load_model(tmp_path / "a" / "model").language.lm
    base = load_model(start.local_path / "model").language.lm
    with torch.no_grad():
        expected, plain = merge_adapters(input_ids=ids).logits, base(input_ids=ids).logits
        adapted_lm = PeftModel.from_pretrained(base, str(tmp_path / "a" / "adapter")).eval()
        actual = adapted_lm(input_ids=ids).logits
    assert (expected - plain).abs().max() > 1e-3
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)
    message = json.loads((tmp_path / "a" / "adapter" / "adapter_config.json").read_text())
    assert (message["r"], message["lora_alpha"], message["task_type"]) == (4, 12, "CAUSAL_LM")


@pytest.mark.parametrize(
    ("adapters", "zero"),
    [
        pytest.param(True, 2, id="lora-zero2", marks=pytest.mark.slow),
        pytest.param(True, 3, id="lora-zero3", marks=pytest.mark.slow),
        pytest.param(False, 3, id="zero3", marks=pytest.mark.slow),
    ],
)
def test_a_resumed_run_is_bit_identical_to_an_uninterrupted_one(
    prepared: Location, start: Location, tmp_path: Path, adapters: bool, zero: int
) -> None:
    """Fails if the state lacks the adapters, or if their initial values are not those of the seed."""
    config = lora_stage() if adapters else stage(steps=3)
    config = config.model_copy(update={"layout": config.layout.model_copy(update={"zero_stage": zero})})
    whole, _ = run_worker(prepared, start, tmp_path / "a", config)
    run_worker(prepared, start, tmp_path / "b", config, stop_at=2)
    torch.manual_seed(12345)
    again, reporter = run_worker(prepared, start, tmp_path / "b", config)
    assert again.resumed_at == 2
    assert sorted(reporter.rows) == [2]
    assert again.digest == whole.digest


@pytest.mark.parametrize("adapters", [LORA, None])
def test_merged_weights_of_a_gpu_are_on_the_cpu(adapters: LoraConfig | None) -> None:
    """Fails if weights are merged or copied on the GPU and stay there. The GPU is PyTorch's fake one."""
    model = two_workers.new_model()
    if adapters is not None:
        add_adapters(model, adapters, seed=1)
    sizes = {name: t.shape for name, t in model.state_dict().items()}
    with FakeTensorMode():
        state = {name: torch.empty(size, device="cuda") for name, size in sizes.items()}
    plain = plain_model(model, state)
    assert {t.device.type for t in plain.parameters()} == {"cpu"}
    assert not [name for name, _ in plain.named_parameters() if ".lora_" in name]


def test_weights_on_the_cpu_are_shared_not_copied() -> None:
    model = two_workers.new_model()
    state = model.state_dict()
    plain = plain_model(model, state).state_dict()
    assert all(t.data_ptr() == state[name].data_ptr() for name, t in plain.items())


def test_lora_without_the_language_model_is_refused() -> None:
    with pytest.raises(ValueError, match="train leaves language out"):
        stage(train=("connector",), lora=LORA)
