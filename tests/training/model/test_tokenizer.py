"""The 102 tokens through every tokenizer class, saved by one and loaded by another."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transformers
from qwen_files import TEXTS, write_qwen2
from tokenizers import AddedToken
from transformers import AutoTokenizer, PreTrainedTokenizer, PreTrainedTokenizerFast, Qwen2Tokenizer

from pipeline.errors import UserError
from pipeline.records.sample import Role, Turn
from training.model.prompt import PromptCodec
from training.model.tokenizer import (
    CONTROL_TOKENS,
    END_OF_TEXT,
    IM_END,
    add_tokens,
    export_tokenizer,
    holds_tokenizer,
    load_tokenizer,
    own_vocabulary,
    train_tokenizer,
)
from training.model.tokens import ADDED_TOKENS, IGNORE, TokenIds

ANSWER = "It is red [SEG], from 12.5 s:\n\nIn {<TEMP-007><TEMP-041>}. 蓝色 [SEG]"
EVERY = "".join(ADDED_TOKENS[1:])  # a <region> stands in questions alone
QUESTION = "Is <region> left of<region>?"


class Slow(PreTrainedTokenizer):
    """A tokenizer in Python, letter by letter; transformers 5 has none for Qwen2 any more, version 4 had."""

    vocab_files_names: dict[str, str] = {}  # noqa: RUF012 - as transformers declares it

    def __init__(self, **options: Any) -> None:
        self.letters = sorted(set("".join(TEXTS) + ANSWER + QUESTION + "assistant user system helpful You\n"))
        super().__init__(**options)

    @property
    def vocab_size(self) -> int:
        return len(self.letters)

    def get_vocab(self) -> dict[str, int]:
        return {**{c: i for i, c in enumerate(self.letters)}, **self.added_tokens_encoder}

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        return ()

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        return "".join(tokens)

    def _tokenize(self, text: str, **options: Any) -> list[str]:
        return list(text)

    def _convert_token_to_id(self, token: str) -> int:
        return self.letters.index(token)

    def _convert_id_to_token(self, index: int) -> str:
        return self.letters[index]


def _qwen2(folder: Path) -> Any:
    write_qwen2(folder)
    return load_tokenizer(folder)


def _trained(_: Path) -> Any:
    return train_tokenizer(TEXTS, vocab_size=320)


MAKERS: dict[str, Callable[[Path], Any]] = {"qwen2": _qwen2, "trained": _trained}
READERS = (AutoTokenizer, Qwen2Tokenizer, PreTrainedTokenizerFast)


def _talk(answer: str) -> list[Turn]:
    return [Turn(role=Role.USER, text="What?"), Turn(role=Role.ASSISTANT, text=answer)]


def _through(codec: PromptCodec, answer: str) -> tuple[list[int], str]:
    made = codec.encode_training(_talk(answer), max_text_tokens=2000, regions=0, masks=answer.count("[SEG]"))
    labels = [i for i in made.labels if i != IGNORE]
    return labels, codec.decode(labels)


def _asks_about_regions(tokenizer: Any) -> None:
    """A <region> is one token between the words, by the codec and by the tokenizer itself, and comes back."""
    codec = PromptCodec(tokenizer)
    ids = codec.encode_prompt([Turn(role=Role.USER, text=QUESTION)], regions=2)
    assert ids.count(codec.ids.region) == 2
    assert QUESTION in codec.decode(ids)
    own = tokenizer.encode(QUESTION, add_special_tokens=False)
    assert own.count(codec.ids.region) == 2
    assert codec.decode(own) == QUESTION


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("form", ["saved", "exported"])
@pytest.mark.parametrize("reader", READERS, ids=lambda r: r.__name__)
def test_tokens_survive_saving_and_loading(maker: str, form: str, reader: Any, tmp_path: Path) -> None:
    """Fails if a token is lost, cut or renumbered between two classes, or if the codec skips special ones."""
    first = MAKERS[maker](tmp_path / "base")
    folder = tmp_path / "saved"
    folder.mkdir()
    first.save_pretrained(str(folder)) if form == "saved" else export_tokenizer(first, folder)
    again = reader.from_pretrained(str(folder))
    ids = first.convert_tokens_to_ids(list(ADDED_TOKENS))
    assert len(set(ids)) == 102
    assert again.convert_tokens_to_ids(list(ADDED_TOKENS)) == ids
    assert len(again) == len(first)
    assert TokenIds.of(load_tokenizer(folder)) == TokenIds.of(first)
    old, new = PromptCodec(first), PromptCodec(again)
    for answer in (ANSWER, EVERY):
        labels, text = _through(new, answer)
        assert text == answer
        if reader is not Qwen2Tokenizer or maker == "qwen2":  # which cuts plain text in its own way
            assert labels == _through(old, answer)[0]
    _asks_about_regions(again)
    # The trap that deleted every time token, and its end in what is exported.
    plain = again.decode(again.encode(ANSWER, add_special_tokens=False), skip_special_tokens=True)
    assert ("<TEMP-007><TEMP-041>" in plain) is (form == "exported")
    assert "<|im_end|>" not in again.decode(_through(new, ANSWER)[0], skip_special_tokens=True)


@pytest.mark.parametrize("maker", MAKERS)
def test_blanks_beside_the_tokens_survive(maker: str, tmp_path: Path) -> None:
    """Some publish special tokens that swallow the blanks around them. Fails if the codec leaves finding or
    naming the added tokens to the tokenizer."""
    write_qwen2(tmp_path / "base")
    greedy = (
        AutoTokenizer.from_pretrained(tmp_path / "base")
        if maker == "qwen2"
        else train_tokenizer(TEXTS, vocab_size=320)
    )
    greedy.add_tokens(
        [AddedToken(t, special=True, normalized=False, lstrip=True, rstrip=True) for t in ADDED_TOKENS],
        special_tokens=True,
    )
    swallowed = greedy.decode(greedy.encode("It is red [SEG] , there", add_special_tokens=False))
    assert swallowed != "It is red [SEG] , there", "this tokenizer swallows nothing, so it shows nothing"
    assert _through(PromptCodec(greedy), "It is red [SEG] , there")[1] == "It is red [SEG] , there"


def test_a_tokenizer_in_python_keeps_them_too(tmp_path: Path) -> None:
    """Fails if the codec decodes as a slow tokenizer does, without special tokens, or if saving loses one."""
    slow = Slow(eos_token=IM_END, pad_token=END_OF_TEXT)
    slow.add_tokens(list(CONTROL_TOKENS), special_tokens=True)
    first = add_tokens(slow)
    first.save_pretrained(str(tmp_path))
    again: Any = Slow.from_pretrained(str(tmp_path))
    assert again.is_fast is False
    ids = first.convert_tokens_to_ids(list(ADDED_TOKENS))
    assert len(set(ids)) == 102
    assert again.convert_tokens_to_ids(list(ADDED_TOKENS)) == ids
    assert TokenIds.of(again) == TokenIds.of(first)
    assert len(again) == len(first)
    for tokenizer in (first, again):
        for answer in (ANSWER, EVERY):
            assert _through(PromptCodec(tokenizer), answer)[1] == answer
        _asks_about_regions(tokenizer)


def test_there_is_no_other_class_for_qwen2() -> None:
    """The matrix above is whole: both names of Qwen2's tokenizer are one class, which is a fast one."""
    assert transformers.Qwen2TokenizerFast is Qwen2Tokenizer
    assert issubclass(Qwen2Tokenizer, PreTrainedTokenizerFast)


