"""The 102 added tokens in every tokenizer class, saved by one and loaded by another."""

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
EVERY = "".join(ADDED_TOKENS[1:])  # <region> occurs in questions only
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


def _turns(answer: str) -> list[Turn]:
    return [Turn(role=Role.USER, text="What?"), Turn(role=Role.ASSISTANT, text=answer)]


def _labels_and_text(codec: PromptCodec, answer: str) -> tuple[list[int], str]:
    made = codec.encode_training(_turns(answer), max_text_tokens=2000, regions=0, masks=answer.count("[SEG]"))
    labels = [i for i in made.labels if i != IGNORE]
    return labels, codec.decode(labels)


def _check_region_tokens(tokenizer: Any) -> None:
    """A <region> is one token between the words, by the codec and by the tokenizer itself, and is decoded."""
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
    loaded = reader.from_pretrained(str(folder))
    ids = first.convert_tokens_to_ids(list(ADDED_TOKENS))
    assert len(set(ids)) == 102
    assert loaded.convert_tokens_to_ids(list(ADDED_TOKENS)) == ids
    assert len(loaded) == len(first)
    assert TokenIds.of(load_tokenizer(folder)) == TokenIds.of(first)
    old, new = PromptCodec(first), PromptCodec(loaded)
    for answer in (ANSWER, EVERY):
        labels, text = _labels_and_text(new, answer)
        assert text == answer
        if reader is not Qwen2Tokenizer or maker == "qwen2":  # which splits plain text differently
            assert labels == _labels_and_text(old, answer)[0]
    _check_region_tokens(loaded)
    # ``skip_special_tokens`` deletes the time tokens of a saved tokenizer, but not of an exported one.
    plain = loaded.decode(loaded.encode(ANSWER, add_special_tokens=False), skip_special_tokens=True)
    assert ("<TEMP-007><TEMP-041>" in plain) is (form == "exported")
    assert "<|im_end|>" not in loaded.decode(_labels_and_text(new, ANSWER)[0], skip_special_tokens=True)


@pytest.mark.parametrize("maker", MAKERS)
def test_spaces_around_the_tokens_survive(maker: str, tmp_path: Path) -> None:
    """Some published special tokens strip the spaces around them. Fails if the codec relies on the tokenizer
    to find or decode the added tokens."""
    write_qwen2(tmp_path / "base")
    stripping = (
        AutoTokenizer.from_pretrained(tmp_path / "base")
        if maker == "qwen2"
        else train_tokenizer(TEXTS, vocab_size=320)
    )
    stripping.add_tokens(
        [AddedToken(t, special=True, normalized=False, lstrip=True, rstrip=True) for t in ADDED_TOKENS],
        special_tokens=True,
    )
    stripped = stripping.decode(stripping.encode("It is red [SEG] , there", add_special_tokens=False))
    assert stripped != "It is red [SEG] , there", "this tokenizer strips no spaces, so the test shows nothing"
    assert _labels_and_text(PromptCodec(stripping), "It is red [SEG] , there")[1] == "It is red [SEG] , there"


def test_tokens_survive_in_a_tokenizer_written_in_python(tmp_path: Path) -> None:
    """Fails if the codec decodes as a slow tokenizer does, without special tokens, or if saving loses one."""
    slow = Slow(eos_token=IM_END, pad_token=END_OF_TEXT)
    slow.add_tokens(list(CONTROL_TOKENS), special_tokens=True)
    first = add_tokens(slow)
    first.save_pretrained(str(tmp_path))
    loaded: Any = Slow.from_pretrained(str(tmp_path))
    assert loaded.is_fast is False
    ids = first.convert_tokens_to_ids(list(ADDED_TOKENS))
    assert len(set(ids)) == 102
    assert loaded.convert_tokens_to_ids(list(ADDED_TOKENS)) == ids
    assert TokenIds.of(loaded) == TokenIds.of(first)
    assert len(loaded) == len(first)
    for tokenizer in (first, loaded):
        for answer in (ANSWER, EVERY):
            assert _labels_and_text(PromptCodec(tokenizer), answer)[1] == answer
        _check_region_tokens(tokenizer)


def test_qwen2_has_only_one_tokenizer_class() -> None:
    """The matrix above is complete: both names of Qwen2's tokenizer are one class, which is a fast one."""
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


def test_a_config_of_an_unknown_model_type_causes_no_warning(tmp_path: Path, caplog) -> None:
    """The published config.json is stored beside the tokenizer. Catches a warning without a remedy."""
    export_tokenizer(_trained(tmp_path), tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "videorefer_qwen2", "hidden_size": 8}')
    logger = logging.getLogger("transformers")  # it does not propagate to the root logger
    logger.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.WARNING, "transformers"):
            load_tokenizer(tmp_path)
            assert caplog.messages == []
            AutoTokenizer.from_pretrained(tmp_path)
            assert "of type `videorefer_qwen2`" in caplog.text, "transformers itself does warn"
    finally:
        logger.removeHandler(caplog.handler)


def test_end_of_text_may_serve_as_the_unknown_token(tmp_path: Path) -> None:
    """Qwen2Tokenizer uses <|endoftext|> as unk_token where the files name none; it is not missing then."""
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
