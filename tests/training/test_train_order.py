"""The order of samples must not depend on how the work is divided."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipeline.plan.training import MixtureEntry, StageConfig
from training.data.mixture import Mixture, SourceRows
from training.data.order import BatchSplit, Order, Visit


def mixture(sizes: dict[str, int], entries: dict[str, MixtureEntry] | None = None, seed: int = 3) -> Mixture:
    rows = [SourceRows.of(name, [f"{name}/{i}" for i in range(n)]) for name, n in sizes.items()]
    return Mixture.of(rows, entries or {}, seed)


def global_batches(order: Order, split: BatchSplit, start: int, stop: int) -> list[list[Visit]]:
    """The global batches: every worker's micro-batches, joined by position."""
    workers = [
        list(order.micro_batches(split, w, start_step=start, stop_step=stop)) for w in range(split.workers)
    ]
    real = [[not math.isinf(one.divisor) for one in split.passes(w)] for w in range(split.workers)]
    out = []
    for step in range(stop - start):
        turns = range(split.accumulation)
        out.append(
            [
                place
                for turn in turns
                for w, micro in enumerate(workers)
                if real[w][turn]
                for place in micro[step * split.accumulation + turn]
            ]
        )
    return out


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 24),
    st.integers(1, 4),
    st.dictionaries(st.sampled_from("abc"), st.integers(1, 17), min_size=1),
    st.floats(0.2, 3.5),
    st.integers(0, 5),
)
def test_order_is_the_same_for_every_layout_and_from_every_step(
    batch: int, workers: int, sizes: dict[str, int], repeat: float, start: int
) -> None:
    order = Order(
        mixture({**sizes, "z": 5}, {"z": MixtureEntry(), **{s: MixtureEntry(repeat=repeat) for s in sizes}}),
        global_batch=batch,
    )
    expected = [order.batch(step) for step in range(7)]
    for micro in range(1, batch + 1):
        split = BatchSplit(global_batch=batch, workers=min(workers, batch), micro_batch=micro)
        assert global_batches(order, split, start, 7) == expected[start:]


@settings(deadline=None)
@given(st.integers(1, 600), st.integers(1, 40), st.integers(1, 9))
def test_passes_of_any_number_of_workers_are_even_and_each_sample_counts_once(
    batch: int, workers: int, micro: int
) -> None:
    """Catches a sample that counts more in one layout than in another, and a pass above the limit."""
    assume(workers <= batch)
    split = BatchSplit(global_batch=batch, workers=workers, micro_batch=micro)
    passes = [split.passes(w) for w in range(workers)]
    assert {len(own) for own in passes} == {split.accumulation}
    counts = Counter(slot for own in passes for one in own for slot in one.slots if one.divisor < math.inf)
    assert counts == Counter(range(batch))
    sizes = [len(one.slots) for own in passes for one in own if one.divisor < math.inf]
    assert max(sizes) <= micro
    assert max(sizes) - min(sizes) <= 1
    # The mean over workers of each one's sum of means: every sample has the weight 1 / batch.
    for one in (one for own in passes for one in own if one.divisor < math.inf):
        assert 1 / len(one.slots) / one.divisor / workers == pytest.approx(1 / batch)
    if batch % (workers * micro) == 0:
        assert {one.divisor for own in passes for one in own} == {split.accumulation}
        assert passes[-1][0].slots == range((workers - 1) * micro, workers * micro)


def test_more_workers_than_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="3 workers cannot share 2 samples"):
        BatchSplit(global_batch=2, workers=3, micro_batch=1)


def test_an_epoch_visits_every_sample_as_often_as_its_repeat() -> None:
    order = Order(
        mixture({"a": 10, "b": 7}, {"a": MixtureEntry(repeat=2.5), "b": MixtureEntry(cap=4)}), global_batch=1
    )
    assert order.epoch_size == 25 + 4
    for epoch in range(3):
        seen = Counter((p.source, p.row) for p in (order.visit(epoch * 29 + i) for i in range(29)))
        assert sorted(n for (s, _), n in seen.items() if s == 0) == [2] * 5 + [3] * 5
        assert len([1 for s, _ in seen if s == 1]) == 4


def test_epochs_differ_in_order_but_a_cap_keeps_the_same_samples() -> None:
    order = Order(mixture({"a": 40}, {"a": MixtureEntry(cap=12)}), global_batch=1)
    first, second = ([order.visit(e * 12 + i).row for i in range(12)] for e in range(2))
    assert first != second
    assert set(first) == set(second)


def test_order_follows_names_not_positions() -> None:
    keys = [f"k{i}" for i in range(30)]
    one = Order(Mixture.of([SourceRows.of("a", keys)], {}, 5), global_batch=1)
    reversed_ = Order(Mixture.of([SourceRows.of("a", keys[::-1])], {}, 5), global_batch=1)
    assert [keys[one.visit(i).row] for i in range(60)] == [
        keys[::-1][reversed_.visit(i).row] for i in range(60)
    ]


def test_stage_length_rounds_up_so_that_every_sample_is_visited() -> None:
    order = Order(mixture({"a": 10}), global_batch=4)
    assert order.steps(epochs=1, steps=None) == 3
    assert order.steps(epochs=2, steps=None) == 5
    assert order.steps(epochs=None, steps=7) == 7
    visited = Counter(p.row for step in range(3) for p in order.batch(step) if p.epoch == 0)
    assert sorted(visited) == list(range(10))


def test_realised_counts_are_the_rounded_planned_ones() -> None:
    counts = {
        c.source: c
        for c in mixture(
            {"a": 10, "b": 7}, {"a": MixtureEntry(repeat=0.25), "b": MixtureEntry(cap=4, repeat=3)}
        ).counts(1)
    }
    assert (counts["a"].planned, counts["a"].realised) == (2.5, 3)
    assert (counts["b"].available, counts["b"].used, counts["b"].realised) == (7, 4, 12)


def test_weights_are_shares_of_an_epoch() -> None:
    weights = {"a": MixtureEntry(weight=1), "b": MixtureEntry(weight=3, cap=20)}
    made = mixture({"a": 60, "b": 100}, weights)
    planned = {c.source: (c.used, c.planned, c.realised) for c in made.counts(0)}
    assert planned == {"a": (60, 20.0, 20), "b": (20, 60.0, 60)}
    assert Order(made, global_batch=1).epoch_size == 60 + 20


def test_all_entries_of_a_mixture_have_a_weight_or_none() -> None:
    stage = {"name": "s", "global_batch": 1, "steps": 1, "layout": {"workers": 1, "micro_batch": 1}}
    both = {"a": {"weight": 2}, "b": {}}
    with pytest.raises(ValueError, match=r"entry a has a weight and b has none.*every entry of the stage"):
        StageConfig.model_validate(stage | {"mixture": both})
    with pytest.raises(ValueError, match="entry a has both repeat and weight"):
        StageConfig.model_validate(stage | {"mixture": {"a": {"weight": 2, "repeat": 2}}})


def test_unknown_source_is_refused() -> None:
    with pytest.raises(ValueError, match="names c"):
        mixture({"a": 3}, {"c": MixtureEntry()})


def test_stages_see_the_same_samples_in_other_batches():
    one, two = (Order(mixture({"a": 64}), global_batch=8, stage=name) for name in ("stage1", "stage2"))
    first, second = ([p for step in range(8) for p in o.batch(step)] for o in (one, two))
    assert first != second
    assert sorted(p.row for p in first) == sorted(p.row for p in second)
