"""Greedy answers of the toy model: in batches against one by one."""

from __future__ import annotations

import torch
from torch.nn.utils.rnn import pad_sequence

from benchmarks.compare import Pair, main
from pipeline.plan.presets import model_config
from training.model.batch import Batch
from training.model.build import build_model
from training.model.prompt import PromptCodec
from training.model.tokenizer import train_tokenizer

_SIZE, _BATCH, _NEW = 16, 8, 24
_QUESTION = "How many shapes are there in the video, and what colour is the largest shape?"
_WORDS = (5, 9, 16, 7, 12, 14, 4, 10)  # words of the question per prompt, so that a batch has to be padded


def _prompts(codec: PromptCodec, video: torch.Tensor, rows: range) -> Batch:
    from pipeline.records.sample import Role, Turn

    texts = [" ".join(_QUESTION.split()[: _WORDS[row % len(_WORDS)]]) for row in rows]
    ids = [torch.tensor(codec.encode_prompt([Turn(role=Role.USER, text=text)], regions=0)) for text in texts]
    return Batch(
        input_ids=pad_sequence(ids, batch_first=True),
        attention_mask=pad_sequence([torch.ones_like(i, dtype=torch.bool) for i in ids], batch_first=True),
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
        tokens: list[list[int]] = []
        for at in range(0, _SIZE, step):
            batch = _prompts(codec, video, range(at, at + step))
            tokens += [t.tolist() for t in model.generate(batch, max_new_tokens=_NEW).tokens]
        return tokens

    main(
        "generation",
        f"{_SIZE} questions of different lengths about {_SIZE} videos, {_NEW} new tokens each, toy size, one "
        f"thread: one by one (plain) against {_BATCH} at a time (`training/model/language.py`), both with a "
        "key-value cache. The aim is 3.",
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
