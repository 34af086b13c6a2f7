"""A small vocabulary in the files that Qwen2's tokenizer is published in."""

from __future__ import annotations

import json
from pathlib import Path

from training.model.tokenizer import CONTROL_TOKENS, END_OF_TEXT, IM_END

TEXTS = ["a red square moves to the right", "It is red.", "In {", "}.", "What is the blue circle doing?"] * 8


def write_qwen2(folder: Path) -> int:
    """Writes vocab.json, merges.txt and the two configs; returns how many tokens there are."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    folder.mkdir(parents=True)
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, show_progress=False)
    )
    bpe.model.save(str(folder))
    size = bpe.get_vocab_size()
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    config = {
        "tokenizer_class": "Qwen2Tokenizer",
        "added_tokens_decoder": {
            str(size + i): {"content": token, **flags} for i, token in enumerate(CONTROL_TOKENS)
        },
        "additional_special_tokens": list(CONTROL_TOKENS[1:]),
        "add_prefix_space": False,
        "bos_token": None,
        "eos_token": IM_END,
        "pad_token": END_OF_TEXT,
        "unk_token": None,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "config.json").write_text('{"model_type": "qwen2"}')
    return size + len(CONTROL_TOKENS)
