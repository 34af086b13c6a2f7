"""Samples that are read by column are those that are read row by row."""

from __future__ import annotations

from dataclasses import fields
from itertools import pairwise
from random import Random

import pyarrow as pa
import pytest

from pipeline.dataset.arrow import SAMPLE_SCHEMA, WITH_VOID, to_table
from pipeline.dataset.sample_rows import from_table
from pipeline.records.sample import MaskTrack, Role, Sample, Task, TimeSpan, Turn, VideoRef

COUNT = 60


def _span(rng: Random) -> TimeSpan:
    start = rng.uniform(0, 10)
    return TimeSpan(start_s=start, end_s=start + rng.random(), start_bin=rng.randrange(50), end_bin=99)


def _track(rng: Random) -> MaskTrack:
    frames = tuple(sorted(rng.sample(range(30), rng.randrange(4))))
    return MaskTrack(height=4, width=6, frames=frames, counts=tuple("é0" * frame for frame in frames))


def _sample(n: int, rng: Random) -> Sample:
    """Lists of all lengths, empty ones too; videos and clips that some samples share or lack."""

    def some(make: object) -> tuple:
        return tuple(make(rng) for _ in range(rng.choice((0, 0, 1, 3))))  # type: ignore[operator]

    video = VideoRef(
        path=f"{n // 3}.mp4", num_frames=n // 3, fps=n // 3 / 7, duration_s=0.1 * (n // 3), sha256="s",
        frames=("a.png", "b.png")[: n // 3 % 3], frame_starts_s=(0.0, 0.25)[: n // 3 % 3],
    )  # fmt: skip
    return Sample(
        key=f"s/{n}", dataset="s", task=rng.choice(list(Task)), video=video,
        turns=tuple(Turn(rng.choice(list(Role)), "ü" * k) for k in range(rng.randrange(4))),
        regions=some(_track), targets=some(_track), spans=some(_span), question_spans=some(_span),
        instants=some(_span), clip=rng.choice((None, _span(rng))), expression="x" * n,
        choices=("a", "", "c")[: rng.randrange(4)], answer_index=rng.randrange(-1, 3),
        reference=rng.choice(("", "r")), category=rng.choice(("", "c")), void=rng.choice((None, _track(rng))),
    )  # fmt: skip


@pytest.fixture
def samples() -> list[Sample]:
    rng = Random(7)
    return [_sample(n, rng) for n in range(COUNT)]


def test_by_column_and_by_row_are_the_same(samples: list[Sample]) -> None:
    table = to_table(samples)
    assert table.schema == WITH_VOID
    assert from_table(table) == samples
    assert [one for n in range(COUNT) for one in from_table(table.slice(n, 1))] == samples
    for got, true in zip(from_table(table), samples, strict=True):
        for name in (field.name for field in fields(Sample)):
            a, b = getattr(got, name), getattr(true, name)
            assert (type(a), repr(a)) == (type(b), repr(b)), name  # 1 and 1.0, or a str for a Task, are equal
    assert len({id(one.video) for one in from_table(table)}) == COUNT / 3


def test_parts_of_a_table(samples: list[Sample]) -> None:
    """A slice keeps the values of the whole table below it, and chunks have their own."""
    table = to_table(samples)
    assert from_table(table.slice(11, 30)) == samples[11:41]
    order = [5, 40, 3, 3, 59, 0, 17, 18, 19]
    assert from_table(table.take(order)) == [samples[n] for n in order]
    edges = (0, 1, 30, COUNT)
    chunks = pa.concat_tables([table.slice(a, b - a).combine_chunks() for a, b in pairwise(edges)])
    assert from_table(chunks.slice(1, 50)) == samples[1:51]
    assert from_table(table.slice(0, 0)) == []


def test_some_columns(samples: list[Sample]) -> None:
    names = ["key", "dataset", "task", "video", "turns", "clip"]
    got = from_table(to_table(samples).select(names))
    assert [(one.key, one.clip, one.turns) for one in got] == [(s.key, s.clip, s.turns) for s in samples]
    assert {one.choices for one in got} == {()}
    assert all(name in SAMPLE_SCHEMA.names for name in names)
