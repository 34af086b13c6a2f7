"""Readers of conversations and regions in the format of their downloads: parts of rows as samples,
descriptions turned into questions, UFVideo's own training rows. No Ray."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from datasets_prep import run
from datasets_prep.draft import Draft, Reason, RejectError, Unit
from datasets_prep.passes.finish import finish
from datasets_prep.passes.validate import check
from datasets_prep.sources import Files, reader_of
from datasets_prep.sources.formats import videorefer
from datasets_prep.sources.formats.videorefer import objects_in_question
from pipeline.dataset.reader import ShardReader
from pipeline.errors import UserError
from pipeline.plan.data import PrepConfig, SourceConfig
from pipeline.records import masks
from pipeline.records.sample import Sample, Task, VideoRef
from pipeline.storage.location import Location
from tests.datasets_prep.clips import HEIGHT, WIDTH, write_clip, write_folder
from tests.datasets_prep.test_odd_records import prepare

VIDEO = VideoRef(
    path="v.mp4", num_frames=60, fps=10, duration_s=6.0, duration_source="stream", height=4, width=6
)


def rle(left: int = 2, size: tuple[int, int] = (4, 6)) -> dict[str, Any]:
    box = np.zeros(size, np.uint8)
    box[1:3, left : left + 2] = 1
    return {"segmentation": {"size": list(size), "counts": masks.encode(box)}}


def source(fmt: str, **more: Any) -> SourceConfig:
    return SourceConfig.model_validate(
        {"name": "s", "format": fmt, "annotations": "x", "media": ("m",), **more}
    )


def conversation(*texts: str) -> list[dict[str, str]]:
    return [{"from": ("human", "gpt")[i % 2], "value": t} for i, t in enumerate(texts)]


def read(folder: Path, config: SourceConfig, *rows: Any, name: str = "a.json", seed: int = 1) -> list[Any]:
    """Drafts or reject reason of every row; checks that ``media`` announces every medium."""
    (folder / name).write_text(json.dumps(rows))
    reader = reader_of(config.format)
    found: list[Any] = []
    for record in reader.records(config, Files(annotations=folder / name)):
        if record.left_out:
            found.append("left out")
            continue
        try:
            drafts = reader.convert(record, config, seed)
        except RejectError as error:
            found.append(error.reason)
            continue
        assert {d.media for d in drafts} <= set(reader.media(record, config, seed))
        found.append(drafts)
    return found


def sample(draft: Draft, config: SourceConfig, video: VideoRef = VIDEO) -> Sample:
    made = finish(draft, config, video, 1).sample
    check(made, config.use, config.min_frames or 2)
    return made


def reject_reason(draft: Draft, config: SourceConfig, video: VideoRef = VIDEO) -> Reason | None:
    try:
        sample(draft, config, video)
    except RejectError as error:
        return error.reason
    return None


# ------------------------------------------------------------------------------------------- LLaVA-Video

OPTIONS = "What?\nA. red.\nB. blue.\nAnswer with the letter."


def test_every_question_of_a_row_can_become_a_sample(tmp_path: Path) -> None:
    rows = [
        {
            "video": "a.mp4",
            "data_source": "d",
            "conversations": conversation("<image>\nQ1?", "A1", "Q2?", "A2", "Q3?", "A3"),
        },
        {"video": "a.mp4", "conversations": conversation("<image>\nOnly?", "Yes")},
        {
            "video": "a.mp4",
            "conversations": conversation("Q?", "A", OPTIONS, "B. blue.", "When?", "{<TEMP-000><TEMP-050>}"),
        },
    ]
    config = source("llava_video", split_turns=True)
    several, alone, mixed = read(tmp_path, config, *rows)
    assert [d.key for d in several] == ["s/0/0", "s/0/1", "s/0/2"]
    made = [sample(d, config) for d in several]
    assert [[t.text for t in m.turns] for m in made] == [["Q1?", "A1"], ["Q2?", "A2"], ["Q3?", "A3"]]
    assert {d.media for d in several} == {several[0].media}
    assert several[0].media.candidates == ("a.mp4", "d/a.mp4")
    assert [d.key for d in alone] == ["s/1"]
    # As one sample the third row is not a choice; split, it has a choice and a question about time.
    assert [d.task for d in mixed] == [Task.QA, Task.CHOICE, Task.TEMPORAL]
    assert [sample(d, config).answer_index for d in mixed] == [-1, 1, -1]
    assert len(sample(mixed[2], config).spans) == 1
    whole = read(tmp_path, source("llava_video"), *rows)
    assert [[d.key for d in drafts] for drafts in whole] == [["s/0"], ["s/1"], ["s/2"]]
    assert len(whole[0][0].turns) == 6


def test_the_reject_of_a_split_row_names_the_bad_question(tmp_path: Path) -> None:
    config = source("llava_video", split_turns=True)
    rows = [
        {"video": "a.mp4", "conversations": conversation("Q?", "A", OPTIONS, "C. green.")},
        {"video": "a.mp4", "conversations": conversation("Q?", "A", "Q?")},
    ]
    assert read(tmp_path, config, *rows) == [Reason.BAD_CHOICE, Reason.TURNS]
    reader = reader_of(config.format)
    (record, _) = reader.records(config, Files(annotations=tmp_path / "a.json"))
    with pytest.raises(RejectError, match="question 1: "):
        reader.convert(record, config, 1)


@pytest.mark.usefixtures("without_ray")
@pytest.mark.parametrize(("split", "read"), [(True, 12), (False, 4)])
def test_exactly_the_requested_number_of_items_is_kept_and_a_larger_number_only_adds(
    tmp_path: Path, split: bool, read: int
) -> None:
    write_clip(tmp_path / "v.mp4")
    conversations = [conversation(*(f"{kind}{n}{k}" for k in range(3) for kind in "QA")) for n in range(4)]
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"video": "v.mp4", "conversations": t} for t in conversations]))
    fields = {"annotations": str(path), "media": (str(tmp_path),), "split_turns": split}
    kept: list[set[str]] = []
    for count in (2, 3):
        config = PrepConfig(sources=(source("llava_video", **fields, select={"count": count}),))
        out = Location.parse(tmp_path / f"made-{count}")
        (entry,) = run.build(config, Location.parse, out, 1).sources
        assert (entry.read, entry.kept, entry.not_selected) == (read, count, read - count)
        kept.append(set(ShardReader(out).keys("s")))
    assert kept[0] < kept[1]
    assert kept[1] <= {f"s/{n}/{k}" for n in range(4) for k in range(3)} | {f"s/{n}" for n in range(4)}


# ------------------------------------------------------------------------------------------- VideoRefer


def refer(question: str, *objects: Any, **more: Any) -> dict[str, Any]:
    return {
        "video": "a.mp4",
        "conversations": conversation(question, "A dog."),
        "annotation": list(objects),
        **more,
    }


@pytest.mark.parametrize(
    ("text", "objects"),
    [
        ("<video>\nDescribe <region> in detail.", "<region>"),
        ("Describe [<region>].<video>", "[<region>]"),
        (
            "There are <object1><region>, <object2><region> in it. Describe them.",
            "<object1><region>, <object2><region>",
        ),
        ("object_1: [<region>] and object_2: [<region>]?", "object_1: [<region>], object_2: [<region>]"),
    ],
)
def test_a_description_becomes_a_question(tmp_path: Path, text: str, objects: str) -> None:
    assert objects_in_question(text) == objects
    tracks = [{"0": rle()}] * objects.count("<region>")
    config = source("videorefer", as_questions=True)
    ((draft,),) = read(tmp_path, config, refer(text, *tracks))
    made = sample(draft, config)
    assert made.turns[0].text in {t.replace("{regions}", objects) for t in videorefer.QUESTIONS}
    assert (made.turns[1].text, len(made.regions)) == ("A dog.", len(tracks))


def test_questions_are_drawn_by_key_and_dialogues_keep_their_own(tmp_path: Path) -> None:
    rows = [refer("Describe <region>.", {"0": rle()}) for _ in range(40)]
    rows.append(
        {**rows[0], "conversations": conversation("What is <region>?", "A dog.", "Which one?", "Mine.")}
    )
    config = source("videorefer", as_questions=True)
    first, again, other = (read(tmp_path, config, *rows, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    asked = [found[0].turns[0].text for found in first]
    assert len(set(asked[:40])) == len(videorefer.QUESTIONS)
    assert asked[40] == "What is <region>?"
    own = source("videorefer", question_templates=("Was ist {regions}?",))
    assert read(tmp_path, own, rows[0])[0][0].turns[0].text == "Was ist <region>?"
    assert read(tmp_path, source("videorefer"), rows[0])[0][0].turns[0].text == "Describe <region>."
    with pytest.raises(ValidationError, match=r"lacks \{regions\}"):
        source("videorefer", question_templates=("What is it?",))


def test_rows_from_youtube_vos_have_nested_annotations_and_a_frame_of_the_question(tmp_path: Path) -> None:
    """``annotation`` has one more level, and ``frame_idx`` is the frame of the question."""
    inner = {"0": rle(1), "5": rle(2), "9": rle(3)}
    config = source("videorefer", region_mode="single")
    rows = [refer("What is <region>?", [inner], frame_idx=frame) for frame in (5, "9", None)]
    found = read(tmp_path, config, *rows)
    assert [sample(d, config).regions[0].frames for (d,) in found[:2]] == [(5,), (9,)]
    assert sample(found[2][0], config).regions[0].frames[0] in (0, 5, 9)
    multi = source("videorefer", region_mode="multi")
    assert sample(read(tmp_path, multi, rows[0])[0][0], multi).regions[0].frames == (0, 5, 9)
    assert read(tmp_path, config, refer("What is <region>?", [inner], frame_idx="x")) == [Reason.MALFORMED]


def test_rows_whose_regions_and_objects_differ_are_rejected(tmp_path: Path) -> None:
    config = source("videorefer", as_questions=True)
    track = {"0": rle()}
    rows = [
        refer("What is it?", track),  # no region token
        refer("What is it?"),  # no objects
        refer("<region> and <region>?", track),
        refer("<region>?", [track, track]),
        refer("<region>?", {}),
        {**refer("<region>?"), "annotation": None},
    ]
    assert read(tmp_path, config, *rows) == [
        Reason.REGION_COUNT,
        Reason.REGION_COUNT,
        Reason.REGION_COUNT,
        Reason.REGION_COUNT,
        Reason.MALFORMED,
        Reason.MALFORMED,
    ]


def test_polygons_are_drawn_in_the_size_that_the_row_gives(tmp_path: Path) -> None:
    config = source("videorefer")
    polygon = {"0": {"segmentation": [[2, 1, 5, 1, 5, 3, 2, 3]]}}
    found = read(
        tmp_path,
        config,
        refer("<region>?", polygon, height=4, width=6),
        refer("<region>?", polygon, height=6, width=4),
    )
    assert masks.area(sample(found[0][0], config).regions[0].counts[0], 4, 6) == 6
    assert reject_reason(found[1][0], config) is Reason.MASK_SIZE


# ------------------------------------------------------------------------------------- VideoRefer-Bench-D


def bench_d(**more: Any) -> dict[str, Any]:
    track = {"0": rle(), "18": {"segmentation": None}, "36": rle(1)}
    return {
        "id": 0,
        "video": "rLlz_0:01:09.633_0:01:14.333.mp4",
        "caption": "A man in red.",
        "frame_idx": "36",
        "annotation": [track],
        **more,
    }


def test_videorefer_bench_d_regions_follow_the_region_mode(tmp_path: Path) -> None:
    for mode, frames in (("single", (36,)), ("multi", (0, 18, 36)), ("as_annotated", (0, 18, 36))):
        config = source("videorefer_bench_d", use="benchmark", region_mode=mode)
        ((draft,),) = read(tmp_path, config, bench_d())
        made = sample(draft, config)
        assert made.regions[0].frames == frames
        assert (made.task, made.turns[1].text, made.reference) == (
            Task.REFER,
            "A man in red.",
            "A man in red.",
        )
        assert made.turns[0].text.count("[<region>]") == 1
    assert draft.media.candidates == (
        "rLlz_0:01:09.633_0:01:14.333.mp4",
        "Panda-70M-part/rLlz_0:01:09.633_0:01:14.333.mp4",
    )
    own = source("videorefer_bench_d", use="benchmark", question_templates=("Was zeigt {regions}?",))
    assert read(tmp_path, own, bench_d())[0][0].turns[0].text == "Was zeigt [<region>]?"


def test_odd_rows_of_videorefer_bench_d_are_read_or_rejected_with_a_reason(tmp_path: Path) -> None:
    config = source("videorefer_bench_d", use="benchmark", region_mode="single")
    hidden = bench_d(frame_idx="18")  # absent from the frame of the question: a frame that shows it is used
    ((draft,),) = read(tmp_path, config, hidden)
    assert sample(draft, config).regions[0].frames[0] in (0, 36)
    odd = [
        bench_d(caption=" "),
        bench_d(annotation=[]),
        bench_d(frame_idx="x"),
        bench_d(annotation=[{"0": {}}]),
    ]
    assert read(tmp_path, config, *odd) == [
        Reason.MALFORMED,
        Reason.REGION_COUNT,
        Reason.MALFORMED,
        Reason.MALFORMED,
    ]
    ((far,),) = read(tmp_path, config, bench_d(annotation=[{"99": rle()}]))
    assert reject_reason(far, config) is Reason.FRAME_OUTSIDE


# --------------------------------------------------------------------------------- UFVideo's training rows


def unibench(task: str, **more: Any) -> dict[str, Any]:
    return {"video": "/home/x/Panda/a.mp4", "seg": 1, "unibench": task, **more}


# A Python set orders these by hash: 40 before 9.
FRAMES = [9, 40, 8, 33, 16]


def test_the_region_is_on_the_first_listed_frame_and_masks_are_in_the_order_of_time(tmp_path: Path) -> None:
    def at(frame: int, left: int) -> dict[str, Any]:
        return rle(left)

    tracks = [{str(f): at(f, f % 4) for f in sorted({*FRAMES, 50})} for _ in range(2)]
    question = "<video>\nThere are object_1: [<region>], object_2: [<region>]. What do they do?"
    row = unibench(
        "task1",
        frame_list=FRAMES,
        annotation=tracks,
        conversations=conversation(question, "Run. [SEG] Sit. [SEG]"),
    )
    config = source("ufvideo_bench")
    ((draft,),) = read(tmp_path, config, row, name="any_name.json")
    made = sample(draft, config)
    assert [r.frames for r in made.regions] == [(9,), (9,)]
    assert [t.frames for t in made.targets] == [(8, 16, 33, 40)] * 2  # not 50, which is not listed
    for track in (*made.regions, *made.targets):
        for frame, counts in zip(track.frames, track.counts, strict=True):
            left = np.flatnonzero(masks.decode(counts, 4, 6)[1])[0]
            assert left == frame % 4, "a mask is on another frame than its own"
    assert (made.category, made.task, draft.media.candidates[-1]) == ("PixRQA", Task.COOPERATIVE, "a.mp4")


def test_the_region_is_on_the_first_frame_that_shows_the_object(tmp_path: Path) -> None:
    absent = {"segmentation": None}
    tracks = [{"8": rle(), "9": rle()}, {"8": absent, "9": rle()}, {"9": absent, "12": rle()}]
    row = unibench("task1", frame_list=[8, 9], conversations=conversation("<region>?", "[SEG]"))
    config = source("ufvideo_bench")
    rows = [{**row, "annotation": [track]} for track in tracks]
    first, second, third = read(tmp_path, config, *rows)
    assert sample(first[0], config).regions[0].frames == (8,)
    made = sample(second[0], config)
    assert (made.regions[0].frames, made.targets[0].frames) == ((9,), (8,))
    assert masks.area(made.targets[0].counts[0], 4, 6) == 0
    assert third is Reason.EMPTY_REGION
    assert read(tmp_path, config, {**rows[0], "frame_list": [8]}) == [Reason.TARGET_COUNT]
    assert read(tmp_path, config, {**rows[0], "frame_list": 8}) == [Reason.MALFORMED]


def test_unibench_tasks_without_a_region_have_targets_and_spans(tmp_path: Path) -> None:
    track = {str(f): rle(f % 4) for f in (1, 5, 9)}
    config = source("ufvideo_bench")
    rows = [
        unibench(
            "task2",
            frame_idx=[9, 5],
            annotation=[track],
            conversations=[conversation("<video>\nWhere?", "It is [SEG].")],
        ),
        unibench(
            "task3",
            frame_idx=[1, 9],
            annotation=[track],
            conversations=[conversation("<video>\nWhen?", "{<TEMP-010><TEMP-050>}. It runs. [SEG]")],
        ),
        unibench("task4", frame_idx=[1], annotation=[track], conversations=[conversation("Q?", "[SEG]")]),
        {
            "video": "a.mp4",
            "frame_idx": [1],
            "annotation": [track],
            "conversations": [conversation("Q?", "[SEG]")],
        },
    ]
    found = read(tmp_path, config, *rows, name="train.json")
    hybrid, timed = (sample(d, config) for (d,) in found[:2])
    assert (hybrid.category, hybrid.targets[0].frames, hybrid.regions) == ("PixHQA", (5, 9), ())
    assert (timed.category, timed.targets[0].frames, len(timed.spans)) == ("PixTRQA", (1, 9), 1)
    assert found[2:] == [Reason.MALFORMED, Reason.MALFORMED]
    benchmark = source("ufvideo_bench", use="benchmark")
    with pytest.raises(UserError, match="PixRQA"):
        list(reader_of(benchmark.format).records(benchmark, Files(annotations=tmp_path / "train.json")))


# ------------------------------------------------------------------------------------------- ST-Align


def aligned(question: str, answer: str, inputs: Any = (), outputs: Any = (), **more: Any) -> dict[str, Any]:
    variables = {"temporal_input_locations": list(inputs), "temporal_output_locations": list(outputs)}
    row = {
        "id": "1",
        "type": "t",
        "video": "v.mp4",
        "conversations": conversation(question, answer),
        "variables": variables,
    }
    return row | more


def test_st_align_questions_without_times_need_no_variables(tmp_path: Path) -> None:
    config = source("st_align")
    rows = [
        aligned("<video>\nWhat is this?", "A park.", type="Captioning"),
        aligned(OPTIONS, "B. blue.", type="VideoQA"),
    ]
    for missing in ("variables", "meta"):
        rows[0].pop(missing, None)
    (caption,), (choice,) = read(tmp_path, config, *rows)
    assert (sample(caption, config).task, caption.type) == (Task.QA, "Captioning")
    assert (sample(choice, config).task, choice.answer_index) == (Task.CHOICE, 1)


def test_starts_of_st_align_dense_captions_become_instants(tmp_path: Path) -> None:
    config = source("st_align")
    answer = "Starts in <TEMP-OUTPUT>, a man runs. Starts in <TEMP-OUTPUT>, he sits."
    ((draft,),) = read(
        tmp_path, config, aligned("<video>\nDescribe.", answer, outputs=[0.0, 0.5], type="dvc")
    )
    made = sample(draft, config)
    assert made.turns[1].text == "Starts in <TEMP-000>, a man runs. Starts in <TEMP-050>, he sits."
    assert [i.start_s for i in made.instants] == [0.0, 3.0]
    assert made.spans == ()


def test_st_align_fractions_are_relative_to_the_clip(tmp_path: Path) -> None:
    config = source("st_align")
    row = aligned(
        "What is in {<TEMP-INPUT><TEMP-INPUT>}?", "A cat.", inputs=[0.5, 1.0], meta={"split": [20, 39]}
    )
    ((draft,),) = read(tmp_path, config, row)
    made = sample(draft, config)
    assert made.clip is not None
    assert (made.clip.start_s, made.clip.end_s) == (2.0, 4.0)  # frame 39 shows until 4.0 s
    (span,) = made.question_spans
    assert (span.start_s, span.end_s, span.start_bin, span.end_bin) == (3.0, 4.0, 50, 99)


def test_st_align_boxes_are_rejected_or_left_out(tmp_path: Path) -> None:
    boxed = aligned("Where in {<TEMP-INPUT><TEMP-INPUT>}?", "[<WIDTH-OUTPUT><HEIGHT-OUTPUT>]", inputs=[0, 1])
    asked = aligned("What is at [<WIDTH-INPUT><HEIGHT-INPUT>]?", "A cat.")
    plain = aligned("What?", "A cat.")
    rows = [boxed, plain, asked, {"video": "v.mp4", "conversations": "x"}]
    found = read(tmp_path, source("st_align"), *rows)
    assert found[0] is found[2] is Reason.SPATIAL
    found = read(tmp_path, source("st_align", drop_spatial=True), *rows)
    assert (found[0], found[2], found[3]) == ("left out", "left out", Reason.MALFORMED)
    write_clip(tmp_path / "v.mp4")
    fields = {"annotations": str(tmp_path / "a.json"), "media": (str(tmp_path),)}
    _, entry = prepare(source("st_align", drop_spatial=True, **fields), tmp_path)
    assert (entry.read, entry.kept, entry.not_selected, entry.rejects) == (4, 1, 2, {"malformed": 1})


def test_images_of_st_align_are_videos_of_one_frame_where_the_plan_allows_it(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "coco").mkdir()
    Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(tmp_path / "coco" / "1.jpg")
    row = aligned("<image>\nWhat is this?", "Night.")
    del row["video"]
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{**row, "image": "coco/1.jpg"}]))
    fields = {"annotations": str(path), "media": (str(tmp_path),)}
    ((made,), _) = prepare(source("st_align", min_frames=1, **fields), tmp_path)
    assert (made["reason"], made["sample"]["video"]["num_frames"]) == ("", 1)
    ((video,), _) = prepare(source("st_align", **fields), tmp_path)
    assert video["reason"] == "too_few_frames"


@pytest.mark.parametrize(("fps", "seconds"), [(None, 2.0), (2.0, 3.0)])
def test_the_plan_sets_the_frame_rate_of_frame_folders(
    tmp_path: Path, fps: float | None, seconds: float
) -> None:
    """VideoGPT's videos are stills at two frames per second; the default for folders is three."""
    write_folder(tmp_path / "clip", frames=6)
    path = tmp_path / "a.json"
    answer = "{<TEMP-OUTPUT><TEMP-OUTPUT>}"
    path.write_text(json.dumps([aligned("When?", answer, outputs=[0.5, 1.0], video="clip")]))
    fields = {"annotations": str(path), "media": (str(tmp_path),), "folder_fps": fps}
    ((made,), _) = prepare(source("st_align", **fields), tmp_path)
    assert made["sample"]["video"]["duration_s"] == pytest.approx(seconds)
    assert made["sample"]["spans"][0]["start_s"] == pytest.approx(seconds / 2)
    assert made["sample"]["spans"][0]["start_bin"] == 50


# ------------------------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("fmt", "option"),
    [
        ("st_align", {"split_turns": True}),
        ("llava_video", {"as_questions": True}),
        ("llava_video", {"drop_spatial": True}),
        ("st_align", {"temporal_task": "grounding"}),
        ("didemo", {"temporal_task": "dense_captions"}),
        ("didemo", {"split": "training"}),
        ("activitynet_captions", {"question_templates": ("When?",)}),
        ("activitynet_captions", {"answer_templates": ("Sure.",)}),
        ("vitt", {"answer_templates": ("{span}",)}),
        ("nextgqa", {"answer_templates": ("{answer}",)}),
        ("st_align", {"folder_fps": 0.0}),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(fmt: str, option: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        source(fmt, **option)
    assert source(fmt).folder_fps is None


def test_the_unit_of_st_align_times_is_the_fraction(tmp_path: Path) -> None:
    ((draft,),) = read(tmp_path, source("st_align"), aligned("?", "<TEMP-OUTPUT>", outputs=[0.5]))
    assert draft.times[0].unit is Unit.FRACTION
