"""Resizing the embedding table of loaded weights to a tokenizer with more tokens.

A stored table has a row for every token of its own tokenizer, and often unused rows after them (Qwen2-7B:
about 400). An added token gets one of these or a row past the end; either way the row is untrained, so it is
initialised anew.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.draw import draw
from pipeline.errors import UserError
from pipeline.plan.plan import RowStart

_CHUNK_ROWS = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class NewRows:
    """How the rows of tokens that the loaded weights do not know are initialised."""

    tokens: frozenset[int] = frozenset()
    """ids of tokens that the weights' own tokenizer lacks; ids past the stored table need not be listed"""
    start: RowStart = RowStart.MEAN
    std: float = 0.02
    """of ``RowStart.RANDOM``; the ``initializer_range`` of Qwen2"""
    seed: int = 0

    def fill(self, target_VD: Tensor, stored_WD: Tensor, name: str) -> RowCount:
        """Write every row of ``target``: the stored one where the token is old. ``name`` seeds random rows.

        Raises UserError if there is no old row.
        """
        shared = min(len(target_VD), len(stored_WD))
        new = sorted({i for i in self.tokens if i < len(target_VD)} | set(range(shared, len(target_VD))))
        old = torch.ones(shared, dtype=torch.bool)
        old[[i for i in new if i < shared]] = False
        if not old.any():
            raise UserError(
                name,
                "has no row of a token that these weights know, so there is nothing to initialise from.",
                "Check that model.tokenizer.path is the tokenizer of these weights.",
            )
        target_VD[:shared].copy_(stored_WD[:shared])
        count = RowCount(new=len(new), old=int(old.sum()), dropped=len(stored_WD) - shared)
        if not new or target_VD.is_meta:
            return count
        if self.start is RowStart.MEAN:
            rows = _mean(stored_WD, old).expand(len(new), -1)
        else:
            generator = torch.Generator().manual_seed(draw("new rows", self.seed, name))
            rows = torch.randn(len(new), target_VD.shape[1], generator=generator) * self.std
        target_VD[new] = rows.to(target_VD.dtype)
        return count


@dataclass(frozen=True, kw_only=True, slots=True)
class RowCount:
    """Rows of an embedding table, by where they come from."""

    new: int
    old: int
    dropped: int
    """stored rows past the model's vocabulary"""


def _mean(stored_WD: Tensor, old_W: Tensor) -> Tensor:
    """[D]: mean of the old rows, summed in double precision, in chunks to bound the memory."""
    total = torch.zeros(stored_WD.shape[1], dtype=torch.float64)
    for rows, chosen in zip(
        stored_WD[: len(old_W)].split(_CHUNK_ROWS), old_W.split(_CHUNK_ROWS), strict=True
    ):
        total += rows[chosen].sum(0, dtype=torch.float64)
    return total / old_W.sum()
