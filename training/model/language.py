"""Qwen2, and the splicing of visual tokens into its input sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import transformers
from torch import Tensor, nn

from pipeline.config.model import LanguageConfig
from training.model import config as configs
from training.model.tokens import IGNORE, VIDEO_PLACEHOLDER


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One sample's sequence after splicing, not padded."""

    embeds: Tensor
    """[L, D]"""
    labels: Tensor
    """[L], -100 at visual tokens"""


class Language(nn.Module):
    """Qwen2 causal language model that is fed embeddings."""

    def __init__(self, config: LanguageConfig, attention: str) -> None:
        super().__init__()
        self.lm = transformers.Qwen2ForCausalLM._from_config(
            configs.qwen2(config), attn_implementation=attention
        )

    def embed(self, ids: Tensor) -> Tensor:
        """Embeddings of token ids; placeholders (negative ids) get some token's, to be replaced."""
        return self.lm.get_input_embeddings()(ids.clamp(min=0))

    def hidden(self, embeds_BLD: Tensor, mask_BL: Tensor) -> Tensor:
        """Last hidden states [B, L, D], after the final norm. Positions count from the first real token."""
        positions = (mask_BL.long().cumsum(1) - 1).clamp(min=0)
        # A batch without padding needs no mask, and is causal by itself.
        mask = None if bool(mask_BL.all()) else mask_BL
        output = self.lm.model(
            inputs_embeds=embeds_BLD, attention_mask=mask, position_ids=positions, use_cache=False
        )
        return output.last_hidden_state

    def logits(self, hidden: Tensor) -> Tensor:
        """[..., V]"""
        return self.lm.lm_head(hidden)

    @torch.no_grad()
    def greedy(
        self, embeds_BLD: Tensor, mask_BL: Tensor, eos: Sequence[int], max_new_tokens: int
    ) -> list[Tensor]:
        """New token ids of each sample, its end of sequence included. Padding must stand on the LEFT."""
        stops = torch.tensor(list(eos), device=embeds_BLD.device)
        mask = mask_BL.long()
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        cache = transformers.DynamicCache(config=self.lm.config)
        inputs, chosen = embeds_BLD, []
        done = torch.zeros(len(mask), dtype=torch.bool, device=mask.device)
        for _ in range(max_new_tokens):
            output = self.lm.model(
                inputs_embeds=inputs,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
            )
            token = self.logits(output.last_hidden_state[:, -1]).argmax(-1)
            chosen.append(token)
            done = done | torch.isin(token, stops)
            if bool(done.all()):
                break
            inputs = self.embed(token)[:, None]
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
            positions = positions[:, -1:] + 1
        if not chosen:
            return [stops.new_empty(0) for _ in range(len(mask))]
        return [_until_stop(row, stops) for row in torch.stack(chosen, 1)]


def _until_stop(tokens: Tensor, stops: Tensor) -> Tensor:
    ends = torch.isin(tokens, stops).nonzero()
    return tokens[: int(ends[0]) + 1] if len(ends) else tokens


def splice(
    ids: Tensor,
    embeds_LD: Tensor,
    labels: Tensor,
    video_VD: Tensor,
    regions: Sequence[Tensor],
    region_id: int,
) -> Row:
    """Replaces the video placeholder by the video's tokens and the k-th region token by the k-th region's.

    Raises ValueError unless there is one placeholder and, after it, as many region tokens as regions.
    """
    where = (ids == VIDEO_PLACEHOLDER).nonzero().flatten().tolist()
    if len(where) != 1:
        raise ValueError(
            f"a sample with {len(where)} video placeholders ({VIDEO_PLACEHOLDER}); it needs exactly one"
        )
    spots = (ids == region_id).nonzero().flatten().tolist()
    if len(spots) != len(regions) or (spots and spots[0] < where[0]):
        raise ValueError(
            f"a sample with {len(regions)} regions and {len(spots)} region tokens, at {spots}; the text needs"
            f" one <region> for each region, all after the video (at {where[0]})"
        )
    pieces, kept, start = [], [], 0
    for spot, tokens in zip(where + spots, [video_VD, *regions], strict=True):
        pieces += [embeds_LD[start:spot], tokens.to(embeds_LD.dtype)]
        kept += [labels[start:spot], labels.new_full((len(tokens),), IGNORE)]
        start = spot + 1
    return Row(embeds=torch.cat([*pieces, embeds_LD[start:]]), labels=torch.cat([*kept, labels[start:]]))


def pad_rows(rows: Sequence[Row], left: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings [B, L, D] (zeros where padded), labels [B, L] (-100) and mask [B, L] bool of some rows."""
    longest = max(len(row.labels) for row in rows)

    def pad(x: Tensor, value: float) -> Tensor:
        filler = x.new_full((longest - len(x), *x.shape[1:]), value)
        return torch.cat([filler, x] if left else [x, filler])

    embeds = torch.stack([pad(row.embeds, 0.0) for row in rows])
    labels = torch.stack([pad(row.labels, IGNORE) for row in rows])
    mask = torch.stack([pad(torch.ones_like(row.labels, dtype=torch.bool), False) for row in rows])
    return embeds, labels, mask
