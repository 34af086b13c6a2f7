"""A toy VideoRefer: a language model that reads, and a connector and region encoder that it understands.

The language model reads short texts and answers questions about them, most by choosing from a lettered list.
All three parts learn the words for slide shows of still pictures and for marked shapes, as VideoRefer knows
them before UFVideo is trained (arXiv:2501.00599), and to say any words and marks again. There is no video, no
motion in pictures and no time of a picture. The vision tower is the toy SigLIP, and stays as it is.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.plan.model import InitConfig
from pipeline.records.sample import Role, Turn
from training.model.collate import collate
from training.model.packing import pad
from training.model.processor import Example
from training.model.prompt import PromptCodec
from training.model.tokenizer import train_tokenizer
from training.model.tokens import IGNORE, REGION, SEG
from training.model.ufvideo import UFVideo
from training.toy_weights import sentences
from training.toy_weights.optimizer import Optimizer
from training.toy_weights.pictures import draw_layers
from training.toy_weights.probes import Probes, Taught
from training.toy_weights.sentences import LETTERS, SLIDES, Dialogue, Thing

LEARNING_RATE, MATRIX_LEARNING_RATE = 2e-3, 8e-3
START: Final = InitConfig(linear_gain=1.0, embedding_std=0.1, position_std=0.2)
"""Scales of the first weights. Word embeddings are small, because they are the output layer too."""
VOCABULARY: Final = 660
"""With this many ids, before UFVideo's own are added, every word is one token."""


@dataclass(frozen=True, slots=True)
class Share:
    """What the batches hold until a share of the steps is done."""

    until: float
    lookups: int = 0
    texts: int = 0
    shows: int = 0
    sayings: int = 0


PHASES: Final = (
    Share(0.08, lookups=12, sayings=3, shows=6),
    Share(1.0, lookups=5, texts=4, shows=11, sayings=3),
)
_LETTER_WEIGHT = 3.0
_PROBES_UNTIL = 0.85
_SEEN = 0.03  # share of a quarter of a slide from which on a shape counts as seen in it
_POINTED = 0.6  # share of slide shows with a question about a marked shape
_TOKENIZER_TEXTS = 3000
_OUT = 0.5  # initial scale of the layers that write into the residual stream
_HEAD = 0.2


def make_tokenizer(seed: int) -> Any:
    """A byte-level BPE of the words of ``sentences``, and UFVideo's tokens."""
    rng = random.Random(seed)
    texts = []
    for _ in range(_TOKENIZER_TEXTS):
        pairs = [*sentences.reading(rng), sentences.pointing(rng, rng.choice(sentences.draw_things(rng)))]
        texts.append("\n".join(text for pair in pairs for text in pair[:2]))
    others = [f" {word}" for word in sentences.OTHER_WORDS.split()] + sentences.OTHER_OPENINGS.split()
    return train_tokenizer([*texts, *others * 50], vocab_size=VOCABULARY)


