"""What the toy VideoRefer reads before UFVideo is trained, and whether the committed one can."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
import torch

from evaluation.predict.toy import unknown_words
from pipeline.plan.load import load_plan
from training.model.processor import Example
from training.model.prompt import PromptCodec
from training.model.tokenizer import load_tokenizer
from training.model.tokens import IGNORE
from training.model.ufvideo import UFVideo
from training.stage.start import make_model
from training.toy_weights import sentences
from training.toy_weights.make import VIDEOREFER
from training.toy_weights.probes import Probes, Taught
from training.toy_weights.reading import Reader, Share, answers_of, make_tokenizer

REPO = Path(__file__).resolve().parents[3]
OPTION = re.compile(r"(?:^|[\n ])\(?([A-D])[.)] (.+?)(?=\.?\n|\.?$| \([A-D]\)| Answer)")
TOKENIZER = load_tokenizer(REPO / "toy_weights" / VIDEOREFER)


@pytest.fixture(scope="module")
def toy() -> UFVideo:
    """The demo's model as init makes it."""
    return make_model(load_plan(str(REPO / "plans" / "demo.yaml")), TOKENIZER).eval()


def test_the_letter_of_every_answer_is_that_of_its_option() -> None:
    rng = random.Random(1)
    asked = 0
    for _ in range(300):
        for exchange in sentences.reading(rng):
            found = re.fullmatch(r"\(?([A-D])[.)] (.+?)\.?", exchange.answer)
            if not found:
                continue
            asked += 1
            options = dict(OPTION.findall(exchange.question))
            assert options[found[1]] == found[2]
            assert list(options) == list(sentences.LETTERS[: len(options)])
            assert exchange.key in found[2].split()
    assert asked > 200


def test_answers_about_a_text_are_true_of_it() -> None:
    rng = random.Random(2)
    for _ in range(300):
        things = sentences.draw_things(rng)
        asked = sentences.ask(rng, things, about="slides")
        by_name = {thing.name: thing for thing in things}
        if found := re.fullmatch(r"Where is the (.+)\?", asked.text):
            thing = by_name[found[1]]
            slides = re.findall(r"(\d): ([^.]+)\.", sentences.listed(things))
            shown = [int(number) for number, names in slides if thing.name in names]
            assert asked.statement == f"{shown[0]} to {shown[-1]}"
        if found := re.fullmatch(r"Is there a (\w+) (\w+)\?", asked.text):
            there = any(t.colour == found[1] and found[2] in (t.shape, "shape") for t in things)
            assert asked.answer == ("yes" if there else "no")
        assert asked.answer not in asked.wrong


def test_the_probes_look_at_options_words_and_evidence(toy: UFVideo) -> None:
    reader, probes = Reader(toy, PromptCodec(TOKENIZER), 3), Probes(toy, TOKENIZER)

    def word_at(example: Example, place: int) -> str:
        return str(TOKENIZER.decode([example.input_ids[place]])).strip()

    for _ in range(40):
        taught = reader.taught(sentences.reading(reader.rng))
        example, dialogue = taught.example, taught.dialogue
        named = [option for exchange in dialogue for option in OPTION.findall(exchange.question)]
        options = probes.options(example)
        assert ["ABCD"[letter] for _, letter in options] == [letter for letter, _ in named]
        assert [word_at(example, k) for k, _ in options] == [sentences.key_of(text) for _, text in named]
        chosen = [exchange.key for exchange in dialogue if re.match(r"\(?[A-D][.)]", exchange.answer)]
        assert [word_at(example, k) for _, k in probes.lookups(example)] == chosen
        for exchange, (mark, places) in zip(dialogue, probes.answers(example), strict=True):
            assert word_at(example, mark) == "?"
            assert (example.labels or ())[places[0]] == IGNORE
            if exchange.subject:
                assert exchange.word in exchange.subject.split()
    losses = probes(_taken(toy, reader.batch(Share(1.0, lookups=2, texts=4, shows=4))), 32)
    assert sorted(losses) == ["answer", "evidence", "letter", "lookup", "seen", "word"]
    assert all(loss.isfinite() for loss in losses.values())
    probes.remove()


def _taken(toy: UFVideo, batch: list[Taught]) -> list[Taught]:
    """The batch, after a forward of the model, whose states the probes keep."""
    with torch.no_grad():
        answers_of(toy, [taught.example for taught in batch])
    return batch


def test_a_slide_show_has_its_pictures_and_marked_shape(toy: UFVideo) -> None:
    reader = Reader(toy, PromptCodec(TOKENIZER), 4)
    shows = reader.shows(12)
    assert any(taught.example.region_frame_indices for taught in shows)
    for taught in shows:
        show = taught.example
        assert show.video is not None
        assert len(show.video) == toy.config.num_frames
        assert bool(show.region_masks.any()) == bool(show.region_frame_indices)
        assert taught.seen is not None
        assert taught.seen.shape == (toy.config.video_tokens, 18)
        assert int(taught.seen.any(0).sum()) <= 3


def test_the_committed_model_chooses_by_letter_from_lists_and_about_pictures(toy: UFVideo) -> None:
    """In lists and slide shows that it has not seen; by chance about 0.35 and 0.4."""
    reader = Reader(toy, PromptCodec(TOKENIZER), 99)
    letters = torch.tensor(TOKENIZER.convert_tokens_to_ids(list(sentences.LETTERS)))
    lists = [reader.taught(sentences.lookups(reader.rng)) for _ in range(16)]
    with torch.no_grad():
        logits, target, shown = answers_of(toy, [taught.example for taught in [*lists, *reader.shows(40)]])
    letter = torch.isin(target, letters)
    right = (logits.argmax(-1) == target).float()
    assert float(right[letter & ~shown].mean()) > 0.95
    assert float(right[letter & shown].mean()) > 0.7


def test_the_tokenizer_is_made_again_and_has_every_word_of_the_demo_whole() -> None:
    assert make_tokenizer(20).get_vocab() == TOKENIZER.get_vocab()
    for question in (
        "Can you segment the largest shape in this video?",
        "When is the green circle is visible occur in the video? Only give the start and end timestamp.",
        "Does <object1>[<region>] move or rest? (A) it moves (B) it rests",
        "In this video one object is marked. Say what each does and give its masks.",
        "Give the segmentation mask of the square in blue. What does it do in {<TEMP-012><TEMP-050>}?",
    ):
        assert unknown_words(TOKENIZER, question) == ()
