"""Qwen2, fed with embeddings of text and visual tokens."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import transformers
from torch import Tensor, nn

from pipeline.plan.model import LanguageConfig
from pipeline.plan.training import LoraConfig
from training.model.attention import EAGER, SDPA
from training.model.config import qwen2_config
from training.model.packing import VARLEN_SDPA, PackedSequences, pad, real


class Language(nn.Module):
    """Qwen2 causal language model that is fed embeddings."""

    def __init__(self, config: LanguageConfig, attention: str) -> None:
        super().__init__()
        self.lm = transformers.Qwen2ForCausalLM._from_config(
            qwen2_config(config), attn_implementation=_registered_name(attention)
        )
        self.packing = False
        """Whether a batch runs as one packed row without padding; the results are the same."""
        self.adapters: LoraConfig | None = None
        """Set by ``training.model.lora``, which puts adapters into the linear layers."""

    def set_attention(self, attention: str) -> None:
        """Changes the attention implementation, by transformers' name for it."""
        self.lm.set_attn_implementation(_registered_name(attention))

    def trained_parameters(self) -> list[nn.Parameter]:
        """All of them, or the adapters and the embeddings that are trained with them."""
        if self.adapters is None:
            return list(self.parameters())
        ends = [self.lm.get_input_embeddings(), self.lm.lm_head] if self.adapters.train_embeddings else []
        embeddings = {id(p): p for module in ends for p in module.parameters()}  # one entry if they are tied
        return [p for name, p in self.named_parameters() if ".lora_" in name] + list(embeddings.values())

    def embed(self, ids: Tensor) -> Tensor:
        """Embeddings of token ids; placeholders (negative ids) get that of token 0, to be replaced."""
        return self.lm.get_input_embeddings()(ids.clamp(min=0))

    def hidden(self, packed: PackedSequences) -> Tensor:
        """Last hidden states [S, D], after the final norm; each sequence attends to itself alone."""
        if self.packing:
            # Eager attention separates the sequences by a mask that transformers derives from the positions.
            attention = self.lm.config._attn_implementation
            plain = attention == EAGER
            output = self.lm.model(
                inputs_embeds=packed.embeds[None],
                attention_mask=None if plain else {"full_attention": None},
                position_ids=packed.positions[None],
                use_cache=False,
                **({} if plain else packed.attention_kwargs(attention)),
            )
            return output.last_hidden_state[0]
        mask = real(packed.lengths, packed.labels.device)
        output = self.lm.model(
            inputs_embeds=pad(packed.embeds, packed.lengths),
            # A batch without padding needs no mask: the model is causal by itself.
            attention_mask=None if bool(mask.all()) else mask,
            position_ids=pad(packed.positions, packed.lengths),
            use_cache=False,
        )
        return output.last_hidden_state[mask]

    def logits(self, hidden: Tensor) -> Tensor:
        """[..., V]"""
        return self.lm.lm_head(hidden)

    def hidden_and_logits(self, packed: PackedSequences, at_S: Tensor) -> tuple[Tensor, Tensor]:
        """``hidden`` of all positions [S, D], and ``logits`` [A, V] of those where ``at_S`` is true."""
        hidden = self.hidden(packed)
        return hidden, self.logits(hidden[at_S])

    @torch.no_grad()
    def greedy(
        self, prompts: PackedSequences, eos: Sequence[int], max_new_tokens: int, marker: int
    ) -> tuple[list[Tensor], list[Tensor]]:
        """New token ids [n] of each sample, including the end-of-sequence token, and the states at markers.

        The second list holds, per sample, for each ``marker`` token at position p of its answer the states
        [2, D] that predict the tokens at p - 1 and p (at p = 0: zeros, then the state). They are taken when
        the token is chosen, so nothing runs twice and no other state is kept.
        """
        lengths = prompts.lengths
        stops = torch.tensor(list(eos), device=prompts.embeds.device)
        mask = real(lengths, stops.device, left=True).long()
        positions = pad(prompts.positions, lengths, left=True)
        cache = transformers.DynamicCache(config=self.lm.config)
        inputs, new_tokens = pad(prompts.embeds, lengths, left=True), []
        previous = inputs.new_zeros(len(lengths), inputs.shape[-1])
        at_markers: list[list[Tensor]] = [[] for _ in lengths]
        done = torch.zeros(len(lengths), dtype=torch.bool, device=stops.device)
        for _ in range(max_new_tokens):
            output = self.lm.model(
                inputs_embeds=inputs,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
            )
            state = output.last_hidden_state[:, -1]
            token = self.logits(state).argmax(-1)
            new_tokens.append(token)
            for i in ((token == marker) & ~done).nonzero().flatten().tolist():
                at_markers[i].append(torch.stack([previous[i].to(state.dtype), state[i]]))
            previous = state
            done = done | torch.isin(token, stops)
            if bool(done.all()):
                break
            inputs = self.embed(token)[:, None]
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
            positions = positions[:, -1:] + 1
        none = previous.new_zeros(0, 2, previous.shape[-1])
        states = [torch.stack(pairs) if pairs else none for pairs in at_markers]
        if not new_tokens:
            return [stops.new_empty(0) for _ in lengths], states
        return [_until_stop(row, stops) for row in torch.stack(new_tokens, 1)], states


def _registered_name(attention: str) -> str:
    """The language model's implementation for transformers' name: SDPA runs once per packed sequence."""
    return VARLEN_SDPA if attention == SDPA else attention


def _until_stop(tokens: Tensor, stops: Tensor) -> Tensor:
    ends = torch.isin(tokens, stops).nonzero()
    return tokens[: int(ends[0]) + 1] if len(ends) else tokens
