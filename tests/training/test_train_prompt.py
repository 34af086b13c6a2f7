"""One prompt codec: labels, truncation by rule, and decoding that keeps time tokens."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.records.sample import Role, Turn
from training.model.prompt import PromptCodec, Refusal, RefusedSample
from training.model.tokenizer import train_tokenizer
from training.model.tokens import ADDED_TOKENS, IGNORE, VIDEO_PLACEHOLDER

TEXTS = [
    "What is the red square doing?",
    "It moves to the left.",
    "Segment the blue circle.",
    "In {<TEMP-001><TEMP-099>}.",
]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return train_tokenizer(TEXTS * 5, vocab_size=400)


@pytest.fixture(scope="module")
def codec(tokenizer: Any) -> PromptCodec:
    return PromptCodec(tokenizer)


def conversation(*texts: str) -> list[Turn]:
    return [Turn(role=Role.USER if i % 2 == 0 else Role.ASSISTANT, text=t) for i, t in enumerate(texts)]


def test_only_answers_and_their_end_tokens_have_labels(codec: PromptCodec) -> None:
    made = codec.encode_training(
        conversation("What is <region>?", "A red square.", "When?", "In {<TEMP-001><TEMP-099>}."),
        max_text_tokens=500,
        regions=1,
        masks=0,
    )
    assert len(made.input_ids) == len(made.labels)
    kept = [label for label in made.labels if label != IGNORE]
    assert codec.decode(kept) == "A red square.In {<TEMP-001><TEMP-099>}."
    assert kept.count(codec.ids.eos[0]) == 2
    assert all(label in (IGNORE, id_) for label, id_ in zip(made.labels, made.input_ids, strict=True))
    assert made.input_ids.count(VIDEO_PLACEHOLDER) == 1
    assert made.input_ids.index(VIDEO_PLACEHOLDER) < made.input_ids.index(codec.ids.region)


def test_text_is_that_of_the_chat_template(codec: PromptCodec, tokenizer: Any) -> None:
    turns = conversation(
        "What is the red square doing?", "It moves to the left.", "When?", "In {<TEMP-001><TEMP-099>} [SEG]."
    )
    ours = [
        i
        for i in codec.encode_training(turns, max_text_tokens=500, regions=0, masks=1).input_ids
        if i != VIDEO_PLACEHOLDER
    ]
    messages = [{"role": str(t.role), "content": t.text} for t in turns]
    messages[0]["content"] = "\n" + messages[0]["content"]  # the line break after the video
    assert tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False) == ours
    prompt_ids = [i for i in codec.encode_prompt(turns[:3], regions=0) if i != VIDEO_PLACEHOLDER]
    assert (
        tokenizer.apply_chat_template(
            messages[:3], tokenize=True, add_generation_prompt=True, return_dict=False
        )
        == prompt_ids
    )


def test_a_prompt_is_the_beginning_of_its_training_text(codec: PromptCodec) -> None:
    turns = conversation("Segment the blue circle.", " [SEG]")
    whole = codec.encode_training(turns, max_text_tokens=500, regions=0, masks=1)
    prompt = codec.encode_prompt(turns[:1], regions=0)
    assert whole.input_ids[: len(prompt)] == prompt
    assert whole.labels[len(prompt)] != IGNORE
    assert set(whole.labels[: len(prompt)]) == {IGNORE}


class Slow:
    """A tokenizer whose ``decode`` always drops special tokens, as slow ones may."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def __len__(self) -> int:
        return len(self.inner)

    def decode(self, ids: list[int], **options: Any) -> str:
        special = set(self.inner.all_special_ids) | {
            self.inner.convert_tokens_to_ids(t) for t in ADDED_TOKENS
        }
        return self.inner.decode([i for i in ids if i not in special], **options)


def test_decoding_keeps_time_tokens_with_any_tokenizer(tokenizer: Any) -> None:
    text = "It is red [SEG] in {<TEMP-007><TEMP-041>}."
    for each in (tokenizer, Slow(tokenizer)):
        codec = PromptCodec(each)
        ids = codec.encode_training(conversation("?", text), max_text_tokens=500, regions=0, masks=1).labels
        assert codec.decode([i for i in ids if i != IGNORE]) == text
    assert "<TEMP-007>" not in tokenizer.decode(
        tokenizer.encode(text), skip_special_tokens=True
    )  # skip_special_tokens does drop them


def test_an_id_without_a_token_is_decoded_as_a_replacement_character(
    codec: PromptCodec, tokenizer: Any
) -> None:
    assert codec.decode([len(tokenizer) + 5]) == "\ufffd"


def test_added_tokens_have_the_published_order(tokenizer: Any) -> None:
    ids = tokenizer.convert_tokens_to_ids(list(ADDED_TOKENS))
    assert ids == list(range(ids[0], ids[0] + 102))


@pytest.mark.parametrize(
    ("texts", "regions", "masks", "limit", "reason"),
    [
        (("a " * 40, "It is red."), 0, 0, 40, Refusal.TOO_LONG_QUESTION),
        (("?", "red " * 60 + "[SEG]"), 0, 1, 60, Refusal.CUTS_SEG),
        (("?", "left", "red " * 60 + "<region>?", "yes"), 1, 0, 60, Refusal.CUTS_REGION),
        (("<region>?", "yes"), 2, 0, 500, Refusal.REGION_COUNT),
        (("?", "[SEG]"), 0, 2, 500, Refusal.SEG_COUNT),
        (("?", "<region>"), 0, 0, 500, Refusal.REGION_IN_ANSWER),
        (("?<|im_end|>", "yes"), 0, 0, 500, Refusal.CONTROL_TOKEN),
        (("?",), 0, 0, 500, Refusal.TURNS),
    ],
)
def test_a_sample_that_cannot_be_encoded_is_refused_with_its_reason(
    codec: PromptCodec, texts: tuple[str, ...], regions: int, masks: int, limit: int, reason: Refusal
) -> None:
    with pytest.raises(RefusedSample) as caught:
        codec.encode_training(conversation(*texts), max_text_tokens=limit, regions=regions, masks=masks)
    assert caught.value.reason is reason


def test_a_long_answer_is_truncated_and_the_lost_tokens_are_counted(codec: PromptCodec) -> None:
    made = codec.encode_training(conversation("?", "red " * 100), max_text_tokens=60, regions=0, masks=0)
    assert len(made.input_ids) == 60
    assert made.truncated > 20


def test_training_the_tokenizer_twice_gives_the_same_vocabulary(tokenizer: Any) -> None:
    assert train_tokenizer(TEXTS * 5, vocab_size=400).get_vocab() == tokenizer.get_vocab()
