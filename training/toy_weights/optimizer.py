"""AdamW with the product's schedule, for the short trainings of this package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

from training.loop.optim import lr_share

_BETAS: Final = (0.9, 0.99)
_WARMUP, _FINAL, _CLIP = 0.05, 0.05, 1.0


class Optimizer:
    """Steps over ``parameters``, with warm-up and a cosine over ``steps``."""

    def __init__(self, parameters: Sequence[nn.Parameter], *, lr: float, steps: int) -> None:
        self._parameters, self._lr, self._steps, self._step = list(parameters), lr, steps, 0
        self._adam = torch.optim.AdamW(self._parameters, lr=lr, betas=_BETAS, weight_decay=0.0)

    def step(self, loss: Tensor) -> None:
        """One update along the loss's gradient, whose norm is cut at 1."""
        share = lr_share(self._step, self._steps, warmup_share=_WARMUP, final_share=_FINAL)
        for group in self._adam.param_groups:
            group["lr"] = self._lr * share
        loss.backward()
        nn.utils.clip_grad_norm_(self._parameters, _CLIP)
        self._adam.step()
        self._adam.zero_grad()
        self._step += 1
