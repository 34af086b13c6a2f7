"""A question outside a toy's world is answered with a note; one in it, or to a real model, without."""

from __future__ import annotations

import pytest
from answering_checkpoint import QUESTION

from evaluation.predict.answer import Answer
from evaluation.predict.ask import Checkpoint
from evaluation.predict.toy import LARGEST_TOY, note, unknown_words
from training.model.tokenizer import train_tokenizer

SEEN = ["What colour is the moving shape? It is red.", "Answer with the option's letter from the choices."]


def test_words_that_the_toy_never_read_are_told_once_and_in_order() -> None:
    tokenizer = train_tokenizer(SEEN * 50, vocab_size=400)
    for known in (*SEEN, "is the Red Shape moving?", "What colour is <region>? [SEG] <TEMP-012>"):
        assert unknown_words(tokenizer, known) == ()
    words = unknown_words(tokenizer, "What colour is the dog near the kitchen? Is the dog red?")
    assert words == ("dog", "near", "kitchen")
    assert note(words, 500).startswith(
        'this is a toy model, and "dog", "near", "kitchen" are not among its 500 tokens: it knows only'
    )
    assert 'and "dog" is not among' in note(("dog",), 500)


def test_a_real_models_vocabulary_is_not_looked_into() -> None:
    class Large:
        """A tokenizer that is never asked."""

        def __len__(self) -> int:
            return LARGEST_TOY + 1

    assert unknown_words(Large(), "a dog") == ()


def test_an_answer_has_the_note(model: Checkpoint, answer: Answer) -> None:
    assert answer.notes == ()
    video, question = answer.question.clip.path, f"{QUESTION} Or is it a giraffe?"
    first, *_ = model.ask(video, question, frames=1).notes
    assert '"giraffe"' in first


@pytest.mark.parametrize("question", ["", "?!", "3 - 4"])
def test_a_question_without_words_has_none(question: str) -> None:
    assert unknown_words(train_tokenizer(SEEN, vocab_size=300), question) == ()
