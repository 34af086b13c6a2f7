"""The golden case ``ufvideo-tiny``: a whole model whose weights are generated from their names."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.errors import StorageError, UserError
from pipeline.plan.model import (
    Attention,
    LanguageConfig,
    LossWeights,
    ModelConfig,
    RegionConfig,
    Sam2Config,
    VisionConfig,
)
from training.model.batch import Batch
from training.model.tokens import TokenIds
from training.model.ufvideo import UFVideo
from training.model.weights.checkpoints import load_published


@dataclass(frozen=True, kw_only=True)
class GoldenCase:
    """One stored case."""

    case: dict[str, Any]
    arrays: dict[str, np.ndarray]
    shapes: dict[str, tuple[int, ...]]

    def tensor(self, name: str) -> Tensor:
        """One stored array."""
        return torch.from_numpy(self.arrays[name])


def read_case(folder: Path) -> GoldenCase:
    """Reads a case folder. Raises UserError if a file is missing or unreadable."""
    for name in ("case.json", "parameters.tsv", "io.npz"):
        if not (folder / name).is_file():
            raise UserError(
                str(folder),
                f"is not a golden case: {name} is missing.",
                "Give a folder such as golden/ufvideo-tiny.",
            )
    try:
        case = json.loads((folder / "case.json").read_text())
        rows = [line.split("\t") for line in (folder / "parameters.tsv").read_text().splitlines()]
        shapes = {name: tuple(int(n) for n in shape.split("x")) for name, shape in rows}
        with np.load(folder / "io.npz") as stored:
            arrays = {name: stored[name] for name in stored.files}
        return GoldenCase(case=case, arrays=arrays, shapes=shapes)
    except (ValueError, OSError, EOFError) as error:
        if isinstance(error, OSError) and StorageError.is_unreadable(error):
            raise StorageError.of(str(folder), error) from error
        raise UserError(str(folder), f"is an unreadable golden case: {error}.", "Copy it again.") from error


def weight_from_name(salt: str, name: str, shape: tuple[int, ...]) -> Tensor:
    """A tensor filled from its published name, by the rule of the golden cases."""
    key = int.from_bytes(hashlib.sha256((salt + name).encode()).digest()[:16], "big")
    x = np.random.Generator(np.random.Philox(key=key)).standard_normal(shape, dtype=np.float64)
    scale = 0.02 if len(shape) < 2 else 1 / math.sqrt(math.prod(shape[1:]))
    offset = 1.0 if len(shape) == 1 and name.endswith("weight") else 0.0
    return torch.from_numpy((offset + scale * x).astype(np.float32))


def golden_config(case: dict[str, Any], attention: Attention = Attention.EAGER) -> ModelConfig:
    """The case's sizes."""
    return ModelConfig(
        vision=VisionConfig(**case["vision"], select_layer=case["vision_select_layer"]),
        language=LanguageConfig(**case["llm"]),
        sam2=Sam2Config(**case["sam2"]),
        region=RegionConfig(tokens_per_region=case["region_token_num"]),
        num_frames=case["num_frames"],
        num_sam_frames=case["num_sam_frames"],
        loss=LossWeights(**case["loss_weights"]),
        attention=attention,
    )


def golden_model(golden: GoldenCase, attention: Attention = Attention.EAGER) -> UFVideo:
    """The case's model with its weights, loaded through the published layout."""
    case = golden.case
    tokens = TokenIds(
        region=case["region_token_id"], seg=case["seg_token_id"], eos=(1,), pad=case["pad_token_id"]
    )
    model = UFVideo(golden_config(case, attention), tokens)
    load_published(model, {n: weight_from_name(case["salt"], n, s) for n, s in golden.shapes.items()})
    return model.eval()


def golden_batch(golden: GoldenCase) -> Batch:
    """The case's training batch in this project's form.

    Two differences of layout, not of numbers: masks are stored frame by frame and become object-major, and
    the reference's dummy regions (an empty mask without a text token) are left out.
    """
    case = golden.case
    ids = golden.tensor("input_ids")
    regions = (ids == case["region_token_id"]).sum(1).tolist()
    samples = range(len(ids))
    frames = case["num_sam_frames"]
    truths = [golden.tensor(f"gt_masks_{i}") for i in samples]
    return Batch(
        input_ids=ids,
        labels=golden.tensor("labels"),
        attention_mask=ids != case["pad_token_id"],
        video=torch.stack([golden.tensor(f"video_{i}") for i in samples]),
        region_frames=[golden.tensor(f"region_frames_{i}")[: None if regions[i] else 0] for i in samples],
        region_masks=[golden.tensor(f"region_masks_{i}")[: None if regions[i] else 0] for i in samples],
        region_frame_indices=[case["region_frame_indices"][i] if regions[i] else [] for i in samples],
        sam_frames=[golden.tensor("sam_frames")[i] if len(truths[i]) else None for i in samples],
        gt_masks=[t.unflatten(0, (frames, -1)).transpose(0, 1) if len(t) else None for t in truths],
    )
