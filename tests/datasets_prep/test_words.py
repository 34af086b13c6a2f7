"""The fast path for plain dialogues gives the same bytes as the ordinary path, for any records."""

from __future__ import annotations

import random
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from datasets_prep.draft import RejectError
from datasets_prep.passes import dialogue_columns, shard_job
from datasets_prep.passes.chunks import PlannedChunk, cut, list_units
from datasets_prep.passes.finish import Finisher
from datasets_prep.passes.media_table import media_table
from datasets_prep.passes.probe import probe_media
from datasets_prep.passes.read import media_of_chunks, name_media, records_of
from datasets_prep.passes.select import ALL
from datasets_prep.passes.shard_job import Receipt, ShardJob, run_job
from datasets_prep.passes.survey import survey_chunks
from datasets_prep.sources import Record, reader_of
from pipeline.dataset.arrow import SAMPLE_SCHEMA, dialogue_table, to_table
from pipeline.plan.data import SourceConfig
from pipeline.records.sample import Role, Sample, Task, Turn, VideoRef
from pipeline.storage.location import Location
from tests.datasets_prep.clips import write_clip
from tests.datasets_prep.test_odd_records import write_rows

BLANK = ("\u2003", "")
VIDEOS = (*(f"v{n}.mp4" for n in range(40)), *["short.mp4", "gone.mp4", "../v0.mp4", None] * 4)
PLAIN = ("What moves?", "A ball.", "  Blanks \n", "Zwei Bälle 🎾", *BLANK, "[SEG", "x" * 9_000, "x" * 11_000)
MARKED = (
    "<image>\nWhat moves?",
    "<video>\n What? ",
    "What <image> moves?",
    "a < b",
    "a > b",
    "{<TEMP-010><TEMP-020>}",
    "<TEMP-120>",
    "Sure, [SEG].",
    "<region>",
    "\0",
)
ASKED = ("Which?\nA. red\nB. blue", "Which?\nA. red\nPick one.")
GIVEN = ("A. red", "B", "B. blue.", "red", "C", "A. blue", "green")


def row(draw: random.Random) -> Any:
    """A random record; most are valid dialogues."""
    names = ["human", "gpt"] * 4
    turns: list[Any] = [
        {"from": names[n], "value": draw.choice(PLAIN[:4] if draw.random() < 0.8 else PLAIN + MARKED)}
        for n in range(draw.choice((2, 2, 4, 6, 8)))
    ]
    if len(turns) == 2 and draw.random() < 0.7:
        turns[0]["value"], turns[1]["value"] = draw.choice(ASKED), draw.choice(GIVEN)
    if draw.random() < 0.5:
        turns[0]["value"] = "<image>\n" + turns[0]["value"]
    if draw.random() < 0.3:  # an invalid turn
        at = draw.randrange(len(turns))
        turns[at] = draw.choice(
            [
                {**turns[at], "from": draw.choice(("user", "assistant", "system", None, ["gpt"]))},
                {**turns[at], "value": draw.choice((None, 3, ["a"]))},
                {"from": "human"},
                "text",
                None,
            ]
        )
    made: Any = {
        "video": draw.choice(
            (*(f"v{n}.mp4" for n in range(40)), *["short.mp4", "gone.mp4", "../v0.mp4", None] * 4)
        ),
        "conversations": turns if draw.random() < 0.95 else draw.choice(([], turns[:-1], None, "text", {})),
    }
    if draw.random() < 0.8:
        made["data_source"] = draw.choice(("academic", "youtube", 3))
    return made if draw.random() < 0.97 else draw.choice((None, [], "text", 1))


def shard_of(folder: Path, config: SourceConfig, cut_at: int = ALL) -> tuple[Receipt, bytes]:
    """The receipt and the bytes of the only shard of a source."""
    out = Location.parse(folder / "made")
    units = list_units([config], Location.parse)
    chunks = [PlannedChunk(unit=0, chunk=c) for c in cut(units[0], 64)]
    asked = [survey_chunks([(n, p.chunk) for n, p in enumerate(chunks)], units[0], 1)]
    table = pa.concat_tables(asked)
    if cut_at != ALL:  # media of samples that are not selected are not probed
        drafts = table.filter(pc.greater_equal(table["record"], 0))
        assert len(drafts) > 0
        named = drafts.filter(pc.less_equal(drafts["rank"], pa.scalar(cut_at, pa.uint64())))["media_id"]
        table = table.filter(pc.is_in(table["media_id"], named.combine_chunks()))
    named = table.filter(pc.less(table["record"], 0)).select(["media_id", "media"])
    media = media_table([probe_media(named, Location.parse)])
    job = ShardJob(source=config.name, number=0, chunks=tuple(chunks), cut=cut_at)
    receipt = run_job(job, units, Finisher(config, media, 5, 1), out, 1)
    assert receipt.shard is not None
    return receipt, (out / receipt.shard.name).read_bytes()


