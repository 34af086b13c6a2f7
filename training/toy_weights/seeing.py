"""A toy SigLIP: it learns which colours and shapes a picture shows, and where.

A patch that a shape covers in part has to name the shape's colour and outline (from the hidden state that
the connector takes), and the pooled output has to name the shapes of the whole picture. Pictures with their
words, as SigLIP learns them (arXiv:2303.15343); the places are SigLIP 2's addition (arXiv:2502.14786).
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.plan.model import VisionConfig
from training.model.vision import VisionTower
from training.toy_weights.optimizer import Optimizer
from training.toy_weights.pictures import COLOURS, MOST, SHAPES, Pictures, draw_pictures

BATCH: Final = 128
LEARNING_RATE: Final = 2e-3
_COVERED = 0.08  # of a patch
_WHOLE = 0.3  # weight of the loss of the whole picture
_WORDS = len(COLOURS) + SHAPES
_NAMES = len(COLOURS) * SHAPES


class Reader(nn.Module):
    """A vision tower with the layers that turn its states into words; they are thrown away afterwards."""

    def __init__(self, tower: VisionTower) -> None:
        super().__init__()
        width = tower.config.hidden_size
        self.tower, self.norm = tower, nn.LayerNorm(width, elementwise_affine=False)
        self.patch, self.whole = nn.Linear(width, _WORDS), nn.Linear(width, _NAMES)
        nn.init.constant_(self.whole.bias, -2.0)  # few of the names apply

    def forward(self, pixels_B3SS: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B, N, 9] of the words of every patch, and [B, 18] of the names of the picture."""
        states = self.tower(pixels_B3SS / 127.5 - 1)
        words = self.patch(self.norm(states))
        siglip = self.tower.tower
        for layer in siglip.encoder.layers[self.tower.config.layers_used :]:
            states = layer(states, attention_mask=None)
        return words, self.whole(siglip.head(siglip.post_layernorm(states)))


def truth(pictures: Pictures, patch: int) -> tuple[Tensor, Tensor]:
    """What ``Reader`` should answer for each patch [B, N, 9] and each picture [B, 18], 0 or 1."""
    covered = F.avg_pool2d(pictures.masks.float(), patch).flatten(2) > _COVERED
    colours, shapes = F.one_hot(pictures.colours, len(COLOURS)), F.one_hot(pictures.shapes, SHAPES)
    words = covered[..., None] & torch.cat([colours, shapes], -1)[:, :, None].bool()
    names = F.one_hot(pictures.colours * SHAPES + pictures.shapes, _NAMES).bool() & pictures.there[..., None]
    assert names.shape[1] == MOST
    return words.any(1).float(), names.any(1).float()


def learn_to_see(config: VisionConfig, tower: VisionTower, *, steps: int, seed: int) -> float:
    """Trains ``tower`` in place. Returns the share of covered patches whose words are all right by then."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        reader = Reader(tower).train().requires_grad_(True)
    optimizer = Optimizer(list(reader.parameters()), lr=LEARNING_RATE, steps=steps)
    right = 0.0
    for _ in range(steps):
        pictures = draw_pictures(generator, BATCH, config.image_size)
        words, names = truth(pictures, config.patch_size)
        word_logits, name_logits = reader(pictures.pixels)
        loss = F.binary_cross_entropy_with_logits(word_logits, words)
        optimizer.step(loss + _WHOLE * F.binary_cross_entropy_with_logits(name_logits, names))
        same = ((word_logits > 0) == words.bool()).all(-1)[words.any(-1)].float().mean()
        right += 0.05 * (float(same) - right)
    return right
