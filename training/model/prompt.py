"""The one prompt codec: turns of a conversation <-> token ids. Training and inference share it.

Layout (ChatML, as in Qwen2's template)::

    <|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n
    <|im_start|>user\\n[video]\\nquestion with <region><|im_end|>\\n
    <|im_start|>assistant\\nanswer with [SEG] and <TEMP-012><|im_end|>\\n

The special tokens are found and looked up here, never by the tokenizer: fast and slow tokenizers split and
decode them differently, which once deleted every time token of an answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from pipeline.records.sample import Role, Turn
from training.model.tokenizer import CONTROL_TOKENS, IM_END, IM_START, SYSTEM
from training.model.tokens import ADDED_TOKENS, IGNORE, REGION, SEG, VIDEO_PLACEHOLDER, TokenIds

_ADDED: Final = re.compile("(" + "|".join(re.escape(t) for t in ADDED_TOKENS) + ")")
UNKNOWN: Final = "\ufffd"
"""The text that an id without text (a padding row of the embedding) is decoded to."""


class Refusal(StrEnum):
    """Why a conversation cannot be a training sample."""

    TOO_LONG_QUESTION = "no answer is left within max_text_tokens"
    CUTS_SEG = "max_text_tokens would cut a [SEG]"
    CUTS_REGION = "max_text_tokens would cut a <region>"
    REGION_COUNT = "the text and the record differ in the number of regions"
    SEG_COUNT = "the answers and the record differ in the number of masks"
    REGION_IN_ANSWER = "an answer holds a <region>"
    CONTROL_TOKEN = "the text holds a control token of the chat format"
    TURNS = "turns must alternate, the user first, and end with the assistant"


class RefusedSample(ValueError):
    """A sample that cannot be used; counted by ``reason``."""

    def __init__(self, reason: Refusal, detail: str = "") -> None:
        self.reason = reason
        super().__init__(f"{reason}{': ' + detail if detail else ''}")


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodedConversation:
    """One conversation as ids. ``labels`` is the id where a loss is taken and IGNORE elsewhere."""

    input_ids: list[int]
    labels: list[int]
    truncated: int = 0  # tokens cut off the end of the last answers


class PromptCodec:
    """Turns <-> ids for one tokenizer (any of transformers', fast or slow)."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.ids = TokenIds.of(tokenizer)
        special = (*CONTROL_TOKENS, *ADDED_TOKENS)
        self._id = {t: int(tokenizer.convert_tokens_to_ids(t)) for t in special}
        self._added = {self._id[t]: t for t in ADDED_TOKENS}
        self._control = {self._id[t] for t in CONTROL_TOKENS}
        self._cache: dict[str, list[int]] = {}

    def encode_training(
        self, turns: Sequence[Turn], *, max_text_tokens: int, regions: int, masks: int, video: bool = True
    ) -> EncodedConversation:
        """Ids and labels of a whole conversation; the loss is on every answer and its <|im_end|>.

        ``video``: whether there is one; its placeholder is then in the first question.

        ``max_text_tokens`` counts ids before the video is spliced in. A longer conversation is truncated,
        unless that would remove a [SEG], a <region> or all of the answers.

        Raises RefusedSample with one of the Refusal reasons.
        """
        self._check(turns, regions=regions, masks=masks)
        if turns[-1].role is not Role.ASSISTANT:
            raise RefusedSample(Refusal.TURNS)
        ids, labels = self._encode(turns, video)
        cut = ids[max_text_tokens:]
        if self._id[SEG] in cut:
            raise RefusedSample(Refusal.CUTS_SEG, f"{len(ids)} tokens, limit {max_text_tokens}")
        if self._id[REGION] in cut:
            raise RefusedSample(Refusal.CUTS_REGION, f"{len(ids)} tokens, limit {max_text_tokens}")
        ids, labels = ids[:max_text_tokens], labels[:max_text_tokens]
        if all(label == IGNORE for label in labels):
            raise RefusedSample(Refusal.TOO_LONG_QUESTION, f"limit {max_text_tokens}")
        return EncodedConversation(input_ids=ids, labels=labels, truncated=len(cut))

    def encode_prompt(self, turns: Sequence[Turn], *, regions: int) -> list[int]:
        """Ids up to the point where the model has to answer the last user turn. Never truncated.

        Raises RefusedSample if the number of <region> is not ``regions`` or the last turn is an answer.
        """
        self._check(turns, regions=regions, masks=None)
        if turns[-1].role is not Role.USER:
            raise RefusedSample(Refusal.TURNS, "a prompt ends with the user's turn")
        ids, _ = self._encode(turns, video=True)
        return [*ids, self._id[IM_START], *self._text("assistant\n")]

    def decode(self, ids: Iterable[int]) -> str:
        """Text of generated ids. Time tokens and [SEG] stay, control tokens go, with any tokenizer."""
        parts: list[str] = []
        run: list[int] = []

        def flush() -> None:
            if run:
                parts.append(
                    self.tokenizer.decode(run, skip_special_tokens=False, clean_up_tokenization_spaces=False)
                )
                run.clear()

        for id_ in map(int, ids):
            if id_ in self._added or id_ in self._control:
                flush()
                parts.append(self._added.get(id_, ""))
            elif 0 <= id_ < len(self.tokenizer):
                run.append(id_)
            else:
                flush()
                parts.append(UNKNOWN)
        flush()
        return "".join(parts)

    def _check(self, turns: Sequence[Turn], *, regions: int, masks: int | None) -> None:
        roles = [t.role for t in turns]
        if not roles or roles != [Role.USER if i % 2 == 0 else Role.ASSISTANT for i in range(len(roles))]:
            raise RefusedSample(Refusal.TURNS)
        questions = "".join(t.text for t in turns if t.role is Role.USER)
        answers = "".join(t.text for t in turns if t.role is Role.ASSISTANT)
        for token in CONTROL_TOKENS:
            if token in questions or token in answers:
                raise RefusedSample(Refusal.CONTROL_TOKEN, token)
        if REGION in answers:
            raise RefusedSample(Refusal.REGION_IN_ANSWER)
        if questions.count(REGION) != regions:
            raise RefusedSample(
                Refusal.REGION_COUNT, f"{questions.count(REGION)} in the text, {regions} recorded"
            )
        if masks is not None and answers.count(SEG) != masks:
            raise RefusedSample(Refusal.SEG_COUNT, f"{answers.count(SEG)} in the answers, {masks} recorded")

    def _encode(self, turns: Sequence[Turn], video: bool) -> tuple[list[int], list[int]]:
        start, end, newline = [self._id[IM_START]], [self._id[IM_END]], self._text("\n")
        ids = [*start, *self._text("system\n" + SYSTEM), *end, *newline]
        labels = [IGNORE] * len(ids)
        for index, turn in enumerate(turns):
            if turn.role is Role.ASSISTANT:
                question, answer = [*start, *self._text("assistant\n")], [*self._text(turn.text), *end]
            elif index == 0 and video:
                head = [*start, *self._text("user\n"), VIDEO_PLACEHOLDER]
                question, answer = [*head, *self._text("\n" + turn.text), *end], []
            else:
                question, answer = [*start, *self._text("user\n" + turn.text), *end], []
            ids += [*question, *answer, *newline]
            labels += [*[IGNORE] * len(question), *answer, *[IGNORE] * len(newline)]
        return ids, labels

    def _text(self, text: str) -> list[int]:
        ids: list[int] = []
        for piece in _ADDED.split(text):
            if piece in self._id:
                ids.append(self._id[piece])
            elif piece:
                ids += self._plain(piece)
        return ids

    def _plain(self, piece: str) -> list[int]:
        known = self._cache.get(piece)
        if known is None:
            known = list(self.tokenizer.encode(piece, add_special_tokens=False))
            if len(self._cache) < 10_000 and len(piece) < 64:
                self._cache[piece] = known
        return known