def only_the_ordinary_path(
    records: Iterable[dialogue_columns.Numbered], *_: Any
) -> tuple[dialogue_columns.DialogueColumns, list[Any]]:
    return dialogue_columns.DialogueColumns(), list(records)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("more", "cut_at"),
    [
        ({}, ALL),
        ({"split_turns": True}, ALL),
        ({"keep_types": ["youtube"]}, ALL),
        ({"select": {"count": 150}}, 1 << 63),
    ],
    ids=["all", "split", "one type", "half of the ranks"],
)
def test_both_paths_give_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, more: dict[str, Any], cut_at: int
) -> None:
    write_clip(tmp_path / "v0.mp4", frames=20, fps=10)
    for n in range(1, 40):
        (tmp_path / f"v{n}.mp4").hardlink_to(tmp_path / "v0.mp4")
    write_clip(tmp_path / "short.mp4", frames=3, fps=10)
    draw = random.Random(seed)
    path = write_rows(tmp_path, *(row(draw) for _ in range(300)))
    fields = {"name": "s", "format": "llava_video", "annotations": str(path), "media": (str(tmp_path),)}
    config = SourceConfig.model_validate(fields | more)
    taken: list[int] = []

    def part(*arguments: Any) -> Any:
        found = dialogue_columns.part(*arguments)
        taken.append(len(found[0].keys))
        return found

    monkeypatch.setattr(shard_job, "part", part)
    short = shard_of(tmp_path, config, cut_at)
    monkeypatch.setattr(shard_job, "part", only_the_ordinary_path)
    assert short == shard_of(tmp_path, config, cut_at)
    assert short[0].read - len(short[0].rejects) - short[0].not_selected > 0
    assert bool(sum(taken)) == ("keep_types" not in more), (
        "the fast path must be used, except with keep_types"
    )


@pytest.mark.parametrize("seed", range(4))
def test_the_survey_finds_the_media_that_conversion_needs(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    rows = [row(draw) for _ in range(300)]
    rows += [{"video": f"v{n % 3}.mp4", "data_source": n % 2 or "youtube"} for n in range(12)]
    rows += [{"video": ["a/1.jpg", "a/2.jpg"], "data_source": "youtube"}, ["video"], "video", 3, None]
    path = write_rows(tmp_path, *rows)
    fields = {"name": "s", "format": "llava_video", "annotations": str(path), "media": (str(tmp_path),)}
    config = SourceConfig.model_validate(fields)
    unit = list_units([config], Location.parse)[0]
    reader, chunks, named = reader_of(config.format), cut(unit, 64), set()
    for chunk in chunks:
        for record in records_of(unit, chunk):
            with suppress(RejectError):
                named.update(name_media(medium, config) for medium in reader.media(record, config, 1))
    found = list(media_of_chunks(unit, chunks, 1))
    assert set(found) == named
    assert len(found) < 2 * len(named) < len(rows), "repeated media are mostly skipped"


def test_texts_that_need_conversion_are_not_on_the_fast_path() -> None:
    fields = {"name": "s", "format": "llava_video", "annotations": "a", "media": ["m"]}
    source = SourceConfig.model_validate(fields)
    reader = reader_of(source.format)
    assert isinstance(reader, dialogue_columns.ReadsDialogues)
    for text in (*MARKED[2:-1], *BLANK, "x" * 11_000):
        raw = {
            "video": "v.mp4",
            "conversations": [{"from": "human", "value": text}, {"from": "gpt", "value": "A"}],
        }
        assert reader.dialogue(Record("s/0", raw), source) is None, text


def test_the_table_of_dialogues_equals_the_table_of_samples() -> None:
    videos = [
        VideoRef(path="a.mp4", num_frames=3, frame_starts_s=(0.0, 0.1, 0.4)),
        VideoRef(path="b", frames=("1.jpg",)),
    ]
    texts = [["q", "a"], ["q", "a", "ü", "🎾"], ["x", "y"]]
    of = [0, 1, 0]
    samples = [
        Sample(
            key=f"k{n}",
            dataset="d",
            task=Task.CHOICE if n == 2 else Task.QA,
            choices=("x", "y") if n == 2 else (),
            answer_index=1 if n == 2 else -1,
            video=videos[of[n]],
            turns=tuple(Turn((Role.USER, Role.ASSISTANT)[i % 2], t) for i, t in enumerate(own)),
            category=f"c{n}",
        )
        for n, own in enumerate(texts)
    ]
    table = dialogue_table(
        "d",
        keys=[s.key for s in samples],
        videos=to_table(samples)["video"].combine_chunks(),
        texts=texts,
        categories=[s.category for s in samples],
        choices=[s.choices for s in samples],
        answer_indices=[s.answer_index for s in samples],
    )
    table.validate(full=True)
    assert table.equals(to_table(samples), check_metadata=True)
    nothing = SAMPLE_SCHEMA.empty_table()["video"].combine_chunks()
    none = dialogue_table(
        "d", keys=[], videos=nothing, texts=[], categories=[], choices=[], answer_indices=[]
    )
    assert none.equals(to_table([]))
