"""AdamW, with Muon for a language model's matrices, and the product's schedule, for the trainings here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

from training.loop.optim import lr_share

_BETAS: Final = (0.9, 0.99)
_MUON_MOMENTUM: Final = 0.95
_WARMUP, _FINAL, _CLIP = 0.05, 0.05, 1.0


class Optimizer:
    """Steps over all parameters, with warm-up and a cosine over ``steps``.

    ``matrices`` are optimised by Muon (https://kellerjordan.github.io/posts/muon/) with its own rate, which
    takes a small language model a few times fewer steps; the others by AdamW.
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        *,
        lr: float,
        steps: int,
        matrices: Sequence[nn.Parameter] = (),
        matrix_lr: float = 0.0,
    ) -> None:
        self._parameters, self._steps, self._step = [*parameters, *matrices], steps, 0
        self._parts: list[tuple[torch.optim.Optimizer, float]] = [
            (torch.optim.AdamW(parameters, lr=lr, betas=_BETAS, weight_decay=0.0), lr)
        ]
        if matrices:
            muon = torch.optim.Muon(
                matrices,
                lr=matrix_lr,
                momentum=_MUON_MOMENTUM,
                weight_decay=0.0,
                adjust_lr_fn="match_rms_adamw",
            )
            self._parts.append((muon, matrix_lr))

    def step(self, loss: Tensor) -> None:
        """One update along the loss's gradient, whose norm is cut at 1."""
        share = lr_share(self._step, self._steps, warmup_share=_WARMUP, final_share=_FINAL)
        loss.backward()
        nn.utils.clip_grad_norm_(self._parameters, _CLIP)
        for part, lr in self._parts:
            for group in part.param_groups:
                group["lr"] = lr * share
            part.step()
            part.zero_grad()
        self._step += 1
