"""The tokens that UFVideo adds to a language model, and the ids that do not stand for text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pipeline.errors import UserError
from pipeline.times import temporal

VIDEO_PLACEHOLDER: Final = -201
"""Placeholder in ``input_ids`` that the video's tokens replace."""

IGNORE: Final = -100
"""Label of a position without a loss."""

REGION: Final = "<region>"
SEG: Final = "[SEG]"

ADDED_TOKENS: Final[tuple[str, ...]] = (REGION, *temporal.TIME_TOKENS, SEG)
"""The 102 added tokens, in the order of the published model's vocabulary."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenIds:
    """Ids that the model needs to know."""

    region: int
    seg: int
    eos: tuple[int, ...]
    pad: int

    @classmethod
    def of(cls, tokenizer: Any) -> TokenIds:
        """Ids in a transformers tokenizer. Raises UserError if an added token is not a single token there."""
        missing = [
            t for t in ADDED_TOKENS if tokenizer.encode(t, add_special_tokens=False) != _known(tokenizer, t)
        ]
        if missing:
            raise UserError(
                "tokenizer",
                f"splits {len(missing)} of {len(ADDED_TOKENS)} added tokens, such as {missing[0]}.",
                "Add training.model.tokens.ADDED_TOKENS with tokenizer.add_tokens(..., special_tokens=True).",
            )
        eos = tokenizer.eos_token_id
        pad = tokenizer.pad_token_id
        if eos is None:
            raise UserError("tokenizer", "has no end-of-sequence token.", "Set tokenizer.eos_token.")
        region, seg = (tokenizer.convert_tokens_to_ids(t) for t in (REGION, SEG))
        return cls(region=region, seg=seg, eos=(eos,), pad=eos if pad is None else pad)


def _known(tokenizer: Any, text: str) -> list[int]:
    id_ = tokenizer.convert_tokens_to_ids(text)
    unknown = id_ is None or id_ == getattr(tokenizer, "unk_token_id", None)
    return [] if unknown else [id_]
