"""LoRA adapters (arXiv:2106.09685) in the language model, through PEFT, and merging them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from accelerate import init_empty_weights
from torch import Tensor

from pipeline.plan.training import LoraConfig
from training.model.ufvideo import UFVideo

if TYPE_CHECKING:
    import peft

_LM: Final = "language.lm."
_NAME: Final = "default"
_BASE, _DOWN, _UP = ".base_layer.", f".lora_A.{_NAME}.weight", f".lora_B.{_NAME}.weight"
_IN_PEFT: Final = "base_model.model."


def add_adapters(model: UFVideo, config: LoraConfig, *, seed: int) -> None:
    """Adds adapters to the language model, in place; they change nothing until they are trained.

    They are initialised from ``seed``; the state of the global generator is restored. On the meta device they
    are empty. Call ``UFVideo.set_trainable`` afterwards.
    """
    import peft

    lm = model.language.lm
    empty = lm.device.type == "meta"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        peft.inject_adapter_in_model(_peft(config), lm, _NAME, low_cpu_mem_usage=empty)
    model.language.adapters = config


def merge_adapters(state: dict[str, Tensor], config: LoraConfig) -> dict[str, Tensor]:
    """The state dict of a model with adapters, as that of the same model without: W + alpha / rank * B A.

    The sum is computed in float32 on the device of W, and stored in the dtype of W on the CPU: one weight
    after another, so a GPU never holds a second copy of all of them.
    """
    out: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if ".lora_" in name:
            continue
        layer = name.removesuffix(".base_layer.weight")
        if layer != name:
            change = state[layer + _UP].float() @ state[layer + _DOWN].float()
            tensor = (tensor.float() + config.alpha / config.rank * change).to(tensor.dtype)
        out[name.replace(_BASE, ".")] = tensor.cpu()
    return out


def plain_model(template: UFVideo, state: dict[str, Tensor]) -> UFVideo:
    """A model of the size of ``template`` with these weights on the CPU; adapters are merged.

    Weights that are on the CPU already are shared with ``state``, not copied.
    """
    adapters = template.language.adapters
    with init_empty_weights(include_buffers=False):
        model = UFVideo(template.config, template.tokens)
    plain = (
        {name: t.cpu() for name, t in state.items()} if adapters is None else merge_adapters(state, adapters)
    )
    model.load_state_dict(plain, assign=True)
    model.language.lm.tie_weights()
    return model.eval()


def save_adapter(model: UFVideo, state: dict[str, Tensor], folder: Path) -> None:
    """Writes the adapters in the format of ``peft.PeftModel.from_pretrained``, for the Qwen2 model inside.

    ``state``: that of the whole model, including adapters. With ``train_embeddings`` the word embeddings and
    the output layer are saved as a whole.
    """
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    config = model.language.adapters
    assert config is not None, "no adapters"
    lm = {name.removeprefix(_LM): t for name, t in state.items() if name.startswith(_LM)}
    found = get_peft_model_state_dict(
        model.language.lm, state_dict=lm, adapter_name=_NAME, save_embedding_layers=False
    )
    saved_whole: list[str] = []
    if config.train_embeddings:
        saved_whole = ["embed_tokens", "lm_head"]
        found |= {f"{place}.weight": lm[f"{place}.weight"] for place in ("model.embed_tokens", "lm_head")}
    folder.mkdir(parents=True, exist_ok=True)
    # Cloned, because tied weights must not share memory in this format.
    tensors = {_IN_PEFT + name: t.detach().cpu().clone().contiguous() for name, t in found.items()}
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    _peft(config, modules_to_save=saved_whole or None).save_pretrained(str(folder))


def _peft(config: LoraConfig, **more: Any) -> peft.LoraConfig:
    import peft

    return peft.LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,  # type: ignore[arg-type]  # PEFT divides it by the rank, whole or not
        target_modules=sorted(t.value for t in config.targets),
        lora_dropout=0.0,
        bias="none",
        task_type="CAUSAL_LM",
        **more,
    )
