"""The sequences of a batch: visual tokens spliced in, concatenated without padding, and kept apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

import torch
import transformers
from torch import Tensor
from torch.nn import functional as F
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from training.model.tokens import IGNORE, VIDEO_PLACEHOLDER

VARLEN_SDPA: Final = "ufvideo_varlen_sdpa"
"""Name of ``varlen_sdpa`` among transformers' attention implementations."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PackedRow:
    """One sample's sequence after splicing."""

    embeds: Tensor
    """[L, D]"""
    labels: Tensor
    """[L], -100 at visual tokens"""


def splice(
    ids: Tensor,
    embeds_LD: Tensor,
    labels: Tensor,
    video_VD: Tensor | None,
    regions: Sequence[Tensor],
    region_id: int,
) -> PackedRow:
    """Replaces the video placeholder with the video's tokens, the k-th region token with the k-th region's.

    Raises ValueError unless there is one placeholder and, after it, as many region tokens as regions. A
    sample of text alone has no video, no placeholder and no regions.
    """
    where = (ids == VIDEO_PLACEHOLDER).nonzero().flatten().tolist()
    if bool(((ids < 0) & (ids != VIDEO_PLACEHOLDER)).any()):
        raise ValueError(
            f"a sample with ids {ids[ids < 0].tolist()}; the only negative id allowed is {VIDEO_PLACEHOLDER}"
        )
    if len(where) != (video_VD is not None):
        raise ValueError(
            f"a sample with {len(where)} video placeholders ({VIDEO_PLACEHOLDER}); it needs exactly one,"
            f" and none without a video"
        )
    spots = (ids == region_id).nonzero().flatten().tolist()
    if len(spots) != len(regions) or (spots and not (where and where[0] < spots[0])):
        raise ValueError(
            f"a sample with {len(regions)} regions and {len(spots)} region tokens, at {spots}; the text needs"
            f" one <region> for each region, all after the video (at {where})"
        )
    visual = ([] if video_VD is None else [video_VD]) + list(regions)
    pieces, kept, start = [], [], 0
    for spot, tokens in zip(where + spots, visual, strict=True):
        pieces += [embeds_LD[start:spot], tokens.to(embeds_LD.dtype)]
        kept += [labels[start:spot], labels.new_full((len(tokens),), IGNORE)]
        start = spot + 1
    return PackedRow(
        embeds=torch.cat([*pieces, embeds_LD[start:]]), labels=torch.cat([*kept, labels[start:]])
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class PackedSequences:
    """B sequences of ``lengths`` tokens, S in all."""

    embeds: Tensor
    """[S, D]"""
    labels: Tensor
    """[S]"""
    lengths: tuple[int, ...]

    @classmethod
    def of(cls, rows: Sequence[PackedRow]) -> PackedSequences:
        """The rows in their order."""
        return cls(
            embeds=torch.cat([row.embeds for row in rows]),
            labels=torch.cat([row.labels for row in rows]),
            lengths=tuple(len(row.labels) for row in rows),
        )

    @property
    def next_labels(self) -> Tensor:
        """[S]: the label of the token that each position predicts; -100 at the end of a sequence."""
        following = torch.cat([self.labels[1:], self.labels.new_full((1,), IGNORE)])
        ends = torch.tensor(list(accumulate(self.lengths)), device=following.device) - 1
        return following.index_fill(0, ends, IGNORE)

    @property
    def positions(self) -> Tensor:
        """[S]: 0, 1, … in each sequence."""
        return torch.cat([torch.arange(n, device=self.labels.device) for n in self.lengths])

    def attention_kwargs(self, attention: str) -> dict[str, Any]:
        """Cumulative sequence lengths, as transformers passes them to its attention function of that name.

        On the device that reads them: ``varlen_sdpa`` reads them on the CPU, and would otherwise wait for the
        GPU in every layer.
        """
        where = "cpu" if attention == VARLEN_SDPA else self.labels.device
        ends = torch.tensor([0, *accumulate(self.lengths)], dtype=torch.int32, device=where)
        longest = max(self.lengths)
        return {
            "cu_seq_lens_q": ends,
            "cu_seq_lens_k": ends,
            "max_length_q": longest,
            "max_length_k": longest,
        }


def pad(x: Tensor, lengths: Sequence[int], value: float = 0.0, left: bool = False) -> Tensor:
    """[S, …] of packed sequences as [B, L, …], padded with ``value``."""
    side = "left" if left else "right"
    return torch.nn.utils.rnn.pad_sequence(
        list(x.split(list(lengths))), batch_first=True, padding_value=value, padding_side=side
    )


def real(lengths: Sequence[int], device: torch.device, left: bool = False) -> Tensor:
    """[B, L] bool: True at the tokens of a padded batch, False at its padding."""
    return pad(torch.ones(sum(lengths), dtype=torch.bool, device=device), lengths, False, left)


def varlen_sdpa(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    cu_seq_lens_q: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Causal attention [1, H, S, d] -> [1, S, H, d] within each of several packed sequences.

    Used where flash attention cannot run: one call of PyTorch's kernel per sequence, so that neither an S x S
    mask nor padding is needed. Without ``cu_seq_lens_q`` it is transformers' own SDPA.
    """
    if cu_seq_lens_q is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    lengths = cu_seq_lens_q.diff().tolist()
    outputs = [
        F.scaled_dot_product_attention(
            q, k, v, is_causal=True, scale=kwargs.get("scaling"), enable_gqa=key.shape[1] != query.shape[1]
        )
        for q, k, v in zip(*(x.split(lengths, 2) for x in (query, key, value)), strict=True)
    ]
    return torch.cat(outputs, 2).transpose(1, 2).contiguous(), None


transformers.AttentionInterface.register(VARLEN_SDPA, varlen_sdpa)
transformers.AttentionMaskInterface.register(VARLEN_SDPA, sdpa_mask)
