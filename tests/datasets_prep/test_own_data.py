"""One's own data: every form of a record, what a wrong one is told, and a list divided by videos."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pycocotools import mask as coco
from pydantic import ValidationError

from datasets_prep import run
from datasets_prep.draft import RejectError
from datasets_prep.passes.chunks import list_units
from datasets_prep.sources import Files, reader_of
from datasets_prep.sources.own.record import EXAMPLES, FIELDS
from pipeline.dataset.manifest import Manifest
from pipeline.dataset.reader import ShardReader
from pipeline.errors import UserError
from pipeline.plan.data import PrepConfig, SourceConfig
from pipeline.plan.load import load_plan
from pipeline.records import masks
from pipeline.records.sample import Sample, Task
from pipeline.storage.location import Location
from tests.datasets_prep.clips import HEIGHT, WIDTH, write_clip, write_folder

BOX_HW = np.zeros((HEIGHT, WIDTH), np.uint8)
BOX_HW[8:20, 10:30] = 1
POLYGON = [[10, 8, 30, 8, 30, 20, 10, 20]]
SAME: dict[str, Any] = {"size": [HEIGHT, WIDTH], "counts": masks.encode(BOX_HW)}
_edges = np.flatnonzero(np.diff(BOX_HW.ravel(order="F"))) + 1  # down columns
RUNS = {"size": [HEIGHT, WIDTH], "counts": np.diff([0, *_edges.tolist(), BOX_HW.size]).tolist()}


def home(tmp_path: Path, videos: tuple[str, ...] = ("a.mp4",)) -> Path:
    """A folder with clips of 2 s, 20 frames each, and a PNG mask."""
    first = write_clip(tmp_path / "media" / videos[0])
    for name in videos[1:]:
        (tmp_path / "media" / name).write_bytes(first.read_bytes())
    (tmp_path / "png" / "dog").mkdir(parents=True)
    Image.fromarray(BOX_HW * 255).save(tmp_path / "png" / "dog" / "0.png")
    return tmp_path


def source(folder: Path, place: str = "own.jsonl", **more: Any) -> SourceConfig:
    fields = {"name": "own", "format": "jsonl", "annotations": str(folder / place)}
    return SourceConfig.model_validate(
        {**fields, "media": [str(folder / "media")], "masks": str(folder / "png"), **more}
    )


def build(
    folder: Path, *sources: SourceConfig, out: str = "out", seed: int = 1
) -> tuple[Manifest, ShardReader]:
    def resolve(path: str) -> Location:
        return Location.parse(path, folder / "cache")

    target = Location.parse(folder / out)
    manifest = run.build(PrepConfig(sources=sources, rows_per_shard=7), resolve, target, seed)
    return manifest, ShardReader(target)


def prepared(folder: Path, records: list[Any], **more: Any) -> tuple[list[Sample], list[dict[str, Any]]]:
    (folder / "own.jsonl").write_text("\n".join(map(json.dumps, records)))
    _, reader = build(folder, source(folder, **more))
    return [reader.sample("own", n) for n in range(reader.count("own"))], reader.rejects().to_pylist()


def mark(mask: Any, **at: Any) -> dict[str, Any]:
    return {"frame": 4, "mask": mask} if not at else {**at, "mask": mask}


VIDEO = {"video": "a.mp4"}
# Record -> task, texts of the turns.
FORMS: list[tuple[dict[str, Any], Task, list[str]]] = [
    ({"question": "<video>\nWhat is it?", "answer": " A dog. "}, Task.QA, ["What is it?", "A dog."]),
    (
        {"messages": [{"from": "human", "value": "Who?"}, {"from": "gpt", "value": "A dog."}]},
        Task.QA,
        ["Who?", "A dog."],
    ),
    (
        {
            "messages": [
                {"role": "user", "content": "Who?"},
                {"role": "assistant", "content": "A dog."},
                {"role": "user", "content": "When?"},
                {"role": "assistant", "content": "At {span}."},
            ],
            "spans": [[0.5, 1.5]],
        },
        Task.TEMPORAL,
        ["Who?", "A dog.", "When?", "At {<TEMP-025><TEMP-074>}."],
    ),
    ({"question": "When?", "spans": [[0.5, 1.5]]}, Task.TEMPORAL, ["When?", "{<TEMP-025><TEMP-074>}"]),
    ({"question": "When?", "spans": [0.5, 1.5]}, Task.TEMPORAL, ["When?", "{<TEMP-025><TEMP-074>}"]),
    (
        {
            "question": "When?",
            "answer": "Twice.",
            "spans": [{"start": 0, "end": 1}, {"start": 1.5, "end": 2}],
        },
        Task.TEMPORAL,
        ["When?", "Twice. {<TEMP-000><TEMP-050>}, {<TEMP-074><TEMP-099>}"],
    ),
    (
        {"question": "What happens in {span}?", "answer": "A jump.", "spans": [[0, 1]]},
        Task.TEMPORAL,
        ["What happens in {<TEMP-000><TEMP-050>}?", "A jump."],
    ),
    (
        {"question": "What is <region>?", "answer": "A dog.", "regions": [mark(POLYGON)]},
        Task.REFER,
        ["What is <region>?", "A dog."],
    ),
    (
        {"question": "What is this?", "answer": "A dog.", "regions": mark(POLYGON)},
        Task.REFER,
        ["What is this? <region>", "A dog."],
    ),
    ({"question": "Segment it.", "masks": [mark(SAME)]}, Task.SEGMENT, ["Segment it.", "Sure, [SEG]."]),
    (
        {"question": "Segment both.", "masks": [mark(SAME), mark(POLYGON)]},
        Task.SEGMENT,
        ["Segment both.", "Sure, [SEG], [SEG]."],
    ),
    (
        {"question": "Where?", "answer": "The dog [SEG] is left.", "masks": [mark(SAME)]},
        Task.SEGMENT,
        ["Where?", "The dog [SEG] is left."],
    ),
    (
        {"question": "Where?", "answer": "Left.", "spans": [[0, 1]], "masks": [mark(SAME)]},
        Task.COOPERATIVE,
        ["Where?", "Left. {<TEMP-000><TEMP-050>} [SEG]"],
    ),
    (
        {"question": "<region> too?", "answer": "[SEG]", "regions": [mark(SAME)], "masks": [mark(SAME)]},
        Task.COOPERATIVE,
        ["<region> too?", "[SEG]"],
    ),
]


@pytest.mark.usefixtures("without_ray")
def test_every_form_of_a_record_becomes_the_sample_that_it_describes(tmp_path: Path):
    samples, rejects = prepared(home(tmp_path), [VIDEO | record for record, *_ in FORMS])
    assert not rejects
    for sample, (record, task, texts) in zip(samples, FORMS, strict=True):
        assert (sample.task, [t.text for t in sample.turns]) == (task, texts), record
        for track in (*sample.targets, *sample.regions):
            assert track.frames == (4,)


MASKS = {
    "compressed": {"4": SAME},
    "runs": {"4": RUNS},
    "polygon": {"4": POLYGON},
    "png": {"4": "dog/0.png"},
    "at a time": {"0.45s": POLYGON},
    "marks": [{"frame": 4, "mask": SAME}],
    "marks at times": [{"time": 0.4, "mask": SAME}],
    "one mark": {"time": 0.4, "mask": "dog/0.png"},
}


@pytest.mark.usefixtures("without_ray")
def test_every_form_of_a_mask_gives_the_same_mask(tmp_path: Path):
    record = {**VIDEO, "question": "Segment <region>."}
    records = [record | {"masks": [m], "regions": [m]} for m in MASKS.values()]
    absent = {**VIDEO, "question": "Segment it.", "masks": [{"3": SAME, "1.9s": None, "0": []}]}
    samples, rejects = prepared(home(tmp_path), [*records, absent])
    assert not rejects
    for sample, name in zip(samples, MASKS, strict=False):
        for track in (*sample.targets, *sample.regions):
            assert track.frames == (4,), name
            decoded = masks.decode(track.counts[0], HEIGHT, WIDTH)
            assert np.array_equal(decoded, BOX_HW), name
    track = samples[-1].targets[0]
    areas = [masks.area(counts, HEIGHT, WIDTH) for counts in track.counts]
    assert (track.frames, [bool(a) for a in areas]) == ((0, 3, 19), [False, True, False])
    assert coco.area({"size": [HEIGHT, WIDTH], "counts": SAME["counts"].encode()}) == areas[1]


@pytest.mark.parametrize("answer", ["B", "b. a dog", "(B)", "a dog", "A dog.", 1])
@pytest.mark.usefixtures("without_ray")
def test_the_answer_of_a_choice_is_a_letter_an_index_or_a_text(tmp_path: Path, answer: Any):
    record = {**VIDEO, "question": "Who?", "options": ["(A) a cat", "(B) a dog"], "answer": answer}
    if answer == "b. a dog":
        record["answer"] = "B. a dog"
    ((trained,), _) = prepared(home(tmp_path), [record])
    assert (trained.task, trained.choices, trained.answer_index) == (Task.CHOICE, ("a cat", "a dog"), 1)
    assert trained.turns[0].text.startswith("Who?\nOptions:\nA. a cat.\nB. a dog.\n")
    assert trained.turns[1].text == "B. a dog."
    ((tested,), _) = prepared(tmp_path, [record], use="benchmark")
    assert [t.text for t in tested.turns] == ["Who?"]  # the benchmark's prompt names the options
    assert tested.answer_index == 1


@pytest.mark.usefixtures("without_ray")
def test_a_clip_stills_a_category_and_an_id(tmp_path: Path):
    write_folder(home(tmp_path) / "media" / "stills", 6)
    clip = {**VIDEO, "question": "When?", "spans": [[1, 1.5]], "start": 0.5, "end": 1.5, "category": "pets"}
    stills = {
        "video": [f"stills/{n:05d}.jpg" for n in range(6)],
        "question": "What?",
        "answer": "Grey.",
        "id": 7,
    }
    (first, second), rejects = prepared(tmp_path, [clip, stills])
    assert not rejects
    assert first.clip is not None
    assert (first.clip.start_s, first.clip.end_s, first.category) == (0.5, 1.5, "pets")
    assert (first.spans[0].start_s, first.spans[0].end_s) == (1.0, 1.5)  # of the whole file
    assert (first.spans[0].start_bin, first.spans[0].end_bin) == (50, 99)  # of the clip
    assert (first.key, second.key) == ("own/0", "own/1/7")
    assert len(second.video.frames) == 6


@pytest.mark.usefixtures("without_ray")
def test_every_kind_of_file_gives_the_same_samples(tmp_path: Path):
    folder = home(tmp_path)
    records = [
        {**VIDEO, "id": f"r{n}", "question": "Segment it.", "masks": [{"frame": n, "mask": SAME}]}
        for n in range(9)
    ]
    lines = "\n".join(map(json.dumps, records))
    (folder / "a.json").write_text(json.dumps(records))
    (folder / "b.jsonl").write_text(lines)
    (folder / "c.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    pq.write_table(pa.Table.from_pylist(records), folder / "d.parquet", row_group_size=4)
    found = []
    for name in ("a.json", "b.jsonl", "c.jsonl.gz", "d.parquet"):
        _, reader = build(folder, source(folder, name), out=f"out-{name}")
        found.append([reader.sample("own", n) for n in range(reader.count("own"))])
    assert len(found[0]) == 9
    assert found[0][3].targets[0].frames == (3,)
    assert all(other == found[0] for other in found)


@pytest.mark.usefixtures("without_ray")
def test_the_plan_maps_names(tmp_path: Path):
    columns = {"video": "path", "question": "q", "answer": "caption"}
    good = {"path": "a.mp4", "q": "What?", "caption": "A dog.", "video": 17, "answer": None}
    (sample,), rejects = prepared(home(tmp_path), [good, {"path": "a.mp4", "q": 3}], columns=columns)
    assert [t.text for t in sample.turns] == ["What?", "A dog."]
    assert rejects[0]["detail"].startswith("`q` is 3, a text was expected; for example {")
    assert '"path": "dog.mp4", "q": "What' in rejects[0]["detail"]
    with pytest.raises(ValidationError, match=r"vido is no field of jsonl; Did you mean video\?"):
        source(tmp_path, columns={"vido": "path"})


QA = {**VIDEO, "question": "Who?", "answer": "A dog."}
TWO = {**VIDEO, "question": "Who?", "options": ["cat", "dog"]}
# What is wrong -> record, field whose example is shown ("" for none), reason, words of the message.
WRONG: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "no video": ({"question": "Who?", "answer": "A dog."}, "video", "malformed", "`video` is missing"),
    "a number for a video": (QA | {"video": 3}, "video", "malformed", "`video` is 3, a path was expected"),
    "no question": ({**VIDEO, "answer": "A dog."}, "question", "malformed", "`question` is missing"),
    "no answer": (
        {**VIDEO, "question": "Who?"},
        "answer",
        "turns",
        "`answer` is missing, and training needs one",
    ),
    "a number for an answer": (QA | {"answer": 3}, "answer", "malformed", "`answer` is 3, a text"),
    "two forms": (QA | {"messages": []}, "messages", "malformed", "there are `messages` and `question` and"),
    "messages of one form": (
        {**VIDEO, "messages": [{"role": "user", "content": "?"}]},
        "messages",
        "turns",
        "the last turn has no answer",
    ),
    "one option": (TWO | {"options": ["cat"], "answer": "A"}, "options", "malformed", "two to 26 texts"),
    "no right option": (TWO | {"answer": "bird"}, "options", "bad_choice", "is none of the 2 options"),
    "an index outside": (TWO | {"answer": 2}, "options", "bad_choice", "answer 2 is no index of 2 options"),
    "no right answer": (TWO, "options", "bad_choice", "`answer` is None; the letter, the text or the index"),
    "an index or a text": (
        TWO | {"options": ["1", "2", "3"], "answer": 1},
        "options",
        "bad_choice",
        "which is option 1 and the text of option 0",
    ),
    "a letter or a text": (
        TWO | {"options": ["B", "A"], "answer": "A"},
        "options",
        "bad_choice",
        "which is option 0 and the text of option 1",
    ),
    "options twice": (
        TWO | {"question": "Who?\nA. cat\nB. dog", "answer": "A"},
        "options",
        "malformed",
        "the question lists options itself",
    ),
    "an option and a mask": (
        TWO | {"answer": "A", "masks": [mark(SAME)]},
        "",
        "malformed",
        "write two records",
    ),
    "a word for spans": (
        QA | {"spans": "0-3"},
        "spans",
        "malformed",
        "`spans` is '0-3', a list of [start, end]",
    ),
    "three times": (QA | {"spans": [[1, 2, 3]]}, "spans", "malformed", "`spans` has [1, 2, 3]; [start, end]"),
    "no end": (QA | {"spans": [{"start": 1}]}, "spans", "malformed", "`spans` has {'start': 1}"),
    "a word for a time": (QA | {"spans": [["1s", 2]]}, "spans", "malformed", "`spans` '1s' is not a number"),
    "another number of spans": (
        QA | {"answer": "{span}, {span}", "spans": [[0, 1]]},
        "spans",
        "placeholders",
        "the texts hold 2 {span}, `spans` has 1",
    ),
    "a span past the end": (QA | {"spans": [[0, 3]]}, "", "span_outside", "of a video of 2.000 s"),
    "another number of masks": (
        QA | {"answer": "[SEG] [SEG]", "masks": [mark(SAME)]},
        "masks",
        "target_count",
        "the answers hold 2 [SEG], `masks` has 1 objects",
    ),
    "a [SEG] without a mask": (
        QA | {"answer": "It is [SEG]."},
        "masks",
        "target_count",
        "the answers hold 1 [SEG], `masks` has 0 objects",
    ),
    "another number of regions": (
        QA | {"question": "<region>, <region>?", "regions": [mark(SAME)]},
        "regions",
        "region_count",
        "the questions hold 2 <region>, `regions` has 1 objects",
    ),
    "no frame": (QA | {"masks": [SAME]}, "masks", "malformed", "'size' is neither a frame (12) nor a time"),
    "no mask": (QA | {"masks": [{"frame": 3}]}, "masks", "malformed", "`mask` and one of `frame` and `time`"),
    "a frame and a time": (
        QA | {"masks": [{"frame": 3, "time": 1, "mask": SAME}]},
        "masks",
        "malformed",
        "one of `frame` and `time`",
    ),
    "a frame before the start": (
        QA | {"masks": [{"-1": SAME}]},
        "masks",
        "malformed",
        "neither a frame (12)",
    ),
    "a number for a mask": (QA | {"masks": [{"3": 7}]}, "masks", "bad_mask", "7 is neither RLE, polygons"),
    "no such PNG": (
        QA | {"masks": [{"3": "x.png"}]},
        "masks",
        "mask_missing",
        "'x.png' is not in the source's",
    ),
    "a PNG elsewhere": (QA | {"masks": [{"3": "../x.png"}]}, "masks", "malformed", "is not a path below"),
    "a PNG in colours": (QA | {"masks": [{"3": "rgb.png"}]}, "masks", "bad_mask", "has colours (mode RGB)"),
    "a PNG of several objects": (
        QA | {"masks": [{"3": "two.png"}]},
        "masks",
        "bad_mask",
        "the values 0, 1, 2",
    ),
    "a mask of another size": (QA | {"masks": [{"3": "small.png"}]}, "", "mask_size", "mask [4, 4]"),
    "a mask past the end": (QA | {"masks": [{"20": SAME}]}, "", "frame_outside", "a video of 20 frames"),
    "a mask after the end": (
        QA | {"masks": [{"2.5s": SAME}]},
        "",
        "frame_outside",
        "mask at 2.5 s of a video",
    ),
    "two masks of one frame": (
        QA | {"masks": [{"4": SAME, "0.41s": SAME}]},
        "",
        "bad_mask",
        "annotated twice",
    ),
    "a mask outside the clip": (
        QA | {"masks": [{"4": SAME}], "start": 1, "end": 2},
        "",
        "frame_outside",
        "mask on frame 4, and the clip shows the frames 10 to 19",
    ),
    "a word for the start": (
        QA | {"start": "early", "end": 1},
        "start",
        "malformed",
        "`start` 'early' is not",
    ),
    "a list for an id": (QA | {"id": [1]}, "id", "malformed", "`id` is [1]; a number, or a text"),
    "a list for a category": (QA | {"category": [1]}, "category", "malformed", "`category` is [1], a text"),
    "a misspelt field": (
        QA | {"mask": [mark(SAME)]},
        "masks",
        "malformed",
        "`mask` is no field, `masks` probably",
    ),
    "no object": ({"x": 1}, "video", "malformed", "`video` is missing"),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.usefixtures("without_ray")
def test_a_record_that_does_not_fit_is_told_what_was_there_and_what_was_expected(tmp_path: Path, case: str):
    folder = home(tmp_path)
    Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(folder / "png" / "rgb.png")
    Image.fromarray(np.arange(HEIGHT * WIDTH, dtype=np.uint8).reshape(HEIGHT, WIDTH) % 3).save(
        folder / "png" / "two.png"
    )
    Image.fromarray(np.ones((4, 4), np.uint8)).save(folder / "png" / "small.png")
    record, field, reason, words = WRONG[case]
    (_,), (reject,) = prepared(folder, [QA, record])
    assert reject["reason"] == reason, reject
    assert words in reject["detail"]
    assert len(reject["detail"]) < 400, "a longer one is cut off, and its example with it"
    if field:
        shown = json.loads(reject["detail"].partition("; for example ")[2])
        assert shown == EXAMPLES[field]


def test_the_examples_of_the_messages_are_records(tmp_path: Path):
    path = tmp_path / "own.jsonl"
    path.write_text("\n".join(json.dumps(EXAMPLES[field]) for field in FIELDS))
    config, reader = source(tmp_path), reader_of("jsonl")
    for field, record in zip(FIELDS, reader.records(config, Files(annotations=path)), strict=True):
        assert field in EXAMPLES[field]
        assert len(reader.convert(record, config, 0)) == 1


def test_a_png_without_the_folder_of_masks_says_what_to_set(tmp_path: Path):
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps(QA | {"masks": [{"3": "a.png"}]}))
    config, reader = source(tmp_path, masks=None), reader_of("jsonl")
    (record,) = reader.records(config, Files(annotations=path))
    with pytest.raises(RejectError, match="set `masks` of the source to the folder"):
        reader.convert(record, config, 0)


@pytest.mark.usefixtures("without_ray")
def test_masks_must_be_a_folder(tmp_path: Path):
    folder = home(tmp_path)
    (folder / "own.jsonl").write_text(json.dumps(QA))
    with pytest.raises(UserError, match=r"own.jsonl, which is not a folder"):
        build(folder, source(folder, masks=str(folder / "own.jsonl")))


@pytest.mark.usefixtures("without_ray")
def test_a_benchmark_asks_one_question_and_keeps_the_answer_as_reference(tmp_path: Path):
    two = [{"role": r, "content": c} for r, c in zip(("user", "assistant") * 2, "abcd", strict=True)]
    hidden = {**VIDEO, "question": "Who?"}
    timed = {**VIDEO, "question": "When?", "answer": "At {span}.", "spans": [[0, 1.5]]}
    records = [QA, hidden, timed, {**VIDEO, "messages": two}]
    (first, second, third), (reject,) = prepared(home(tmp_path), records, use="benchmark")
    assert (first.reference, second.reference, third.reference) == ("A dog.", "", "At 0 to 1.5 s.")
    assert len(second.turns) == 1
    assert "a benchmark asks one question" in reject["detail"]


# A list divided by videos.

VIDEOS = tuple(f"clip-{n}.mp4" for n in range(40))


def divided(tmp_path: Path, format_: str = "jsonl") -> tuple[Path, list[SourceConfig]]:
    folder = home(tmp_path, VIDEOS)
    turns = [{"from": "human", "value": "Who?"}, {"from": "gpt", "value": "A dog."}]
    form = {"question": "Who?", "answer": "A dog."} if format_ == "jsonl" else {"conversations": turns}
    records = [{"video": name, "data_source": "x", **form} for name in VIDEOS for _ in range(2)]
    (folder / "own.jsonl").write_text("\n".join(map(json.dumps, records)))
    masks_at: dict[str, Any] = {} if format_ == "jsonl" else {"masks": None}
    common: dict[str, Any] = {"format": format_, **masks_at}
    return folder, [
        source(folder, name="train", select={"videos": [0, 0.8]}, **common),
        source(folder, name="held_out", use="benchmark", select={"videos": [0.8, 1]}, **common),
    ]


@pytest.mark.parametrize("format_", ["jsonl", "llava_video"])
@pytest.mark.usefixtures("without_ray")
def test_two_ranges_divide_a_list_by_its_videos(tmp_path: Path, format_: str):
    folder, sources = divided(tmp_path, format_)
    manifest, reader = build(folder, *sources)
    seen = {
        s.name: [reader.sample(s.name, n).video.path for n in range(reader.count(s.name))] for s in sources
    }
    train, held_out = set(seen["train"]), set(seen["held_out"])
    assert not train & held_out
    assert train | held_out == set(VIDEOS)
    assert 3 <= len(held_out) <= 13  # 8 of 40 are expected
    for entry in manifest.sources:
        assert (entry.read, entry.kept + entry.not_selected, entry.rejected) == (80, 80, 0)
        assert entry.kept == 2 * len(set(seen[entry.name]))
    _, again = build(folder, *sources, out="again", seed=2)
    assert {again.sample("held_out", n).video.path for n in range(again.count("held_out"))} != held_out
    few = sources[0].model_copy(update={"select": sources[0].select.model_copy(update={"count": 10})})
    _, some = build(folder, few, out="few")
    assert some.count("train") == 10
    assert {some.sample("train", n).video.path for n in range(10)} <= train


@pytest.mark.usefixtures("without_ray")
def test_a_range_without_a_video_says_so(tmp_path: Path):
    folder, sources = divided(tmp_path)
    narrow = source(folder, select={"videos": [0.5, 0.5001]})
    with pytest.raises(UserError, match=r"selects none of its 80 records.*another `seed`, or a wider range"):
        build(folder, sources[0], narrow)


def test_ranges_that_overlap_or_are_none_are_refused(tmp_path: Path):
    _, (train, held_out) = divided(tmp_path)
    for ranges in ([0, 0.81], [0, 1]):
        other = source(tmp_path, name="train", select={"videos": ranges})
        with pytest.raises(ValidationError, match="the ranges must not overlap"):
            PrepConfig(sources=(other, held_out))
    PrepConfig(sources=(train, held_out))
    for wrong in ([0.5, 0.5], [0.8, 0.2], [-0.1, 1], [0, 1.5]):
        with pytest.raises(ValidationError, match="is no range within 0 and 1"):
            source(tmp_path, select={"videos": wrong})


# What a benchmark of such a list needs.


def plan(tmp_path: Path, **bench: Any) -> Path:
    kept = bench.pop("keep_types", [])
    made = {
        "name": "p",
        "storage": {"root": str(tmp_path)},
        "data": {
            "sources": [
                source(tmp_path, name="t", use="benchmark", keep_types=kept).model_dump(
                    mode="json", exclude_unset=True
                )
            ]
        },
        "evaluation": {"checkpoints": ["/x"], "benchmarks": [{"source": "t", **bench}]},
    }
    path = tmp_path / "plan.yaml"
    path.write_text(json.dumps(made))
    return path


def test_a_family_needs_the_types_that_it_scores(tmp_path: Path):
    for family, kept, style in (
        ("mvbench", "choice", "llava_video"),
        ("charades_sta", "temporal", "prepared"),
        ("mevis", "segment", "prepared"),
        ("ufvideo_bench", "cooperative", "prepared"),
    ):
        load_plan(str(plan(tmp_path, family=family, style=style, keep_types=[kept])))
        for other in ([], ["qa"], [kept, "qa"]):
            with pytest.raises(UserError, match=rf"keep_types: \[{kept}"):
                load_plan(str(plan(tmp_path, family=family, style=style, keep_types=other)))
    with pytest.raises(UserError, match="ask their own questions; set style: prepared"):
        load_plan(str(plan(tmp_path, family="mevis", keep_types=["segment"])))
    with pytest.raises(ValidationError, match=r"is of no type choices; Did you mean choice\?"):
        source(tmp_path, keep_types=["choices"])


@pytest.mark.usefixtures("without_ray")
def test_types_are_tasks(tmp_path: Path):
    folder = home(tmp_path)
    samples, rejects = prepared(folder, [VIDEO | record for record, *_ in FORMS], keep_types=["temporal"])
    assert not rejects
    assert {s.task for s in samples} == {Task.TEMPORAL}
    assert len(samples) == sum(task is Task.TEMPORAL for _, task, _ in FORMS)
    assert len(list_units([source(folder)], lambda path: Location.parse(path))) == 1