def test_a_second_load_adds_nothing(tmp_path: Path) -> None:
    """Catches tokens that are added, and numbered, once more with every load."""
    first = _qwen2(tmp_path / "base")
    assert holds_tokenizer(tmp_path / "base")
    assert own_vocabulary(tmp_path / "base").keys().isdisjoint(ADDED_TOKENS)
    first.save_pretrained(str(tmp_path / "saved"))
    assert own_vocabulary(tmp_path / "saved") == first.get_vocab()
    assert len(load_tokenizer(tmp_path / "saved")) == len(first)


@pytest.mark.parametrize("content", ["{}", "{", ""])
def test_a_damaged_tokenizer_is_a_user_error(tmp_path: Path, content: str) -> None:
    """Catches the bare Exception of the tokenizers library, and its paragraphs of advice."""
    _trained(tmp_path).save_pretrained(str(tmp_path))
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(UserError, match="holds no readable tokenizer") as caught:
        load_tokenizer(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_foreign_model_s_config_is_passed_over_quietly(tmp_path: Path, caplog) -> None:
    """The published config.json lies beside the tokenizer. Catches a warning that nobody can act on."""
    export_tokenizer(_trained(tmp_path), tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "videorefer_qwen2", "hidden_size": 8}')
    logger = logging.getLogger("transformers")  # it hands nothing on to the root
    logger.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.WARNING, "transformers"):
            load_tokenizer(tmp_path)
            assert caplog.messages == []
            AutoTokenizer.from_pretrained(tmp_path)
            assert "of type `videorefer_qwen2`" in caplog.text, "so there is something to be quiet about"
    finally:
        logger.removeHandler(caplog.handler)


def test_end_of_text_may_stand_for_unknown_text(tmp_path: Path) -> None:
    """Qwen2Tokenizer takes <|endoftext|> for it where the files name none; it is not a missing token then."""
    import json

    write_qwen2(tmp_path / "base")
    place = tmp_path / "base" / "tokenizer_config.json"
    config = json.loads(place.read_text())
    del config["unk_token"]
    place.write_text(json.dumps(config))
    assert load_tokenizer(tmp_path / "base").unk_token == "<|endoftext|>"
    config["added_tokens_decoder"].popitem()
    config |= {"additional_special_tokens": [], "eos_token": "<|endoftext|>"}
    place.write_text(json.dumps(config))
    with pytest.raises(UserError, match="has no <"):
        load_tokenizer(tmp_path / "base")
