"""Trains the toy's towers and writes them under the names in which SigLIP and SAM 2 are published."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save_file
from torch import Tensor

from pipeline.plan.load import load_plan
from pipeline.plan.parts import Part
from training.model.build import build_model
from training.model.parts import ROWS
from training.model.tokens import TokenIds
from training.model.ufvideo import UFVideo
from training.model.weights.checkpoints import published_state
from training.model.weights.names import from_published, part_of
from training.toy_weights.outlining import learn_to_outline
from training.toy_weights.seeing import learn_to_see

SEED: Final = 20
SEE_STEPS: Final = 2000
OUTLINE_STEPS: Final = 1700
SIGLIP, SAM2, DIGESTS = "siglip.safetensors", "sam2.safetensors", "digests.json"


def make(out: Path, plan: str, *, see_steps: int = SEE_STEPS, outline_steps: int = OUTLINE_STEPS) -> None:
    """Writes ``siglip.safetensors``, ``sam2.safetensors`` and ``digests.json``, half precision, into ``out``.

    The sizes are those of ``plan``'s model. The same steps give the same bytes on the same machine with the
    same libraries. Raises UserError if the plan cannot be read.
    """
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    config = load_plan(plan).model_section.resolved
    tokens = TokenIds(region=0, seg=1, pad=2, eos=(3,))
    model = build_model(config, tokens, seed=SEED)
    model.requires_grad_(False)
    out.mkdir(parents=True, exist_ok=True)
    vision, segmentation = model.vision, model.segmentation
    steps: list[tuple[str, Part, int, str, Callable[[], float]]] = [
        (
            SIGLIP,
            Part.VISION,
            see_steps,
            "patches with all words right",
            lambda: learn_to_see(config.vision, vision, steps=see_steps, seed=SEED),
        ),
        (
            SAM2,
            Part.SAM_ENCODER,
            outline_steps,
            "IoU of the outlined shapes",
            lambda: learn_to_outline(config.sam2, segmentation, steps=outline_steps, seed=SEED),
        ),
    ]
    digests = {}
    for name, part, count, measure, learn in steps:
        start = time.process_time()
        print(f"{name}: {count} steps ...", flush=True)
        reached = learn()
        took = time.process_time() - start
        file = out / name
        save_file(public_state(model, part), file, metadata={"format": "pt"})
        file.chmod(0o644)  # safetensors makes it private
        digests[name] = hashlib.sha256(file.read_bytes()).hexdigest()
        size = file.stat().st_size / 1e6
        print(f"{name}: {measure} {reached:.1%}, {size:.2f} MB, {took:.0f} s of one core", flush=True)
    (out / DIGESTS).write_text(json.dumps(digests, indent=1) + "\n")


def public_state(model: UFVideo, part: Part) -> dict[str, Tensor]:
    """A part's weights in float16 under the names of its own public checkpoint."""
    public, published = ROWS[part].public
    return {
        public + name.removeprefix(published): tensor.detach().half().contiguous()
        for name, tensor in published_state(model).items()
        if part_of(from_published(name).name) is part
    }