class Reader:
    """The texts and slide shows of each step, for one model and tokenizer."""

    def __init__(self, model: UFVideo, codec: PromptCodec, seed: int) -> None:
        self.model, self.codec = model, codec
        self.rng, self.generator = random.Random(seed), torch.Generator().manual_seed(seed)
        self.side, self.frames = model.config.vision.image_size, model.config.num_frames

    def batch(self, share: Share) -> list[Taught]:
        """Texts first, then slide shows."""
        texts = [self.taught(sentences.lookups(self.rng)) for _ in range(share.lookups)]
        texts += [self.taught(sentences.reading(self.rng)) for _ in range(share.texts)]
        texts += [self.taught([sentences.saying(self.rng)]) for _ in range(share.sayings)]
        return [*texts, *self.shows(share.shows)] if share.shows else texts

    def shows(self, count: int) -> list[Taught]:
        """Slide shows with their words."""
        layers = draw_layers(self.generator, count, self.side)
        worlds = [self._things(layers.colours[b], layers.shapes[b], layers.there[b]) for b in range(count)]
        slides, masks = [], []
        for slide in range(SLIDES):
            shown = torch.zeros_like(layers.there)
            for b, things in enumerate(worlds):
                for i, thing in enumerate(things):
                    shown[b, i] = thing.begin <= slide < thing.end
            picture = layers.pictures(shown)
            slides.append(picture.pixels / 127.5 - 1)
            masks.append(picture.masks)
        masks_BTOSS = torch.stack(masks, 1)
        part = (
            F.adaptive_avg_pool2d(masks_BTOSS.flatten(0, 1).float(), 2).unflatten(0, (count, SLIDES)) > _SEEN
        )
        kind = F.one_hot(layers.colours * 3 + layers.shapes, len(sentences.COLOURS) * 3)  # [B, O, kinds]
        seen = torch.einsum("btohw,bok->bthwk", part.float(), kind.float()) > 0
        return list(self._shows(worlds, torch.stack(slides, 1), masks_BTOSS, seen.flatten(1, 3)))

    def _shows(
        self, worlds: list[list[Thing]], pixels: Tensor, masks: Tensor, seen: Tensor
    ) -> Iterator[Taught]:
        for b, things in enumerate(worlds):
            dialogue, point = sentences.naming(self.rng, things), None
            visible = masks[b].flatten(2).any(-1).nonzero().tolist()
            if visible and self.rng.random() < _POINTED:
                slide, i = self.rng.choice(visible)
                dialogue = [*dialogue[:-1], sentences.pointing(self.rng, things[i])]
                point = (slide, masks[b, slide, i])
            yield self.taught(dialogue, pixels[b], point, seen[b])

    def _things(self, colours_O: Tensor, shapes_O: Tensor, there_O: Tensor) -> list[Thing]:
        things = []
        for colour, shape in zip(colours_O[there_O].tolist(), shapes_O[there_O].tolist(), strict=True):
            begin, end = sentences.draw_slides(self.rng)
            things.append(
                Thing(colour=sentences.COLOURS[colour], shape=sentences.SHAPES[shape], begin=begin, end=end)
            )
        return things

    def taught(
        self,
        dialogue: Dialogue,
        slides_T3SS: Tensor | None = None,
        point: tuple[int, Tensor] | None = None,
        seen: Tensor | None = None,
    ) -> Taught:
        """A dialogue as the model takes it."""
        turns = [
            Turn(role=role, text=text)
            for pair in dialogue
            for role, text in zip((Role.USER, Role.ASSISTANT), pair[:2], strict=True)
        ]
        shown = slides_T3SS is not None
        encoded = self.codec.encode_training(
            turns, max_text_tokens=4096, regions=int(point is not None), masks=0, video=shown
        )
        numbers = [frame * SLIDES // self.frames for frame in range(self.frames)] if shown else []
        video = slides_T3SS[numbers] if slides_T3SS is not None else None
        region_frames = torch.zeros(0, 3, self.side, self.side)
        region_masks = torch.zeros(0, 1, 1, dtype=torch.uint8)
        if point is not None and slides_T3SS is not None:
            numbers = [*numbers, point[0]]
            region_frames, region_masks = slides_T3SS[point[0]][None], point[1][None].to(torch.uint8)
        example = Example(
            key="",
            input_ids=encoded.input_ids,
            labels=encoded.labels,
            video=video,
            region_frames=region_frames,
            frame_numbers=tuple(numbers),
            region_masks=region_masks,
            region_frame_indices=[[0]] if point is not None else [],
        )
        return Taught(example, dialogue, seen)


Report = Callable[[int, dict[str, float]], None]


def _nothing(step: int, measures: dict[str, float]) -> None:
    """Reports nothing."""


def learn_to_read(
    model: UFVideo, tokenizer: Any, *, steps: int, seed: int, report: Report = _nothing
) -> float:
    """Trains language model, connector and region encoder in place.

    ``report`` gets the number of steps done and their measures. The rows of the two tokens for a region and a
    mask, which nobody has said, become the mean of all rows, as ``init`` starts unknown tokens. Returns the
    share of letters that the model chooses right at the end.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        _start(model)
        probes = Probes(model, tokenizer)
    reader = Reader(model, PromptCodec(tokenizer), seed)
    parts = nn.ModuleList([model.language, model.connector, model.regions]).train().requires_grad_(True)
    named = {**dict(parts.named_parameters()), **dict(probes.named_parameters())}
    matrices = {name for name, p in named.items() if ".layers." in name and p.ndim == 2}
    optimizer = Optimizer(
        [p for name, p in named.items() if name not in matrices],
        lr=LEARNING_RATE,
        steps=steps,
        matrices=[named[name] for name in sorted(matrices)],
        matrix_lr=MATRIX_LEARNING_RATE,
    )
    letters, right = torch.tensor(tokenizer.convert_tokens_to_ids(list(LETTERS))), 0.0
    for step in range(steps):
        share = next(share for share in PHASES if step < share.until * steps)
        batch = reader.batch(share)
        logits, target, shown = answers_of(model, [taught.example for taught in batch])
        letter = torch.isin(target, letters)
        weight = torch.where(letter, _LETTER_WEIGHT, 1.0)
        each = F.cross_entropy(logits, target, reduction="none")
        helped = step < _PROBES_UNTIL * steps
        hints = probes(batch, model.config.video_tokens) if helped else {}
        optimizer.step((each * weight).sum() / weight.sum() + sum(hints.values()))
        correct, each = (logits.detach().argmax(-1) == target).float(), each.detach()
        right += 0.02 * (float(correct[letter].mean()) - right)
        measures = {
            "letters in texts": float(correct[letter & ~shown].mean()),
            "texts": float(each[~letter & ~shown].mean()),
            **{f"probe {name}": float(loss.detach()) for name, loss in hints.items()},
        }
        if share.shows:
            measures["letters in shows"] = float(correct[letter & shown].mean())
            measures["shows"] = float(each[~letter & shown].mean())
        report(step + 1, measures)
    probes.remove()
    parts.requires_grad_(False)
    unknown = tokenizer.convert_tokens_to_ids([REGION, SEG])
    with torch.no_grad():
        for table in (model.language.lm.get_input_embeddings(), model.language.lm.lm_head):
            table.weight[unknown] = table.weight.mean(0)
    return right


def answers_of(model: UFVideo, examples: list[Example]) -> tuple[Tensor, Tensor, Tensor]:
    """Logits [A, V] of all answers' tokens, the tokens [A], and which are about a slide show.

    Sequences are padded at their ends: the model is causal, so that they need no mask, which is faster.
    """
    rows = model.rows(collate(examples, pad_id=model.tokens.pad))
    lengths = tuple(len(row.labels) for row in rows)
    embeds = pad(torch.cat([row.embeds for row in rows]), lengths)
    labels = torch.full(embeds.shape[:2], IGNORE)
    for b, row in enumerate(rows):
        labels[b, : len(row.labels) - 1] = row.labels[1:]
    answered = labels != IGNORE
    hidden = model.language.lm.model(inputs_embeds=embeds, use_cache=False).last_hidden_state[answered]
    has_show = torch.tensor([example.video is not None for example in examples])
    return model.language.logits(hidden), labels[answered], has_show[answered.nonzero()[:, 0]]


@torch.no_grad()
def _start(model: UFVideo) -> None:
    """Smaller steps into the residual stream, and first guesses that are nearly even."""
    for layer in model.language.lm.model.layers:
        layer.self_attn.o_proj.weight.mul_(_OUT)
        layer.mlp.down_proj.weight.mul_(_OUT)
    model.language.lm.lm_head.weight.mul_(_HEAD)
