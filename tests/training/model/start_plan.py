"""Plans that start from weights, and the folders that they start from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from tiny_corpus import stage
from torch import Tensor

from pipeline.plan.parts import Part
from pipeline.plan.plan import Plan
from training.model.parts import PARTS
from training.model.weights.names import locate


def make_plan(
    folder: Path,
    saved: Path | str | None = None,
    new_rows: str = "mean",
    *,
    seed: int = 42,
    **weights: Path | str | bool,
) -> Plan:
    """A plan of the toy, with ``saved`` as its tokenizer and ``model.weights`` as given."""
    plan: dict[str, Any] = {
        "name": "start",
        "seed": seed,
        "storage": {"root": str(folder / "runs")},
        "model": {
            "preset": "toy",
            "tokenizer": {"path": str(saved) if saved else None, "new_rows": new_rows},
            "weights": {k: str(v) if isinstance(v, Path) else v for k, v in weights.items()},
        },
        "data": {
            "sources": [
                {
                    "name": "qa",
                    "format": "llava_video",
                    "annotations": str(folder / "qa.json"),
                    "media": [str(folder)],
                }
            ]
        },
        "stages": [stage().model_dump(mode="json", exclude_none=True)],
    }
    return Plan.model_validate(plan)


def write_language(state: dict[str, Tensor], folder: Path) -> Path:
    """The language model's part of published weights, as a folder of Qwen2 holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    held = {n: t for n, t in state.items() if locate(n, PARTS)[0] is Part.LANGUAGE}
    save_file(held, folder / "model.safetensors")
    return folder
