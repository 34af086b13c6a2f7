"""Every reader on tiny files in its native format, odd rows included. No Ray, no media."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets_prep.draft import Draft, Reason, RejectError, Unit
from datasets_prep.passes.finish import finish
from datasets_prep.passes.validate import check
from datasets_prep.sources import Files, reader_of
from datasets_prep.sources.bases.conversation import answer_index, options_in, without_markers
from pipeline.errors import UserError
from pipeline.plan.data import SourceConfig
from pipeline.records import masks
from pipeline.records.sample import Sample, Task, VideoRef

VIDEO = VideoRef(
    path="v.mp4", num_frames=20, fps=10, duration_s=2.0, duration_source="stream", height=4, width=6
)
BOX = np.zeros((4, 6), np.uint8)
BOX[1:3, 2:5] = 1
RLE = {"size": [4, 6], "counts": masks.encode(BOX)}
RAW = {"size": [4, 6], "counts": [9, 2, 2, 2, 2, 2, 5]}
POLYGON = [[2, 1, 5, 1, 5, 3, 2, 3]]


def source(fmt: str, **more: Any) -> SourceConfig:
    return SourceConfig(name="s", format=fmt, annotations="x", media=("m",), **more)


def read(path: Path, config: SourceConfig, masks_file: Path | None = None, seed: int = 1) -> dict[str, Any]:
    """Drafts of every record by key, or the reason of its reject."""
    reader = reader_of(config.format)
    out: dict[str, Any] = {}
    for record in reader.records(config, Files(annotations=path, masks=masks_file)):
        assert record.key not in out
        try:
            out[record.key] = reader.convert(record, config, seed)
        except RejectError as error:
            out[record.key] = error.reason
    return out


def outcome_of(tmp_path: Path, fmt: str, row: Any, name: str = "a.json", **more: Any) -> Any:
    path = tmp_path / name
    path.write_text(json.dumps([row]))
    (found,) = read(path, source(fmt, **more)).values()
    return found


def sample(draft: Draft, config: SourceConfig, video: VideoRef = VIDEO) -> Sample:
    made = finish(draft, config, video, 1).sample
    check(made, config.use, 2)
    return made


def conversation(*texts: str) -> list[dict[str, str]]:
    return [{"from": ("human", "gpt")[i % 2], "value": t} for i, t in enumerate(texts)]


# ------------------------------------------------------------------------------------------- conversations


def test_media_markers_are_removed_from_texts() -> None:
    assert without_markers("<image>\nWhat?") == "What?"
    assert without_markers("What is this?\n<video>") == "What is this?"
    assert without_markers("Look at <video> now") == "Look at now"


def test_options_and_the_answers_index_are_found_in_the_text() -> None:
    question = "What?\nOptions:\nA. one.\nB. two\nC. three\nPlease answer."
    assert options_in(question) == ("one.", "two", "three")
    assert options_in("What?\n(A) one\n(B) two") == ("one", "two")
    assert options_in("A man walks. B follows") == ()
    assert answer_index("C", ("one.", "two", "three")) == 2
    assert answer_index("(B) two", ("one.", "two", "three")) == 1
    assert answer_index("Three.", ("one.", "two", "three")) == 2
    for bad in ("E. five", "A man", "B. three"):
        with pytest.raises(RejectError):
            answer_index(bad, ("one.", "two", "three"))


def test_the_right_option_is_found_in_real_answers_of_mvbench(realdata: Path) -> None:
    rows = json.loads((realdata / "mvbench_answers" / "MVBench.json").read_text())
    assert len(rows) == 500
    for row in rows:
        choices = options_in(row["question"])
        assert choices[answer_index(row["gt"], choices)] == row["gt"][4:].strip()


# ------------------------------------------------------------------------------------------- LLaVA-Video


def test_llava_video_records_become_drafts_or_rejects(tmp_path: Path) -> None:
    rows: list[Any] = [
        {
            "id": 1,
            "video": "a/b.mp4",
            "data_source": "0_30_s_x",
            "conversations": conversation("<image>\nQ1?", "A1", "Q2?", "A2"),
        },
        {
            "id": 1,
            "video": "a.mp4",
            "conversations": conversation("<image>\nWhat?\nA. red.\nB. blue.\nSay it.", "B. blue."),
        },
        {
            "id": 2,
            "video": "a.mp4",
            "conversations": conversation("<image>\nWhat?\nA. red.\nB. blue.", "Green"),
        },
        {"id": 3, "video": "a.mp4", "conversations": conversation("<image>\nWhat?")},
        {"id": 4, "video": "../../etc/passwd", "conversations": conversation("Q", "A")},
        {"id": 5, "video": "a.mp4", "conversations": conversation("When?", "{<TEMP-000><TEMP-050>}")},
        {"id": 6, "conversations": conversation("Q", "A")},
        "no record",
    ]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(rows))
    found = list(read(path, source("llava_video")).values())
    first = found[0][0]
    assert first.task is Task.QA
    assert [t.text for t in first.turns] == ["Q1?", "A1", "Q2?", "A2"]
    assert first.media.candidates == ("a/b.mp4", "0_30_s_x/a/b.mp4")
    choice = found[1][0]
    assert (choice.task, choice.choices, choice.answer_index) == (Task.CHOICE, ("red.", "blue."), 1)
    assert found[2:5] == [Reason.BAD_CHOICE, Reason.TURNS, Reason.MALFORMED]
    timed = sample(found[5][0], source("llava_video"))
    assert timed.task is Task.TEMPORAL
    assert timed.turns[1].text == "{<TEMP-000><TEMP-050>}"
    assert timed.spans[0].end_s == pytest.approx(100 / 99)
    assert found[6:] == [Reason.MALFORMED, Reason.MALFORMED]


def test_a_broken_line_is_a_reject_and_a_broken_file_an_error(tmp_path: Path) -> None:
    row = json.dumps({"video": "a.mp4", "conversations": conversation("Q", "A")})
    lines = tmp_path / "a.jsonl"
    lines.write_text(f"{row}\n{row[:-9]}\n{row}\n")
    found = list(read(lines, source("llava_video")).values())
    assert found[1] is Reason.BROKEN_JSON
    assert len(found) == 3
    for text in (f"[{row}, {row[:-5]}", "", "what is this"):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(UserError, match=r"bad\.json"):
            read(tmp_path / "bad.json", source("llava_video"))
    with pytest.raises(UserError, match=r"none\.json"):
        read(tmp_path / "none.json", source("llava_video"))


# ------------------------------------------------------------------------------------------- VideoRefer


@pytest.mark.parametrize("form", [RLE, RAW, POLYGON])
def test_every_mask_format_of_videorefer_gives_the_same_mask(tmp_path: Path, form: Any) -> None:
    row = {
        "video": "a.mp4",
        "height": 4,
        "width": 6,
        "conversations": conversation("What is [<region>]?<video>", "A box."),
        "annotation": [{"3": {"segmentation": form}, "1": {"segmentation": None}}],
    }
    config = source("videorefer")
    made = sample(outcome_of(tmp_path, "videorefer", row)[0], config)
    assert made.turns[0].text == "What is [<region>]?"
    assert made.regions[0].frames == (1, 3)
    assert masks.area(made.regions[0].counts[0], 4, 6) == 0
    assert np.array_equal(masks.decode(made.regions[0].counts[1], 4, 6), BOX)


def test_videorefer_objects_may_be_nested_and_must_match_the_regions(tmp_path: Path) -> None:
    track = {"0": {"segmentation": RLE}}
    row = {"video": "a.mp4", "conversations": conversation("<object1><region> and <object2><region>?", "Yes")}
    for annotation in ([track, track], [[track], [track]], [[track, track]]):
        (draft,) = outcome_of(tmp_path, "videorefer", {**row, "annotation": annotation})
        assert len(draft.regions) == 2
    for annotation in ([track], [], [track] * 3, [[track, track, track]]):
        assert outcome_of(tmp_path, "videorefer", {**row, "annotation": annotation}) is Reason.REGION_COUNT
    assert outcome_of(tmp_path, "videorefer", {**row, "annotation": "x"}) is Reason.MALFORMED


def test_the_frame_of_a_region_is_drawn_among_those_that_show_it(tmp_path: Path) -> None:
    track = {str(i): {"segmentation": RLE if i % 2 else None} for i in range(10)}
    row = {"video": "a.mp4", "conversations": conversation("<region>?", "Yes"), "annotation": [track]}
    config = source("videorefer", region_mode="single")
    (draft,) = outcome_of(tmp_path, "videorefer", row, region_mode="single")
    chosen = {finish(draft, config, VIDEO, seed).sample.regions[0].frames for seed in range(20)}
    assert len(chosen) > 1
    assert all(len(f) == 1 and f[0] % 2 for f in chosen)
    assert finish(draft, config, VIDEO, 3) == finish(draft, config, VIDEO, 3)
    (plain,) = outcome_of(tmp_path, "videorefer", {**row, "new_id": 5})
    assert plain.one_region_frame
    (multi,) = outcome_of(tmp_path, "videorefer", {**row, "new_id": 5}, region_mode="multi")
    assert not multi.one_region_frame


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        ({"0": {"segmentation": {"size": [6, 4], "counts": RLE["counts"]}}}, Reason.MASK_SIZE),
        ({"0": {"segmentation": {"size": [4, 6], "counts": [1, 2]}}}, Reason.BAD_MASK),
        ({"0": {"segmentation": "what"}}, Reason.BAD_MASK),
        ({"20": {"segmentation": RLE}}, Reason.FRAME_OUTSIDE),
        ({"0": {"segmentation": None}}, Reason.EMPTY_REGION),
        ({"5": {"segmentation": RLE}, "05": {"segmentation": RLE}}, Reason.BAD_MASK),
    ],
)
def test_bad_masks_are_rejected_with_a_reason(tmp_path: Path, annotation: Any, reason: Reason) -> None:
    row = {"video": "a.mp4", "conversations": conversation("<region>?", "Yes"), "annotation": [annotation]}
    (draft,) = outcome_of(tmp_path, "videorefer", row)
    with pytest.raises(RejectError) as caught:
        sample(draft, source("videorefer"))
    assert caught.value.reason is reason


# ------------------------------------------------------------------------------------------- MeViS


def _mevis(tmp_path: Path, expressions: Any) -> tuple[Path, Path]:
    other = np.zeros((4, 6), np.uint8)
    other[0, 0] = 1
    second = {"size": [4, 6], "counts": masks.encode(other)}
    (tmp_path / "mask_dict.json").write_text(json.dumps({"13": [None, second], "11": [RLE, RLE]}))
    meta = {"videos": {"abc": {"vid_id": 3, "frames": ["00000", "00001"], "expressions": expressions}}}
    (tmp_path / "meta_expressions.json").write_text(json.dumps(meta))
    return tmp_path / "meta_expressions.json", tmp_path / "mask_dict.json"


def test_meta_expressions_give_union_masks_and_empty_masks(tmp_path: Path) -> None:
    expressions = {
        "0": {"exp": " the  bird ", "obj_id": [0, 2], "anno_id": [11, 13]},
        "1": {"exp": "nobody", "obj_id": [], "anno_id": [], "type_id": 2},
        "2": {"exp": "lost", "obj_id": [1], "anno_id": [99]},
        "3": {"obj_id": [1], "anno_id": [11]},
        "4": {"exp": "bird", "obj_id": [1]},
        "5": {"exp": "bird", "obj_id": [1], "anno_id": []},
        "6": {"exp": "bird", "obj_id": "1", "anno_id": None},
        "7": {"exp": "bird", "obj_id": 0, "anno_id": 11},
    }
    config = source("meta_expressions")
    found = read(*(lambda m: (m[0], config, m[1]))(_mevis(tmp_path, expressions)))
    made = sample(found["s/abc/0"][0], config)
    assert [t.text for t in made.turns] == ["Can you segment the the bird in this video?", "Sure, [SEG]."]
    areas = [masks.area(c, 4, 6) for c in made.targets[0].counts]
    assert areas == [6, 7]  # the union; the second object is absent from the first frame
    assert made.expression == "the bird"
    nobody = sample(found["s/abc/1"][0], config)
    assert [masks.area(c, 4, 6) for c in nobody.targets[0].counts] == [0, 0]
    assert nobody.category == "hallucination"
    assert found["s/abc/2"] is Reason.MASK_MISSING
    assert [found[f"s/abc/{i}"] for i in range(3, 7)] == [Reason.MALFORMED] * 4
    one_id = sample(found["s/abc/7"][0], config)
    assert [masks.area(c, 4, 6) for c in one_id.targets[0].counts] == [6, 6]


def test_templates_are_drawn_by_key_and_seed(tmp_path: Path) -> None:
    expressions = {str(i): {"exp": f"bird {i}", "anno_id": [11]} for i in range(30)}
    meta, mask_file = _mevis(tmp_path, expressions)
    config = source("meta_expressions", question_templates=("Find {expression}.", "Show {expression}!"))
    first, again, other = (read(meta, config, mask_file, seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert {d[0].turns[0].text[:4] for d in first.values()} == {"Find", "Show"}


def test_missing_masks_are_allowed_only_for_benchmarks(realdata: Path) -> None:
    path = realdata / "ref_youtube_vos_valid_meta" / "meta_expressions.json"
    found = read(path, source("meta_expressions", use="benchmark"))
    assert len(found) == 2096
    assert all(d[0].targets == () and len(d[0].turns) == 1 for d in found.values())
    assert sum(len(d[0].media.frames) for k, d in found.items() if k.endswith("/0")) == 13710
    with pytest.raises(UserError, match="mask_dict"):
        read(path, source("meta_expressions"))


# ------------------------------------------------------------------------------------------- times


def _st_align(
    answer: str, outputs: list[float], question: str = "<video>\nWhen?", **more: Any
) -> dict[str, Any]:
    variables = {"temporal_output_locations": outputs, "temporal_input_locations": more.pop("inputs", [])}
    return {
        "video": "a.mp4",
        "type": "tvg",
        "conversations": conversation(question, answer),
        "variables": variables,
        **more,
    }


def test_st_align_fractions_become_bins_and_seconds(tmp_path: Path) -> None:
    config = source("st_align")
    row = _st_align(
        "In {<TEMP-OUTPUT><TEMP-OUTPUT>}. Starts in <TEMP-OUTPUT>.",
        [0.25, 0.5, 0.75],
        "And {<TEMP-INPUT><TEMP-INPUT>}?",
        inputs=[0, 1],
    )
    made = sample(outcome_of(tmp_path, "st_align", row)[0], config)
    assert made.turns[0].text == "And {<TEMP-000><TEMP-099>}?"
    assert made.turns[1].text == "In {<TEMP-025><TEMP-050>}. Starts in <TEMP-074>."
    assert [(s.start_s, s.end_s) for s in made.spans] == [(0.5, 1.0)]
    part = sample(
        outcome_of(
            tmp_path,
            "st_align",
            _st_align("{<TEMP-OUTPUT><TEMP-OUTPUT>}", [0.5, 1], meta={"split": [10, 19]}),
        )[0],
        config,
    )
    assert part.clip is not None
    assert (part.clip.start_s, part.clip.end_s) == (1.0, 2.0)
    assert (part.spans[0].start_s, part.spans[0].end_s, part.spans[0].start_bin) == (1.5, 2.0, 50)


def test_invalid_times_of_st_align_are_rejected_with_a_reason(tmp_path: Path) -> None:
    assert outcome_of(tmp_path, "st_align", _st_align("<TEMP-OUTPUT>", [0.1, 0.2])) is Reason.PLACEHOLDERS
    assert (
        outcome_of(tmp_path, "st_align", _st_align("[<WIDTH-OUTPUT><HEIGHT-OUTPUT>]", [])) is Reason.SPATIAL
    )
    for outputs, reason in (
        ([0.5, 0.5], Reason.SPAN_ZERO_LENGTH),
        ([0.2, 1.4], Reason.SPAN_OUTSIDE),
        ([0.9, 0.1], Reason.SPAN_REVERSED),
    ):
        (draft,) = outcome_of(tmp_path, "st_align", _st_align("{<TEMP-OUTPUT><TEMP-OUTPUT>}", outputs))
        with pytest.raises(RejectError) as caught:
            sample(draft, source("st_align"))
        assert caught.value.reason is reason


def test_time_stamps_become_bins(tmp_path: Path) -> None:
    row = {
        "video": "a.mp4",
        "tgt": [0.5, 1.0, 1, 2],
        "conversations": conversation("Where?", "<TIME_STAMP> and <TIME_STAMP>."),
    }
    made = sample(outcome_of(tmp_path, "time_stamp", row)[0], source("time_stamp"))
    assert made.turns[1].text == "{<TEMP-025><TEMP-050>} and {<TEMP-050><TEMP-099>}."
    assert len(made.spans) == 2
    assert outcome_of(tmp_path, "time_stamp", {**row, "tgt": [0.5, 1.0]}) is Reason.PLACEHOLDERS


def test_spans_are_clamped_only_if_the_plan_says_so_and_reported(tmp_path: Path) -> None:
    row = {"video": "a.mp4", "tgt": [0.5, 2.4], "conversations": conversation("Where?", "<TIME_STAMP>")}
    (draft,) = outcome_of(tmp_path, "time_stamp", row)
    with pytest.raises(RejectError, match="span_outside"):
        finish(draft, source("time_stamp"), VIDEO, 1)
    done = finish(draft, source("time_stamp", outside_spans="clamp"), VIDEO, 1)
    assert done.clamped
    assert (done.sample.spans[0].end_s, done.sample.spans[0].end_bin) == (2.0, 99)
    (far,) = outcome_of(tmp_path, "time_stamp", {**row, "tgt": [2.1, 2.4]})
    with pytest.raises(RejectError, match="span_outside"):
        finish(far, source("time_stamp", outside_spans="clamp"), VIDEO, 1)


# ------------------------------------------------------------------------------------------- benchmarks


def test_the_three_file_formats_of_charades_hold_the_same_samples(realdata: Path) -> None:
    folder = realdata / "charades_sta"
    config = source("charades_sta", use="benchmark")
    forms = {}
    for name in ("charades_sta_test.txt", "charades_sta_test.json", "test_float.json"):
        found = read(folder / name, config)
        assert len(found) == 3720, name
        drafts = [d for drafts in found.values() for d in drafts]
        assert all(d.times[0].unit is Unit.SECONDS and d.media.candidates[0].endswith(".mp4") for d in drafts)
        forms[name] = {(d.media.candidates[0], d.expression.strip()) for d in drafts}
    text, table, listed = forms.values()
    assert text == table == listed


def test_fractions_of_charades_become_seconds(tmp_path: Path) -> None:
    row = {"image_id": "X.mp4", "caption": "a man runs.", "timestamp": [0.25, 0.5]}
    config = source("charades_sta", use="benchmark")
    made = sample(outcome_of(tmp_path, "charades_sta", row)[0], config)
    assert (made.spans[0].start_s, made.expression) == (0.5, "a man runs.")
    assert made.turns[1].text == "{<TEMP-025><TEMP-050>}"


def test_mvbench_records_have_category_answer_and_clip(tmp_path: Path) -> None:
    row = {
        "video": "v.mp4",
        "question": "Q?",
        "candidates": ["a", "b", "c"],
        "answer": "b",
        "start": 0.5,
        "end": 1.5,
    }
    (draft,) = outcome_of(tmp_path, "mvbench", row, name="fine_grained_action.json", use="benchmark")
    made = sample(draft, source("mvbench", use="benchmark"))
    assert (made.category, made.answer_index, made.task) == ("Fine-grained Action", 1, Task.CHOICE)
    assert made.clip is not None
    assert (made.clip.start_s, made.clip.end_s) == (0.5, 1.5)
    assert "Moments_in_Time_Raw/videos/v.mp4" in draft.media.candidates
    assert outcome_of(tmp_path, "mvbench", {**row, "answer": "d"}, use="benchmark") is Reason.BAD_CHOICE


def test_videorefer_bench_q_regions_follow_the_region_mode(tmp_path: Path) -> None:
    row = {
        "video": "D/x",
        "Question": "What is <object3><region> not wearing?",
        "options": ["(A) hat", "(B) shoe"],
        "Answer": "(B) shoe",
        "type": "Basic Questions",
        "frame_idx": "4",
        "annotation": [{"2": {"segmentation": RLE}, "4": {"segmentation": RLE}}],
    }
    for mode, frames in (("single", (4,)), ("multi", (2, 4))):
        config = source("videorefer_bench_q", use="benchmark", region_mode=mode)
        (draft,) = outcome_of(tmp_path, "videorefer_bench_q", row, use="benchmark", region_mode=mode)
        made = sample(draft, config)
        assert made.regions[0].frames == frames
        assert (made.choices, made.answer_index, made.category) == (("hat", "shoe"), 1, "Basic Questions")


def test_ufvideo_bench_samples_have_regions_targets_spans_and_references(tmp_path: Path) -> None:
    track = {str(i): {"segmentation": RLE} for i in (2, 5, 9)}
    row = {"id": 1, "video": "/home/x/Panda/a.mp4", "annotation": [track, track], "caption": "They run."}
    config = source("ufvideo_bench", use="benchmark")
    (draft,) = outcome_of(tmp_path, "ufvideo_bench", row, name="PixRQA.json", use="benchmark")
    assert draft.media.candidates[-1] == "a.mp4"
    marked = sample(draft, config)
    assert [r.frames for r in marked.regions] == [(2,), (2,)]
    assert [t.frames for t in marked.targets] == [(5, 9), (5, 9)]
    assert marked.turns[1].text.count("[SEG]") == 2
    assert marked.reference == "They run.", "the text of the source, without the tokens that are appended"
    assert sample(draft, source("ufvideo_bench", use="train")).reference == "", (
        "references are kept only for benchmarks"
    )
    timed = {
        "video": "a.mp4",
        "frame_idx": [5, 9],
        "annotation": [track],
        "conversations": [conversation("<video>\nWhen?", "{<TEMP-010><TEMP-020>}. It runs. [SEG]")],
    }
    (draft,) = outcome_of(tmp_path, "ufvideo_bench", timed, name="PixTRQA.json", use="benchmark")
    made = sample(draft, config)
    assert (made.category, made.targets[0].frames, len(made.spans)) == ("PixTRQA", (5, 9), 1)
    assert made.reference == "{<TEMP-010><TEMP-020>}. It runs. [SEG]"
    timed["conversations"] = [conversation("When?", "[SEG] [SEG]")]
    (draft,) = outcome_of(tmp_path, "ufvideo_bench", timed, name="PixTRQA.json", use="benchmark")
    with pytest.raises(RejectError, match="target_count"):
        sample(draft, config)
    with pytest.raises(UserError, match="Pix"):
        outcome_of(tmp_path, "ufvideo_bench", row, name="other.json", use="benchmark")
