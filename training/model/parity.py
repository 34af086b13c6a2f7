"""Compares the model with outputs of the public reference: ``python -m training.model.parity CASE_DIR``.

Exit codes: 0 within tolerance, 1 outside it, 2 if the case cannot be read.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pipeline.errors import UserError
from pipeline.plan.model import LossWeights
from training.model.golden import GoldenCase, golden_batch, golden_model, read_case
from training.model.packing import pad, real
from training.model.tokens import IGNORE
from training.model.ufvideo import ModelOutput, UFVideo

_AT_TOKENS = ("last_hidden", "logits")

Losses = Callable[[ModelOutput, list[Tensor | None], LossWeights], dict[str, Tensor]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """Largest difference of one output from the stored one."""

    name: str
    largest: float
    tolerance: float
    relative: bool = False

    @property
    def ok(self) -> bool:
        """Whether it is within tolerance (NaN is not)."""
        return self.largest <= self.tolerance


def compare(golden: GoldenCase, model: UFVideo, losses: Losses) -> list[Difference]:
    """Every stored output and loss against the model's."""
    batch = golden_batch(golden)
    with torch.no_grad():
        output = model(batch)
        video, _ = model.visual_tokens(batch)
        found = {
            "vision_features": model.vision(batch.video[1]),
            "video_tokens": video,
            **_region_tokens(golden, model),
            "expanded_labels": pad(output.labels, output.lengths, IGNORE),
            "attention_mask": real(output.lengths, output.labels.device),
            "last_hidden": pad(output.hidden, output.lengths),
            "logits": pad(model.language.logits(output.hidden), output.lengths),
            # Stored frame by frame, [F, O, S, S].
            "mask_logits": model.segmentation.decode_masks(
                golden.tensor("sam_frames")[1], golden.tensor("seg_embedding")
            ).transpose(0, 1),
        }
        computed = losses(output, batch.gt_masks, model.config.loss)
    tokens = golden.tensor("out_attention_mask")
    rows = [
        Difference(
            name=name,
            # Values at padding have no meaning: the reference embeds some of it and zeroes the rest.
            largest=_largest(value, golden.tensor(f"out_{name}"), tokens if name in _AT_TOKENS else None),
            tolerance=0.0 if not value.is_floating_point() else 1e-3 if name == "mask_logits" else 1e-4,
        )
        for name, value in found.items()
    ]
    stored = golden.case["losses"]
    for name, ours in (
        ("loss", "total"),
        ("ce_loss", "ce"),
        ("mask_bce_loss", "bce"),
        ("mask_dice_loss", "dice"),
    ):
        value = computed[ours].item()
        scale = {"bce": model.config.loss.bce, "dice": model.config.loss.dice}.get(ours, 1.0)
        value = value * scale if _is_weighted(stored) else value
        difference, size = abs(value - stored[name]), abs(stored[name])
        # A loss of exactly 0, as without masks, is compared by its absolute difference.
        largest = difference / (size or 1.0)
        rows.append(Difference(name=name, largest=largest, tolerance=1e-4, relative=size > 0))
    return rows


def _is_weighted(stored: dict[str, float]) -> bool:
    """Whether the case stores its mask losses with their weights already applied."""
    return abs(stored["mask_bce_loss"] + stored["mask_dice_loss"] - stored["mask_loss"]) < 1e-5


def _region_tokens(golden: GoldenCase, model: UFVideo) -> dict[str, Tensor]:
    """All stored regions, including the reference's dummies."""
    samples = range(len(golden.case["region_frame_indices"]))
    frames = [golden.tensor(f"region_frames_{i}") for i in samples]
    per_sample = model.regions(
        model.vision(torch.cat(frames)),
        [len(f) for f in frames],
        [golden.tensor(f"region_masks_{i}") for i in samples],
        golden.case["region_frame_indices"],
    )
    tokens = [t for sample in per_sample for t in sample]
    return {"region_tokens": torch.cat(tokens), "region_token_counts": torch.tensor([len(t) for t in tokens])}


def _largest(made: Tensor, stored: Tensor, where: Tensor | None = None) -> float:
    if made.shape != stored.shape:
        return float("inf")
    difference = (made.double() - stored.double()).abs()
    return (difference if where is None else difference[where]).max().item()


def table(rows: list[Difference]) -> str:
    """The comparison as text."""
    lines = [f"{'output':24}{'largest difference':>20}{'tolerance':>12}  "]
    for row in rows:
        kind = "relative" if row.relative else "absolute"
        verdict = "ok" if row.ok else "PAST TOLERANCE"
        lines.append(f"{row.name:24}{row.largest:20.3e}{row.tolerance:12.0e}  {kind}  {verdict}")
    return "\n".join(lines)


def _compared(folder: Path, golden: GoldenCase, losses: Losses) -> list[Difference]:
    """``compare`` with the case's own model. UserError if the case lacks something, or does not fit."""
    try:
        return compare(golden, golden_model(golden), losses)
    except UserError:
        raise
    except (KeyError, ValueError, TypeError) as error:
        what = f"lacks {error}" if isinstance(error, KeyError) else " ".join(str(error).split())[:300]
        raise UserError(str(folder), f"is not a complete golden case: {what}.", "Copy it again.") from error


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    from training.loop.losses import compute_losses

    parser = argparse.ArgumentParser(prog="python -m training.model.parity", description=__doc__)
    parser.add_argument("case_dir", type=Path, help="folder with case.json, parameters.tsv and io.npz")
    folder = parser.parse_args(arguments).case_dir
    try:
        golden = read_case(folder)
        rows = _compared(folder, golden, compute_losses)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    print(table(rows))
    return 0 if all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
