"""Two workers in two processes with batches of different kinds, and the same training without ZeRO."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

from pipeline.plan.model import LossWeights, ModelConfig
from pipeline.plan.presets import model_config
from pipeline.plan.training import OptimizerConfig, StageConfig
from training.engine import Engine, join_group, prepare_process
from training.loop.losses import compute_losses
from training.model.batch import Batch
from training.model.build import build_model
from training.model.tokens import TokenIds
from training.model.ufvideo import UFVideo

VIDEO, REGION, SEG, STEPS, PASSES = -201, 50, 51, 3, 2
TOKENS = TokenIds(region=REGION, seg=SEG, eos=(2,), pad=0)
PARTS = ("vision", "connector", "regions", "language", "seg_head", "sam_encoder", "sam_decoder")
# A large eps: where a gradient is only rounding error, Adam must not make a full step.
OPTIMIZER = OptimizerConfig(lr=1e-2, eps=1e-3, warmup_share=0, clip=1e9)


def config() -> ModelConfig:
    return model_config("toy", {"language": {"vocab_size": 60}, "num_frames": 2})


def new_model() -> UFVideo:
    return build_model(config(), TOKENS, seed=5)


def batch(rank: int, step: int, turn: int) -> Batch:
    """Worker 0: regions, then masks. Worker 1: neither, and in its second pass not even a video."""
    generator = torch.Generator().manual_seed(100 * rank + 10 * step + turn)
    side, sam = config().vision.image_size, config().sam2.image_size
    rows = {
        (0, 0): ([VIDEO, 7, REGION], [9, 11, 2]),
        (0, 1): ([VIDEO, 5, 6], [8, SEG, 4, SEG, 2]),
        (1, 0): ([VIDEO, 12], [13, 2]),
        (1, 1): ([14, 15], [16, 17, 2]),
    }
    prompt, answer = rows[rank, turn]
    made = Batch(
        input_ids=torch.tensor([prompt + answer]),
        attention_mask=torch.ones(1, len(prompt + answer), dtype=torch.bool),
        labels=torch.tensor([[-100] * len(prompt) + answer]),
        video=torch.randn(int(VIDEO in prompt), 2, 3, side, side, generator=generator),
        has_video=[VIDEO in prompt],
    )
    if REGION in prompt:
        return dataclasses.replace(
            made,
            region_frames=[torch.randn(2, 3, side, side, generator=generator)],
            region_masks=[torch.rand(2, 20, 20, generator=generator) > 0.6],
            region_frame_indices=[[[0, 1]]],
        )
    if SEG in answer:
        return dataclasses.replace(
            made,
            sam_frames=[torch.randn(2, 3, sam, sam, generator=generator)],
            gt_masks=[torch.rand(2, 2, 24, 24, generator=generator) > 0.5],
        )
    return made


def loss(model: Any, rank: int, step: int, turn: int) -> torch.Tensor:
    one = batch(rank, step, turn)
    return compute_losses(model(one), one.gt_masks, LossWeights())["total"]


def weights_without_zero(parts: tuple[str, ...]) -> dict[str, torch.Tensor]:
    """Weights after plain AdamW on the mean of both workers' losses: what ZeRO should give."""
    model = new_model()
    model.set_trainable(parts)
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad],
        lr=OPTIMIZER.lr,
        betas=OPTIMIZER.betas,
        eps=OPTIMIZER.eps,
        weight_decay=0,
    )
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = OPTIMIZER.lr * share(step)
        optimizer.zero_grad()
        for rank in range(2):
            for turn in range(PASSES):
                (loss(model, rank, step, turn) / PASSES / 2).backward()
        optimizer.step()
    return {name: p.detach() for name, p in model.state_dict().items()}


def share(step: int) -> float:
    from training.loop.optim import lr_share

    return lr_share(step, STEPS, warmup_share=0, final_share=OPTIMIZER.final_share)


def stage(parts: tuple[str, ...], **layout: object) -> StageConfig:
    """A stage of two workers."""
    return StageConfig.model_validate(
        {
            "name": "two",
            "global_batch": 2 * PASSES,
            "steps": STEPS,
            "train": parts,
            "optimizer": OPTIMIZER,
            "layout": {
                "workers": 2,
                "micro_batch": 1,
                "use_gpu": False,
                "precision": "fp32",
                "gradient_checkpointing": False,
                **layout,
            },
        }
    )


@contextmanager
def _reduced_parameters(engine: Engine) -> Iterator[set[str]]:
    """Names of the parameters that ZeRO reduces."""
    optimizer, names = engine._engine.optimizer, set()
    by_id = {id(p): name for name, p in engine.module.named_parameters()}
    reduce = optimizer.reduce_ready_partitions_and_remove_grads

    def record(parameter: torch.nn.Parameter, *rest: object) -> Any:
        if not optimizer._coalesce_grad_reduction:
            names.add(by_id[id(parameter)])
        return reduce(parameter, *rest)

    optimizer.reduce_ready_partitions_and_remove_grads = record
    yield names
    optimizer.reduce_ready_partitions_and_remove_grads = reduce


def train_settings(rank: int, folder: Path, settings: dict[str, StageConfig]) -> None:
    """One of the two processes: trains each setting, writes the reduced names and, as worker 0, weights."""
    import os

    os.environ |= {"LOCAL_RANK": str(rank), "RANK": str(rank), "WORLD_SIZE": "2"}
    prepare_process(use_gpu=False, threads=1)
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder / 'meet'}",
        rank=rank,
        world_size=2,
        timeout=timedelta(seconds=90),
    )
    join_group(use_gpu=False)
    for name, setting in settings.items():
        engine = Engine(new_model(), setting, total_steps=STEPS)
        reduced = []
        for step in range(STEPS):
            with _reduced_parameters(engine) as names:
                engine.step(
                    step, (loss(engine, rank, step, turn) for turn in range(PASSES)), [PASSES] * PASSES
                )
            reduced.append(sorted(names))
        state = engine.state()
        torch.save({"reduced": reduced, "state": state if rank == 0 else None}, folder / f"{name}-{rank}.pt")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
