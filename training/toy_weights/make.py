"""Trains the toy's parts and writes them as SigLIP, SAM 2 and VideoRefer are published."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save_file
from torch import Tensor

from pipeline.plan.load import load_plan
from pipeline.plan.parts import Part
from pipeline.plan.presets import toy
from training.model.build import build_model
from training.model.parts import ROWS
from training.model.tokens import TokenIds
from training.model.ufvideo import UFVideo
from training.model.weights.checkpoints import load_published, published_state
from training.model.weights.names import from_published, part_of
from training.stage.start import with_vocabulary
from training.toy_weights.outlining import learn_to_outline
from training.toy_weights.reading import START, learn_to_read, make_tokenizer
from training.toy_weights.seeing import learn_to_see

SEED: Final = 20
SEE_STEPS: Final = 2000
OUTLINE_STEPS: Final = 1700
READ_STEPS: Final = 1300
SIGLIP, SAM2, DIGESTS = "siglip.safetensors", "sam2.safetensors", "digests.json"
VIDEOREFER: Final = "videorefer"
"""A folder, with the tokenizer beside the weights."""
WEIGHTS: Final = "model.safetensors"
FILES: Final = (SIGLIP, SAM2, f"{VIDEOREFER}/{WEIGHTS}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Lesson:
    """One file of weights: its parts, and how they are learned. ``learn`` returns its final ``measure``."""

    file: str
    parts: tuple[Part, ...]
    steps: int
    measure: str
    learn: Callable[[], float]


def make(
    out: Path,
    plan: str,
    *,
    see_steps: int = SEE_STEPS,
    outline_steps: int = OUTLINE_STEPS,
    read_steps: int = READ_STEPS,
    only: Collection[str] = FILES,
) -> None:
    """Writes SigLIP's, SAM 2's and VideoRefer's weights in half precision, and ``digests.json``.

    The sizes are those of ``plan``'s model. ``only``: which of ``FILES`` are made; others are left.
    The same steps give the same bytes on the same machine with the same libraries. Raises UserError if the
    plan, or SigLIP's file where VideoRefer alone is made, cannot be read.
    """
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    tokenizer = make_tokenizer(SEED)
    config = with_vocabulary(load_plan(plan).model_section.resolved, len(tokenizer))
    # The towers' first weights are drawn after the language model's: its size is fixed, so that they stay.
    beside = config.model_copy(update={"language": toy().language})
    towers = build_model(beside, TokenIds(region=0, seg=1, pad=2, eos=(3,)), seed=SEED)
    begun = config.model_copy(update={"init": START})
    model = build_model(begun, TokenIds.of(tokenizer), seed=SEED)
    for one in (towers, model):
        one.requires_grad_(False)
    (out / VIDEOREFER).mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(str(out / VIDEOREFER))
    vision, segmentation = towers.vision, towers.segmentation

    def read() -> float:
        load_published(model, out / SIGLIP, part=Part.VISION, strict=False)
        return learn_to_read(model, tokenizer, steps=read_steps, seed=SEED)

    lessons = (
        Lesson(
            file=SIGLIP,
            parts=(Part.VISION,),
            steps=see_steps,
            measure="patches with all words right",
            learn=lambda: learn_to_see(config.vision, vision, steps=see_steps, seed=SEED),
        ),
        Lesson(
            file=SAM2,
            parts=(Part.SAM_ENCODER,),
            steps=outline_steps,
            measure="IoU of the outlined shapes",
            learn=lambda: learn_to_outline(config.sam2, segmentation, steps=outline_steps, seed=SEED),
        ),
        Lesson(
            file=FILES[2],
            parts=(Part.LANGUAGE, Part.CONNECTOR, Part.REGIONS),
            steps=read_steps,
            measure="letters chosen right",
            learn=read,
        ),
    )
    for lesson in lessons:
        if lesson.file not in only:
            continue
        start = time.process_time()
        print(f"{lesson.file}: {lesson.steps} steps ...", flush=True)
        reached = lesson.learn()
        took = time.process_time() - start
        file = out / lesson.file
        owner = model if Part.LANGUAGE in lesson.parts else towers
        state = {k: v for part in lesson.parts for k, v in public_state(owner, part).items()}
        save_file(state, file, metadata={"format": "pt"})
        file.chmod(0o644)  # safetensors makes it private
        size = file.stat().st_size / 1e6
        print(
            f"{lesson.file}: {lesson.measure} {reached:.1%}, {size:.2f} MB, {took:.0f} s of one core",
            flush=True,
        )
    write_digests(out)


def write_digests(out: Path) -> None:
    """SHA-256 of every file, by its path in ``out``."""
    (out / DIGESTS).write_text(json.dumps(digests(out), indent=1) + "\n")


def digests(out: Path) -> dict[str, str]:
    """What ``digests.json`` should hold."""
    files = sorted(path for path in out.rglob("*") if path.is_file() and path.name != DIGESTS)
    return {str(file.relative_to(out)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def public_state(model: UFVideo, part: Part) -> dict[str, Tensor]:
    """A part's weights in float16 under the names of its own public checkpoint."""
    public, published = ROWS[part].public
    return {
        public + name.removeprefix(published): tensor.detach().half().contiguous()
        for name, tensor in published_state(model).items()
        if part_of(from_published(name).name) is part
    }
