"""Parts of a dataset's card: tallies, ranks, words, axes, galleries."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from datasets_prep.card import gallery, page, tally
from datasets_prep.card.conversation import conversation, lanes
from datasets_prep.card.histogram import make_axis
from datasets_prep.card.measures import MEASURES
from datasets_prep.card.pick import Smallest, ranks
from datasets_prep.card.tally import Tally, Videos
from datasets_prep.card.text_length import count_words
from pipeline.records.sample import MaskTrack
from pipeline.times import temporal
from tests.datasets_prep.card_corpus import NASTY, SECONDS, clip, rle_of, samples, turns
from tests.datasets_prep.clips import HEIGHT, WIDTH


def test_options_are_listed_where_the_question_lacks_them() -> None:
    own = replace(samples()["train/talk"][3], turns=turns("Which?"))
    assert gallery.show(own, {}).choices == (("Red.", False), (NASTY, True))
    assert gallery.show(replace(own, turns=turns("Which? (A) red. (B) blue?")), {}).choices == ()


def test_the_gallery_shows_a_frame_of_a_short_span_and_one_of_every_object() -> None:
    sample = samples()["bench/when"][0]
    short = replace(sample, spans=(temporal.span(1.02, 1.08, SECONDS),))
    assert 10 in gallery.frames_to_show(short)
    many = [MaskTrack(height=HEIGHT, width=WIDTH, frames=tuple(range(20)), counts=(rle_of(9),) * 20)]
    many += [MaskTrack(height=HEIGHT, width=WIDTH, frames=(f,), counts=(rle_of(9),)) for f in (1, 3)]
    frames = gallery.frames_to_show(replace(sample, targets=tuple(many)))
    assert {1, 3} <= set(frames)
    assert len(frames) <= gallery.PICTURES


def test_long_conversations_are_folded_and_state_how_much_is_left_out() -> None:
    own = samples()["train/talk"][0]
    long = replace(own, turns=turns(*[f"turn {i}" for i in range(8)], "x" * 5000 + "[SEG]"))
    shortened = conversation(long)
    assert shortened[8].cut == 1000 + len("[SEG]")
    shown = gallery.show(long, {})
    assert (len(shown.turns), len(shown.more_turns)) == (6, 3)
    assert lanes(replace(own, video=clip("a.mp4", duration_s=0.0))) == []


def test_a_tally_is_bounded_and_does_not_depend_on_the_order() -> None:
    rng = np.random.default_rng(0)
    values = rng.lognormal(10, 1.5, 300_000).astype(np.int64)
    one, other = Tally(), Tally()
    one.add(values)
    for part in np.array_split(values[::-1], 50):
        other.add(part)
    parts = []
    for part in np.array_split(rng.permutation(values), 3):
        parts.append(Tally())
        parts[-1].add(part)
    merged = Tally.merged(parts)
    measure = next(m for m in MEASURES if m.name == "video")
    axis = make_axis(measure, one)
    counts, _ = np.histogram(values, axis.edges)
    for made in (one, other, merged):
        assert made.coarse == one.coarse > 1
        assert len(made._values) <= tally.MAX_DISTINCT
        assert made.between(axis.edges) == counts.tolist()
        assert (made.count, made.low, made.high) == (len(values), values.min(), values.max())
        assert made.quantile(0.5) == pytest.approx(np.quantile(values, 0.5), rel=0.05)


def test_quantiles_are_nearest_ranks() -> None:
    made = Tally()
    made.add(np.array([4, 1, 9, 9]))
    assert [made.quantile(q) for q in (0.05, 0.25, 0.5, 0.51, 1.0)] == [1, 1, 4, 9, 9]
    assert made.between([1, 4, 9]) == [1, 3]
    assert Tally().quantile(0.5) == 0


def test_distinct_videos_are_estimated_where_they_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "MAX_VIDEOS", 2000)
    monkeypatch.setattr(tally, "_PENDING", 500)
    hashes = np.random.default_rng(1).integers(0, 2**64, 30_000, dtype=np.uint64)
    one, other = Videos(), Videos()
    for part in np.array_split(np.concatenate([hashes, hashes[::-1]]), 40):
        one.add(part, np.full(len(part), 1000))
    other.add(hashes[::-1][:20_000], np.full(20_000, 1000))
    assert len(one.ticks) <= 2000
    assert one.count == pytest.approx(30_000, rel=0.1)
    assert one.total_ticks == one.count * 1000
    assert one.shared(other) == other.shared(one) == pytest.approx(20_000, rel=0.15)
    assert Videos.merged([one, other]).count == pytest.approx(30_000, rel=0.1)
    few = Videos()
    few.add(hashes[:5].repeat(3), np.repeat([1, 2, 3, 4, 5], 3))
    assert (few.count, few.total_ticks, few.scale, few.shared(few)) == (5, 15, 1, 5)


def test_the_lowest_ranks_do_not_depend_on_batches() -> None:
    keys = [f"k{i}" for i in range(100)]
    groups = pa.array(["even" if i % 2 == 0 else "odd" for i in range(100)])
    drawn = ranks(1, keys)
    whole, pieces = Smallest[int](3), Smallest[int](3)
    whole.offer(groups, drawn, lambda i: i)
    for at in range(90, -1, -10):
        pieces.offer(groups.slice(at, 10), drawn[at : at + 10], lambda i, at=at: at + i)  # type: ignore[misc]
    assert pieces.groups == ["even", "odd"]
    assert [pieces.of(g) for g in pieces.groups] == [whole.of(g) for g in whole.groups]
    assert whole.of("odd") == sorted(range(1, 100, 2), key=lambda i: drawn[i])[:3]
    assert set(ranks(2, keys)) != set(drawn)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0), ("Hello, world!", 4), ("don't stop", 4), ("a_b c2", 2), ("Größe über naïve", 3),
        ("“so” – ok", 5), ("日本語", 3), ("a <region> b [SEG].", 5), ("{<TEMP-012><TEMP-047>}", 4),
        ("<TEMP-", 3), ("\n\t ", 0), ("Привет, мир", 3), ("🚲🚲", 2),
    ],
)  # fmt: skip
def test_words_are_counted_in_every_script(text: str, count: int) -> None:
    assert count_words(pa.array([text])).tolist() == [count]
    assert count_words(pa.array(["x y", text, "", text, "z"]).slice(1, 3)).tolist() == [count, 0, count]


@pytest.mark.parametrize(
    ("name", "values", "edges", "labels"),
    [
        ("objects", [1, 1, 3], (1, 2, 3, 4), ["1", "2", "3"]),
        ("right", [1, 2], (0, 1, 2, 3), ["A", "B", "C"]),
        ("video", [10_000], (0, 500, 10_000), ["0", "2.5", "5", "7.5", "10"]),
        ("video", [100, 4_000, 9_000], (0, 500, 9_000), ["0", "2.5", "5", "7.5"]),
        ("words", [*range(1, 100)], (0, 5, 100), ["0", "25", "50", "75", "100"]),
        ("video", [6_130, 9_000], (6_000, 6_200, 9_000), ["6", "7", "8", "9"]),
        ("words", [1, 1, 1, 900], (1, 2, 1000), ["1", "10", "100", "1,000"]),
        ("mask", [1, 1, 1, 9000], (1, 2, 10_000), ["0.01", "0.1", "1", "10", "100"]),
    ],
)
def test_axes_have_round_edges(
    name: str, values: list[int], edges: tuple[int, ...], labels: list[str]
) -> None:
    """``edges``: all of them, or the first two and the last."""
    made = Tally()
    made.add(np.array(values))
    measure = next(m for m in MEASURES if m.name == name)
    axis = make_axis(measure, made)
    assert (axis.edges[0], axis.edges[1], axis.edges[-1]) == (edges[0], edges[1], edges[-1])
    assert [measure.exact(axis.edges[i]) for i in axis.labelled] == labels
    assert sum(made.between(axis.edges)) == len(values)


def test_totals_have_readable_units() -> None:
    videos = Videos()
    videos.add(np.array([1], np.uint64), np.array([7_200_000]))
    assert page._hours(videos) == "2.0 h"
    assert page._size(1_234_567) == "1.2 MB"
    assert page._percent(1, 0) == "–"
