"""DeepSpeed: ZeRO over the workers, on GPUs or on plain CPUs."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from pipeline.estimate.memory import KEPT_WHOLE, LARGEST_BUCKET
from pipeline.plan.layout import Precision
from pipeline.plan.training import StageConfig
from training.loop.optim import lr_share, parameter_groups, set_lr
from training.model.compiling import compile_parts
from training.model.ufvideo import UFVideo
from training.stage.model_setup import set_up_model
from training.stage.other_workers import saved_workers, universal

_TAG = "state"


def quiet() -> None:
    """Silences what a user cannot act on."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.filterwarnings("ignore")
    for name in ("DeepSpeed", "deepspeed", "transformers", "torch.distributed"):
        logging.getLogger(name).setLevel(logging.ERROR)


def prepare_process(*, use_gpu: bool, threads: int | None) -> None:
    """Set the environment that DeepSpeed reads when it is imported, also if a parent process has set it."""
    os.environ["DS_ACCELERATOR"] = "cuda" if use_gpu else "cpu"
    if use_gpu:
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
    elif threads:
        torch.set_num_threads(threads)
    quiet()


def join_group(*, use_gpu: bool) -> None:
    """Adopt the process group that Ray Train made, or make one of a single process."""
    import deepspeed
    import deepspeed.ops
    from torch import distributed

    for name in ("DeepSpeed", "deepspeed"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if not use_gpu:
        # Shared-memory collectives would be compiled at the first start of every machine; gloo does without.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    backend = "nccl" if use_gpu else "gloo"
    if not distributed.is_initialized():
        distributed.init_process_group(backend, store=distributed.HashStore(), rank=0, world_size=1)
        os.environ.setdefault("LOCAL_RANK", "0")  # DeepSpeed insists, launcher or not
    deepspeed.init_distributed(dist_backend=backend, verbose=False)


def compute_dtype(precision: Precision) -> torch.dtype:
    """The dtype of forward and backward."""
    return {Precision.FP32: torch.float32, Precision.BF16: torch.bfloat16}[precision]


class Engine:
    """A model under ZeRO, one optimizer step at a time.

    Gradients of a step's forward passes stay local and are reduced once, in the order of the parameters.
    ZeRO-2's usual way, reducing each one when autograd delivers it, assumes that all workers deliver in one
    order; here one worker's passes may hold regions or masks and another's none, which changes the order, and
    gradients of different parameters would be added to each other without any error.

    Under ZeRO-3 the workers also fetch each layer's weights together, in the order of its calls, so every
    pass of every worker runs all modules (``UFVideo.uniform_passes``).
    """

    def __init__(self, model: UFVideo, stage: StageConfig, *, total_steps: int, seed: int = 0) -> None:
        import deepspeed

        layout = stage.layout
        set_up_model(model, stage, seed)
        compile_parts(model, layout.compile)
        owned = [(part, p) for part in stage.train for p in model.part_parameters(part)]
        self._trained = [p for _, p in owned]
        groups = parameter_groups(owned, stage.optimizer)
        self._peaks = [float(g["lr"]) for g in groups]
        optimizer = torch.optim.AdamW(
            groups,
            lr=stage.optimizer.lr,
            betas=stage.optimizer.betas,
            eps=stage.optimizer.eps,
            fused=layout.use_gpu or None,
        )
        elements = sum(p.numel() for p in self._trained)
        self._engine, *_ = deepspeed.initialize(
            model=model,
            optimizer=optimizer,
            config={
                "train_micro_batch_size_per_gpu": layout.micro_batch,
                # Accumulation is done in ``step``; for DeepSpeed every step is a whole one.
                "gradient_accumulation_steps": 1,
                "gradient_clipping": stage.optimizer.clip,
                "bf16": {"enabled": layout.precision is Precision.BF16},
                "zero_optimization": {
                    "stage": layout.zero_stage,
                    "overlap_comm": False,
                    "reduce_bucket_size": min(LARGEST_BUCKET, elements),
                    "allgather_bucket_size": min(LARGEST_BUCKET, elements),
                    "stage3_param_persistence_threshold": KEPT_WHOLE,
                },
                "zero_allow_untested_optimizer": True,
                "zero_force_ds_cpu_optimizer": False,
                "steps_per_print": 2**31,
            },
        )
        self._stage, self._total = stage, total_steps
        self.dtype = compute_dtype(layout.precision)

    @property
    def module(self) -> UFVideo:
        """The model with its present weights; under ZeRO-3 most of them are elsewhere."""
        return self._engine.module

    def state(self) -> dict[str, torch.Tensor] | None:
        """Weights of the whole model by name, adapters included; None on the other workers under ZeRO-3.

        Every worker calls it.
        """
        if self._stage.layout.zero_stage < 3:
            return self.module.state_dict()
        return self._engine._zero3_consolidated_16bit_state_dict()

    def __call__(self, batch: Any) -> Any:
        """The model's forward pass."""
        return self._engine(batch)

    @property
    def updated(self) -> bool:
        """Whether the last step changed the weights: not if its gradient was not finite."""
        return self._engine.was_step_applied()

    @property
    def skipped_steps(self) -> int:
        """Steps that changed nothing, also those before the state that was loaded."""
        return int(self._engine.skipped_steps)

    def learning_rate(self, step: int) -> float:
        """Peak rate times the schedule's share at a step."""
        return self._stage.optimizer.lr * self._share(step)

    def step(self, step: int, losses: Iterable[torch.Tensor], divisors: Sequence[float]) -> float:
        """Backward of losses, drawn one by one, each over its divisor; one update. Returns the gradient norm.

        The gradient is the mean over workers. With divisors of ``data.order.BatchSplit`` it is the mean over
        passes and workers of each pass's own loss, as published, where passes count by their samples.
        """
        set_lr(self._engine.optimizer.param_groups, self._peaks, self._share(step))
        with self._engine.coalesce_grad_reduction():
            for loss, divisor in zip(losses, divisors, strict=True):
                if loss.requires_grad:  # not where only parts are trained that this pass does not use
                    self._engine.backward(loss / divisor)
            for parameter in self._trained:
                # All workers must reduce the same parameters, whichever their passes used.
                if parameter.grad is None:
                    assert not self.module.uniform_passes, "a uniform pass left a trained parameter out"
                    parameter.grad = torch.zeros_like(parameter)
        self._engine.step()
        norm = self._engine.get_global_grad_norm()
        return float(norm) if norm is not None else float("nan")

    def save(self, folder: Path, client: Mapping[str, Any]) -> None:
        """This worker's part of the state. Every worker calls it, with a folder of its own."""
        with _quiet_stdout():
            self._engine.save_checkpoint(
                str(folder), tag=_TAG, client_state=dict(client), exclude_frozen_parameters=True
            )

    def load(self, folder: Path) -> dict[str, Any]:
        """State that ``save`` wrote, all workers' parts in one folder; frozen weights stay as they are.

        It may be of another number of workers. Every worker calls it.
        """
        if saved_workers(folder / _TAG) == self._engine.dp_world_size:
            path, client = self._engine.load_checkpoint(str(folder), tag=_TAG, load_module_strict=False)
        else:
            with universal(folder / _TAG) as whole:
                path, client = self._load_universal(whole)
        assert path is not None, f"{folder} holds no state"
        return client

    def _load_universal(self, folder: Path) -> tuple[str | None, dict[str, Any]]:
        """A state that ``stage.other_workers.universal`` has converted."""
        optimizer = self._engine.optimizer
        groups = optimizer.optimizer.param_groups
        settings = [{k: v for k, v in group.items() if k != "params"} for group in groups]
        self._engine._config.load_universal_checkpoint = True
        try:
            loaded = self._engine.load_checkpoint(
                str(folder.parent), tag=folder.name, load_module_strict=False
            )
        finally:
            self._engine._config.load_universal_checkpoint = False
        # Under ZeRO-3 DeepSpeed 0.19 gives all groups the settings of the first one, and one tensor as the
        # count of steps, which each of them then increments.
        for group, own in zip(groups, settings, strict=True):
            group |= own
        for state in optimizer.optimizer.state.values():
            if torch.is_tensor(state.get("step")):
                state["step"] = state["step"].clone()
        return loaded

    def _share(self, step: int) -> float:
        o = self._stage.optimizer
        return lr_share(step, self._total, warmup_share=o.warmup_share, final_share=o.final_share)


@contextmanager
def _quiet_stdout() -> Iterator[None]:
    """DeepSpeed prints a line per saved file."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(level)
