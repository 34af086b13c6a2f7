"""A toy SAM 2: it learns to outline one shape of a picture that a point, a box or a word picks out.

As SAM 2 was trained (arXiv:2408.00714): three candidate masks, of which the best is trained most, the
predicted IoU of each, and whether the object is there at all. Words prompt as in SAM's own experiment with
text (arXiv:2304.02643): by one embedding, in the place that [SEG] takes in UFVideo. A picture without what
the word names has an empty mask. The embeddings of the words are thrown away afterwards.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.plan.model import Sam2Config
from training.model.segmentation import Segmentation
from training.toy_weights.optimizer import Optimizer
from training.toy_weights.pictures import COLOURS, SHAPES, Pictures, draw_pictures

BATCH: Final = 12
PROMPTS: Final = 2
"""Prompts for each picture."""
LEARNING_RATE: Final = 1e-3
_POINTS, _BOXES, _ABSENT = 0.15, 0.15, 0.15  # shares of the prompts; the rest are words
_ANY_SHAPE = len(COLOURS) + SHAPES  # the word of a prompt that names a colour only
_MEAN, _STD = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])


class Words(nn.Module):
    """Prompts by words: the sum of a colour's embedding and a shape's, or of the colour's and "any shape"."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(_ANY_SHAPE + 1, width)

    def forward(self, colour: Tensor, shape: Tensor) -> Tensor:
        """[P, D]; ``shape`` holds 3 where any shape is meant."""
        return self.table(colour) + self.table(len(COLOURS) + shape)


def normalised(pixels_B3SS: Tensor) -> Tensor:
    """Pixels from 0 to 255 as SAM 2 takes them."""
    return (pixels_B3SS - _MEAN[:, None, None]) / _STD[:, None, None]


def draw_prompts(
    pictures: Pictures, segmentation: Segmentation, words: Words, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Prompts [P, 3, D], their pictures [P] and their masks [P, S, S] bool, empty where nothing is meant."""
    count = len(pictures.pixels)
    prompts, masks = [], []
    encoder = segmentation.sam.prompt_encoder
    blank = encoder.not_a_point_embed.weight
    for picture in range(count):
        number = int(pictures.there[picture].sum())
        for _ in range(PROMPTS):
            i = int(torch.randint(number, (), generator=generator))
            kind, named = torch.rand(2, generator=generator).tolist()
            mask = pictures.masks[picture, i]
            if kind < _POINTS + _BOXES and mask.any():
                y, x = (axis.float() for axis in mask.nonzero().T)
                if kind < _POINTS:
                    k = int(torch.randint(len(y), (), generator=generator))
                    place = torch.stack([x[k], y[k]])[None, None, None]
                    prompt = encoder._embed_points(place, torch.ones(1, 1, 1, dtype=torch.int), pad=True)[
                        0, 0
                    ]
                else:
                    box = torch.stack([x.min(), y.min(), x.max(), y.max()])[None, None]
                    prompt = encoder._embed_boxes(box)[0, 0, :2]
                prompts.append(torch.cat([prompt, blank]))
            else:
                colour = pictures.colours[picture, i]
                if kind > 1 - _ABSENT:
                    used = pictures.colours[picture, :number].tolist()
                    absent = [c for c in range(len(COLOURS)) if c not in used]
                    colour = torch.tensor(absent[int(torch.randint(len(absent), (), generator=generator))])
                    mask = torch.zeros_like(mask)
                shape = pictures.shapes[picture, i] if named < 0.5 else torch.tensor(SHAPES)
                prompts.append(torch.cat([blank, blank, words(colour, shape)[None]]))
            masks.append(mask)
    return torch.stack(prompts), torch.arange(count).repeat_interleave(PROMPTS), torch.stack(masks)


def candidates(
    segmentation: Segmentation, pixels_B3SS: Tensor, prompts_P3D: Tensor, picture_P: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Mask logits [P, 3, S, S], predicted IoUs [P, 3] and the score of the object being there [P]."""
    features = segmentation.encode(normalised(pixels_B3SS))
    sam, side = segmentation.sam, segmentation.config.image_size
    decoder = sam.mask_decoder
    fine, middle = decoder.conv_s0(features.fine_F), decoder.conv_s1(features.middle_F)
    masks, iou, _, score = decoder(
        image_embeddings=features.coarse_F[picture_P],
        image_positional_embeddings=sam.get_image_wide_positional_embeddings().expand(
            len(picture_P), -1, -1, -1
        ),
        sparse_prompt_embeddings=prompts_P3D[:, None],
        dense_prompt_embeddings=sam.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1),
        multimask_output=True,
        high_resolution_features=[fine[picture_P], middle[picture_P]],
    )
    full = F.interpolate(masks[:, 0], (side, side), mode="bilinear", align_corners=False)
    return full, iou[:, 0], score[:, 0, 0]


def losses(logits_P3SS: Tensor, iou_P3: Tensor, score_P: Tensor, masks_PSS: Tensor) -> tuple[Tensor, Tensor]:
    """The loss, and the true IoU [P] of the candidate with the highest predicted one."""
    target = masks_PSS[:, None].expand_as(logits_P3SS)
    truth = target.float()
    cross = F.binary_cross_entropy_with_logits(logits_P3SS, truth, reduction="none").mean((2, 3))
    share = logits_P3SS.sigmoid()
    dice = 1 - (2 * (share * truth).sum((2, 3)) + 1) / ((share + truth).sum((2, 3)) + 1)
    each = 5 * cross + 0.5 * dice
    with torch.no_grad():
        inside = logits_P3SS > 0
        union = (inside | target).sum((2, 3))
        true_iou = torch.where(union > 0, (inside & target).sum((2, 3)) / union.clamp(min=1), 1.0)
        chosen = true_iou.gather(1, iou_P3.argmax(1, keepdim=True))[:, 0]
    shown = masks_PSS.flatten(1).any(1).float()
    scores = 0.3 * F.mse_loss(iou_P3, true_iou) + 0.05 * F.binary_cross_entropy_with_logits(score_P, shown)
    return 0.7 * each.min(1).values.mean() + 0.3 * each.mean() + scores, chosen


def learn_to_outline(config: Sam2Config, segmentation: Segmentation, *, steps: int, seed: int) -> float:
    """Trains SAM 2 in place, but not its memory. Returns the IoU at the end, of all kinds of prompts."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        words = Words(config.hidden_dim)
    sam = segmentation.sam.train().requires_grad_(True)
    optimizer = Optimizer([*sam.parameters(), *words.parameters()], lr=LEARNING_RATE, steps=steps)
    iou = 0.0
    for _ in range(steps):
        pictures = draw_pictures(generator, BATCH, config.image_size)
        prompts, picture, masks = draw_prompts(pictures, segmentation, words, generator)
        loss, chosen = losses(*candidates(segmentation, pictures.pixels, prompts, picture), masks)
        optimizer.step(loss)
        iou += 0.02 * (float(chosen.mean()) - iou)
    return iou
