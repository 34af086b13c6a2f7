"""The text tokenizer of a checkpoint: trained here on the prepared text, or a Hugging Face folder.

In both cases the 102 tokens of UFVideo are appended in the published order, and the chat template of Qwen2
is stored with it, so a checkpoint can be used without this package.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.errors import StorageError, UserError
from training.model.tokens import ADDED_TOKENS, TokenIds

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IM_START: Final = "<|im_start|>"
IM_END: Final = "<|im_end|>"
END_OF_TEXT: Final = "<|endoftext|>"
CONTROL_TOKENS: Final = (END_OF_TEXT, IM_START, IM_END)

_VOCABULARY_FILES: Final = ("tokenizer.json", "vocab.json", "tokenizer.model")

SYSTEM: Final = "You are a helpful assistant."
"""Qwen2's default system text; UFVideo trains and infers with it."""

CHAT_TEMPLATE: Final = (
    "{% for message in messages %}"
    "{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\n" + SYSTEM + "<|im_end|>\n' }}"
    "{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""The chat template that Qwen2-Instruct ships with (ChatML), as jinja."""


def train_tokenizer(texts: Iterable[str], *, vocab_size: int) -> PreTrainedTokenizerBase:
    """A byte-level BPE of ``vocab_size`` ids (control tokens and bytes included), then the 102 added tokens.

    Deterministic: the same texts in the same order give the same tokenizer. Time tokens, ``<region>`` and
    ``[SEG]`` are removed first, so that no merge is learned from their spelling.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(CONTROL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(_without_added(texts), trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=IM_END, pad_token=END_OF_TEXT)
    tokenizer.chat_template = CHAT_TEMPLATE
    return add_tokens(tokenizer)


def load_tokenizer(folder: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder, with the 102 tokens added where they are missing.

    Raises UserError if the folder holds no tokenizer, or one without Qwen2's chat tokens.
    """
    tokenizer = _read(folder)
    known = tokenizer.get_vocab()
    if missing := [token for token in CONTROL_TOKENS if token not in known]:
        raise UserError(
            str(folder),
            f"its tokenizer has no {missing[0]}, which Qwen2's chat format needs.",
            "Use a Qwen2 tokenizer.",
        )
    tokenizer.eos_token = IM_END
    tokenizer.pad_token = tokenizer.pad_token or END_OF_TEXT
    tokenizer.chat_template = tokenizer.chat_template or CHAT_TEMPLATE
    return add_tokens(tokenizer)


def holds_tokenizer(folder: Path) -> bool:
    """True for a folder with a tokenizer's vocabulary file, which a folder of weights alone does not have."""
    return any((folder / name).is_file() for name in _VOCABULARY_FILES)


def own_vocabulary(folder: str | Path) -> dict[str, int]:
    """Tokens and ids of a folder's own tokenizer; those of the 102 that it lacks are not added.

    They are the tokens that weights trained with this tokenizer know. Raises UserError if there is none.
    """
    return _read(folder).get_vocab()


def _read(folder: str | Path) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    if not Path(folder).is_dir():
        raise UserError(
            str(folder),
            "is not a folder, so no tokenizer can be read from it.",
            "Correct the path; in a plan it is model.tokenizer.path.",
        )
    try:
        with _without_warnings("transformers.configuration_utils"):
            return AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:  # the tokenizers library has no class of its own for a damaged file
        if isinstance(error, OSError) and StorageError.is_unreadable(error):
            raise StorageError.of(str(folder), error) from error
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            str(folder),
            f"holds no readable tokenizer ({reason}).",
            "Fetch its files again; in a plan, the folder is model.tokenizer.path.",
        ) from error


@contextmanager
def _without_warnings(name: str) -> Iterator[None]:
    """Silences a logger's warnings: the folder of a tokenizer may hold the config.json of any model,
    including
    this one, and transformers warns of every model type that it does not know."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def add_tokens(tokenizer: Any) -> PreTrainedTokenizerBase:
    """Add UFVideo's tokens, in their published order, where they are missing."""
    from tokenizers import AddedToken

    tokenizer.add_tokens(
        [AddedToken(t, special=True, normalized=False) for t in ADDED_TOKENS], special_tokens=True
    )
    TokenIds.of(tokenizer)  # refuses a tokenizer that would split one of them
    return tokenizer


def _without_added(texts: Iterable[str]) -> Iterable[str]:
    for text in texts:
        for token in ADDED_TOKENS:
            if token in text:
                text = text.replace(token, "\n")
        yield text
    # The fixed text of every prompt, often enough for its merges to be learned.
    yield from ["system\n" + SYSTEM, "user\n\n", "assistant\n"] * 64


def export_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Writes a tokenizer for use by other code: Qwen2's own files in addition to tokenizer.json.

    The 102 tokens are not marked as special, because code that decodes with ``skip_special_tokens=True``,
    such as the published code, would delete special tokens from every answer. Each stays a single token with
    the same id.
    """
    tokenizer.save_pretrained(str(folder))
    saved = json.loads((folder / "tokenizer.json").read_text())
    for token in saved["added_tokens"]:
        token["special"] = token["special"] and token["content"] not in ADDED_TOKENS
    (folder / "tokenizer.json").write_text(json.dumps(saved, ensure_ascii=False, indent=1) + "\n")
    (folder / "vocab.json").write_text(json.dumps(saved["model"]["vocab"], ensure_ascii=False) + "\n")
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in saved["model"]["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    flags = ("content", "lstrip", "normalized", "rstrip", "single_word", "special")
    # Class names that transformers 4 and 5 both know; Qwen2's implies its own pre-tokenization.
    own = type(tokenizer).__name__.startswith("Qwen2")
    config = {
        "tokenizer_class": "Qwen2Tokenizer" if own else "PreTrainedTokenizerFast",
        "added_tokens_decoder": {str(t["id"]): {f: t[f] for f in flags} for t in saved["added_tokens"]},
        "additional_special_tokens": [IM_START, IM_END],
        "add_prefix_space": False,
        "bos_token": None,
        "unk_token": None,
        "eos_token": IM_END,
        "pad_token": tokenizer.pad_token,
        "clean_up_tokenization_spaces": False,
        "split_special_tokens": False,
        "chat_template": tokenizer.chat_template,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, ensure_ascii=False, indent=1) + "\n")
