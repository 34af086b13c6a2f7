"""The answer store, and the division of questions into units."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tiny_bench import sample, track

from evaluation.answer_store import Answered, AnswerStore
from evaluation.prediction import Prediction
from evaluation.question import question_digest
from evaluation.work import Item, choose_samples, units
from pipeline.plan.evaluation import UNIT_SAMPLES
from pipeline.records import masks
from pipeline.records.sample import Turn
from pipeline.storage.location import Location

SETTINGS = {"checkpoint": "c", "device": "cpu float32"}


def answers(count: int) -> list[Answered]:
    full = Prediction(
        key="k0", source="a/b", text="naïve {<TEMP-074><TEMP-025>} [SEG]",
        masks=(track(0, range(3)), track(1, range(2))),
    )  # fmt: skip
    rest = [Prediction(key=f"k{i}", source="a/b", failure="no room") for i in range(1, count)]
    return [Answered(question=f"q{i}", prediction=p) for i, p in enumerate([full, *rest])]


def store(folder: Path, **more: str) -> AnswerStore:
    return AnswerStore.at(Location.parse(folder), {**SETTINGS, **more})


def test_stored_answers_are_found_by_key_and_question(tmp_path: Path) -> None:
    made = answers(3)
    written = store(tmp_path).write("a/b", made)
    index, damaged = store(tmp_path).index("a/b")
    assert damaged == []
    assert index == written
    assert set(index) == {("k0", "q0"), ("k1", "q1"), ("k2", "q2")}
    order = [("k2", "q2"), ("k0", "q0")]
    assert list(store(tmp_path).read("a/b", [index[name] for name in order])) == [
        made[2].prediction,
        made[0].prediction,
    ]


def test_other_weights_or_another_device_share_no_answers(tmp_path: Path) -> None:
    store(tmp_path).write("a/b", answers(1))
    assert store(tmp_path, checkpoint="other").index("a/b") == ({}, [])
    assert store(tmp_path, device="cuda bfloat16").index("a/b") == ({}, [])
    assert store(tmp_path).index("a") == ({}, [])


def test_equal_answers_are_stored_as_equal_bytes(tmp_path: Path) -> None:
    store(tmp_path / "one").write("a/b", answers(3))
    store(tmp_path / "two").write("a/b", answers(3))
    one, two = (sorted((tmp_path / name).rglob("*.parquet")) for name in ("one", "two"))
    assert [p.name for p in one] == [p.name for p in two]
    assert one[0].read_bytes() == two[0].read_bytes()


@pytest.mark.parametrize("cut", [False, True])
def test_a_damaged_part_is_named_and_its_answers_are_dropped(tmp_path: Path, cut: bool) -> None:
    made = answers(3)
    store(tmp_path).write("a/b", made[:2])
    store(tmp_path).write("a/b", made[2:])
    parts = sorted(tmp_path.rglob("*.parquet"))
    content = bytearray(parts[0].read_bytes())
    content[len(content) // 3] ^= 1  # in a page, which reading alone would not notice
    parts[0].write_bytes(content[: len(content) // 2] if cut else content)
    index, damaged = store(tmp_path).index("a/b")
    assert damaged == [f"a/b/{parts[0].name}"]
    assert 0 < len(index) < 3
    assert not parts[0].exists()
    assert store(tmp_path).index("a/b") == (index, [])


def test_a_question_s_digest_covers_what_the_model_sees_and_no_truth() -> None:
    one = sample("bench/mevis", 0)
    turns = one.turns[:1]
    base = question_digest(one, turns)
    target = one.targets[0]
    other_truth = replace(target, counts=tuple(masks.empty(48, 64) for _ in target.counts))
    assert question_digest(replace(one, targets=(other_truth,), reference="x", spans=()), turns) == base
    fewer = replace(target, frames=target.frames[:4], counts=target.counts[:4])
    clip = sample("bench/mvbench", 0).clip
    changed = [
        question_digest(one, (Turn(turns[0].role, "Another?"),)),
        question_digest(replace(one, video=replace(one.video, sha256="f" * 64)), turns),
        question_digest(replace(one, clip=clip), turns),
        question_digest(replace(one, regions=one.targets), turns),
        question_digest(replace(one, targets=(fewer,)), turns),
    ]
    assert len({base, *changed}) == 6


def item(number: int, cost: int = 1, entry: str = "e", source: str = "s") -> Item:
    return Item(
        entry=entry,
        source=source,
        row=number,
        key=f"{source}/{number}",
        question="q",
        video="v",
        cost=cost,
    )


def test_units_have_questions_of_similar_cost_the_most_expensive_first() -> None:
    items = [item(n, cost=1 + n % 3, source="st"[n % 2]) for n in range(150)]
    made = units(items)
    sizes = [len(u.items) for u in made]
    assert sizes[:2] == [UNIT_SAMPLES, UNIT_SAMPLES]
    assert sizes == sorted(sizes, reverse=True), "the last ones, which decide when actors finish, are small"
    assert (sizes[-2], sum(sizes)) == (4, 150)
    flat = [i for u in made for i in u.items]
    assert sorted(i.key for i in flat) == sorted(i.key for i in items)
    assert [i.cost for i in flat] == sorted((i.cost for i in items), reverse=True)
    assert units(items[::-1]) == made


def test_a_question_of_two_entries_is_asked_once() -> None:
    made = units([item(n, entry=entry) for entry in ("one", "two") for n in range(3)])
    assert [(i.entry, i.row) for u in made for i in u.items] == [("one", 0), ("one", 1), ("one", 2)]


def test_a_limit_chooses_samples_by_their_keys() -> None:
    keys = [sample("bench/mvbench", n).key for n in range(40)]
    assert choose_samples(keys, None, 1, "benchmark") == list(range(40))
    limited = [keys[i] for i in choose_samples(keys, 6, 1, "benchmark")]
    assert len(limited) == 6
    assert limited == sorted(limited, key=keys.index)
    shuffled = keys[::-1]
    assert {shuffled[i] for i in choose_samples(shuffled, 6, 1, "benchmark")} == set(limited)
    assert set(limited) < {keys[i] for i in choose_samples(keys, 7, 1, "benchmark")}


def test_many_small_parts_become_few_large_ones(tmp_path: Path) -> None:
    """Catches a store that has to be read as thousands of files, and one that loses or mixes up answers."""
    made = [
        Answered(question=f"q{n}", prediction=Prediction(key=f"k{n:03d}", source="a/b", text=f"answer {n}"))
        for n in range(100)
    ]
    here = store(tmp_path)
    for at in range(0, 100, 2):
        here.write("a/b", made[at : at + 2])
    masks_part = here.write("a/b", answers(1))
    before, _ = here.index("a/b")
    here.compact("a/b")
    assert len(list(tmp_path.rglob("*.parquet"))) == 2, "the part with masks stays as it is"
    after, damaged = here.index("a/b")
    assert damaged == []
    assert set(after) == set(before)
    assert after[("k0", "q0")] == masks_part[("k0", "q0")]
    for index in (before, after):  # an index from before compaction still finds its answers
        order = [index[f"k{n:03d}", f"q{n}"] for n in (7, 99, 0)]
        assert [p.text for p in here.read("a/b", order)] == ["answer 7", "answer 99", "answer 0"]
    parts = sorted(p.name for p in tmp_path.rglob("*.parquet"))
    here.compact("a/b")
    assert sorted(p.name for p in tmp_path.rglob("*.parquet")) == parts
