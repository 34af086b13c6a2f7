"""Losses on what a toy model's inner states tell and look at, which are thrown away after its training.

Without them it chooses at random for many times as many steps: the letter of an answer alone teaches little
about the steps that lead to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.model.processor import Example
from training.model.tokens import IGNORE, REGION, VIDEO_PLACEHOLDER
from training.model.ufvideo import UFVideo
from training.toy_weights.sentences import COLOURS, LETTERS, SHAPES, Dialogue

_LETTER_LAYER, _WORD_LAYER, _EVIDENCE_LAYER, _ANSWER_LAYER, _LOOKUP_LAYER = 0, 1, 2, 3, 4
_SEEN_WEIGHT = 4.0
_BLANK, _NEWLINE = "\u0120", "\u010a"  # as a byte-level tokenizer spells them
_ENDS: Final = (_NEWLINE, ".", f"{_BLANK}(", f"{_BLANK}Answer", "<|im_end|>")  # what follows an option


@dataclass(frozen=True, slots=True)
class Taught:
    """A dialogue, as the model takes it; and of a slide show [video tokens, kinds] bool, what they show."""

    example: Example
    dialogue: Dialogue
    seen: Tensor | None = None


class Probes(nn.Module):
    """Linear layers on states of a model, and their losses, and those of where four of its heads look.

    From the places before an answer and, where it starts with a bracket, behind that:

    - word: in the second layer, at the word of the question by which a thing is looked for;
    - evidence: in the third, at what shows or names this thing;
    - answer: after the fourth, the state has the word that the answer is about;
    - lookup: in the fifth, from the place before a letter, at the right option.

    And of other places:

    - letter: after the first layer, the word that tells an option from the others has its letter;
    - seen: a token of the connector has the kinds of shapes that its part of a slide shows.
    """

    def __init__(self, model: UFVideo, tokenizer: Any) -> None:
        super().__init__()
        width, known = model.config.language.hidden_size, tokenizer.convert_tokens_to_ids
        self.letter = nn.Linear(width, len(LETTERS))
        self.answer = nn.Linear(width, len(tokenizer))
        self.seen = nn.Linear(width, len(COLOURS) * len(SHAPES))
        self.tokenizer = tokenizer
        self.letters = {known(letter): place for place, letter in enumerate(LETTERS)}
        self.marks, self.ends = {known("."), known(")")}, {known(end) for end in _ENDS}
        self.bracket, self.question_mark = known("("), known("?")
        self.colours = {self._token(colour) for colour in COLOURS}
        self._states: dict[str, Tensor] = {}
        layers = model.language.lm.model.layers
        modules = {
            "letter": layers[_LETTER_LAYER],
            "answer": layers[_ANSWER_LAYER],
            "seen": model.connector,
        }
        looking = {"word": _WORD_LAYER, "evidence": _EVIDENCE_LAYER, "lookup": _LOOKUP_LAYER}
        self._attention = {name: layers[layer].self_attn for name, layer in looking.items()}
        self._hooks = [
            module.register_forward_hook(lambda _, __, out, name=name: self._states.__setitem__(name, out))
            for name, module in modules.items()
        ] + [
            module.register_forward_pre_hook(
                lambda _, __, given, name=name: self._keep(name, given), with_kwargs=True
            )
            for name, module in self._attention.items()
        ]

    def _keep(self, name: str, given: dict[str, Any]) -> None:
        self._states[name], self._rotary = given["hidden_states"], given["position_embeddings"]

    def _token(self, word: str) -> int:
        text = word if word == REGION else f" {word}"
        return int(self.tokenizer.encode(text, add_special_tokens=False)[0])

    def options(self, example: Example) -> list[tuple[int, int]]:
        """Of each option in a question: the place of the word that tells it from others, and its letter."""
        ids, labels = example.input_ids, example.labels
        assert labels is not None
        found = []
        for i, token in enumerate(ids):
            if token in self.letters and labels[i] == IGNORE and ids[i + 1] in self.marks:
                end = next(k for k in range(i + 2, len(ids)) if ids[k] in self.ends)
                place = next((k for k in range(i + 2, end) if ids[k] in self.colours), end - 1)
                found.append((place, self.letters[token]))
        return found

    def lookups(self, example: Example) -> list[tuple[int, int]]:
        """The place before each letter of an answer, and that of the option which it names."""
        ids, labels = example.input_ids, example.labels
        assert labels is not None
        options, found = self.options(example), []
        for i, token in enumerate(labels):
            if token in self.letters and ids[i + 1] in self.marks:
                listed = [place for place, letter in options if letter == self.letters[token] and place < i]
                found.append((i - 1, listed[-1]))
        return found

    def answers(self, example: Example) -> list[tuple[int, list[int]]]:
        """Of each answer: the place of the question mark before it, and those from which it starts."""
        ids, labels = example.input_ids, example.labels
        assert labels is not None
        starts = [i for i in range(1, len(ids)) if labels[i] != IGNORE and labels[i - 1] == IGNORE]
        found = []
        for start in starts:
            mark = next((i for i in range(start, 0, -1) if ids[i] == self.question_mark), start - 1)
            found.append((mark, [start - 1, *([start] if ids[start] == self.bracket else [])]))
        return found

    def _word(self, example: Example, mark: int, word: str) -> int:
        token = self._token(word)
        return next(i for i in range(mark, 0, -1) if example.input_ids[i] == token)

    def _named(self, example: Example, subject: str, before: int) -> list[int]:
        """Places of a thing's name in the text that opens an example: those of its last word."""
        colour, shape = map(self._token, subject.split())
        ids = example.input_ids
        return [i for i in range(1, before) if ids[i] == shape and ids[i - 1] == colour]

    def _loss_of_looking(self, name: str, found: list[tuple[int, int, list[int]]]) -> Tensor:
        """How little of the first head's attention, from places of rows, goes to any of the right places."""
        attention, states = self._attention[name], self._states[name]
        row = torch.tensor([row for row, _, _ in found])
        place = torch.tensor([place for _, place, _ in found])
        size = attention.head_dim
        keys = F.linear(states[row], attention.k_proj.weight[:size], attention.k_proj.bias[:size])
        queries = F.linear(states[row, place], attention.q_proj.weight[:size], attention.q_proj.bias[:size])
        cos, sin = (table[0] for table in self._rotary)
        turned = _turned(queries, cos[place], sin[place])
        logits = torch.einsum("ad,ald->al", turned, _turned(keys, cos, sin)) * attention.scaling
        later = torch.arange(states.shape[1]) > place[:, None]
        right = torch.zeros_like(later)
        for i, (_, _, places) in enumerate(found):
            right[i, places] = True
        low = torch.finfo(logits.dtype).min
        log_all = logits.masked_fill(later, low).logsumexp(1)
        return (log_all - logits.masked_fill(~right, low).logsumexp(1)).mean()

    def forward(self, batch: Sequence[Taught], video_tokens: int) -> dict[str, Tensor]:
        """The losses, by name, after a forward of the model with this batch.

        ``video_tokens`` of a video stand where an example has one placeholder.
        """
        letters: list[tuple[int, int, int]] = []
        answers: list[tuple[int, int, int]] = []
        looks: dict[str, list[tuple[int, int, list[int]]]] = {name: [] for name in self._attention}
        for b, taught in enumerate(batch):
            example = taught.example
            shown = example.video is not None
            more = video_tokens - 1 if shown else 0
            letters += [(b, place + more, letter) for place, letter in self.options(example)]
            looks["lookup"] += [(b, at + more, [to + more]) for at, to in self.lookups(example)]
            spots = self.answers(example)
            for exchange, (mark, places) in zip(taught.dialogue, spots, strict=True):
                evidence: list[int] = []
                if exchange.subject and taught.seen is not None:
                    colour, shape = exchange.subject.split()
                    kind = COLOURS.index(colour) * len(SHAPES) + SHAPES.index(shape)
                    start = example.input_ids.index(VIDEO_PLACEHOLDER)
                    evidence = [start + i for i in taught.seen[:, kind].nonzero().flatten().tolist()]
                elif exchange.subject:
                    evidence = self._named(example, exchange.subject, spots[0][0])
                word = [self._word(example, mark, exchange.word) + more] if exchange.word else []
                for at in places:
                    if exchange.key:
                        answers.append((b, at + more, self._token(exchange.key)))
                    if word:
                        looks["word"].append((b, at + more, word))
                    if evidence:
                        looks["evidence"].append((b, at + more, evidence))
        losses = {name: self._loss_of_looking(name, found) for name, found in looks.items() if found}
        for name, head, told in (("letter", self.letter, letters), ("answer", self.answer, answers)):
            row, place, truth = torch.tensor(told).unbind(1)
            losses[name] = F.cross_entropy(head(self._states[name][row, place]), truth)
        if seen := [taught.seen for taught in batch if taught.seen is not None]:
            told_kinds = self.seen(self._states["seen"])  # [B, video tokens, kinds]
            losses["seen"] = _SEEN_WEIGHT * F.binary_cross_entropy_with_logits(
                told_kinds, torch.stack(seen).float()
            )
        return losses

    def remove(self) -> None:
        """The model computes nothing for the probes any more."""
        for hook in self._hooks:
            hook.remove()


def _turned(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions, as Qwen2 applies them."""
    first, second = states.chunk(2, -1)
    return states * cos + torch.cat([-second, first], -1) * sin
