"""Greedy answers of the toy model: a batch at a time against one by one."""

from __future__ import annotations

import torch

from benchmarks.compare import Pair, main
from pipeline.config.model import model_config
from training.model.batch import Batch
from training.model.build import build_model
from training.model.prompt import PromptCodec
from training.model.tokenizer import train_tokenizer

_SIZE, _BATCH, _NEW = 16, 8, 24
_QUESTION = "How many shapes are there in the video, and what colour is the largest shape?"


def _prompts(codec: PromptCodec, video: torch.Tensor, rows: range) -> Batch:
    from pipeline.schema.sample import Role, Turn

    ids = codec.encode_prompt([Turn(role=Role.USER, text=_QUESTION)], regions=0)
    return Batch(
        input_ids=torch.tensor([ids] * len(rows)),
        attention_mask=torch.ones(len(rows), len(ids), dtype=torch.bool),
        video=video[list(rows)],
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    codec = PromptCodec(train_tokenizer([_QUESTION], vocab_size=400))
    config = model_config("toy", {"language": {"vocab_size": len(codec.tokenizer)}, "num_frames": 16})
    model = build_model(config, codec.ids, seed=0).eval()
    side = config.vision.image_size
    video = torch.randn(_SIZE, config.num_frames, 3, side, side, generator=torch.Generator().manual_seed(0))

    def answers(step: int) -> list[list[int]]:
        made: list[list[int]] = []
        for at in range(0, _SIZE, step):
            batch = _prompts(codec, video, range(at, at + step))
            made += [t.tolist() for t in model.generate(batch, max_new_tokens=_NEW).tokens]
        return made

    main(
        "generation",
        f"{_SIZE} questions about {_SIZE} videos, {_NEW} new tokens each, toy size, one thread: one by one "
        f"(plain) against {_BATCH} at a time (`training/model/language.py`), both with a key-value cache. "
        "The aim is 3.",
        [
            Pair(
                what="answers",
                plain=lambda: answers(1),
                ours=lambda: answers(_BATCH),
                same=lambda a, b: a == b,
            )
        ],
        repeats=3,
    )
