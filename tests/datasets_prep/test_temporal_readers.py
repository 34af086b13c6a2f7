"""Readers of temporal datasets on small files in their native formats, with the pitfalls of the real ones.

The real files, where available, are read in test_temporal_real.py. No Ray.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from datasets_prep.draft import Draft, Reason, RejectError
from datasets_prep.passes.finish import finish
from datasets_prep.passes.validate import check
from datasets_prep.sources import Files, reader_of
from datasets_prep.sources.bases.events import QUESTIONS, video_called
from datasets_prep.sources.formats.didemo import majority_pair
from pipeline.errors import UserError
from pipeline.plan.data import SourceConfig
from pipeline.plan.formats import TemporalTask
from pipeline.records.sample import Sample, Task, VideoRef
from tests.datasets_prep.clips import write_clip
from tests.datasets_prep.mask_corpora import LEFT_OUT, read, reasons, source
from tests.datasets_prep.test_odd_records import prepare


def video(duration_s: float) -> VideoRef:
    return VideoRef(
        path="v.mp4",
        num_frames=1000,
        fps=1000 / duration_s,
        duration_s=duration_s,
        duration_source="stream",
        height=4,
        width=6,
    )


def sample(draft: Draft, config: SourceConfig, duration_s: float = 99.0) -> Sample:
    made = finish(draft, config, video(duration_s), 1).sample
    check(made, config.use, 2)
    return made


def reject_reason(draft: Draft, config: SourceConfig, duration_s: float = 99.0) -> Reason | None:
    try:
        sample(draft, config, duration_s)
    except RejectError as error:
        return error.reason
    return None


def write_file(folder: Path, content: Any, name: str = "a.json") -> Path:
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / name).write_text(text)
    return folder / name


def drafts_of(
    folder: Path, config: SourceConfig, content: Any, name: str = "a.json", **files: Any
) -> dict[str, Any]:
    return read(config, Files(annotations=write_file(folder, content, name), **files))


def times(made: Sample) -> list[tuple[float, float]]:
    return [(round(s.start_s, 3), round(s.end_s, 3)) for s in made.spans]


# -------------------------------------------------------------------------------------- what is asked


def anet(*events: tuple[Any, Any], duration: float = 99.0) -> dict[str, Any]:
    return {
        "duration": duration,
        "timestamps": [time for time, _ in events],
        "sentences": [words for _, words in events],
    }


TWO = {"v_a": anet(([60, 99], " He  sits. "), ([0, 33.0], "A man jumps."))}


def test_grounding_asks_when_an_event_happens(tmp_path: Path) -> None:
    config = source("activitynet_captions")
    drafts = drafts_of(tmp_path, config, TWO)
    assert list(drafts) == ["s/v_a/0", "s/v_a/1"]
    made = sample(drafts["s/v_a/1"], config)
    assert (made.task, made.expression) == (Task.TEMPORAL, "A man jumps.")
    assert made.turns[0].text in {
        q.replace("{expression}", "A man jumps") for q in QUESTIONS[TemporalTask.GROUNDING]
    }
    assert made.turns[1].text == "{<TEMP-000><TEMP-033>}"
    assert sample(drafts["s/v_a/0"], config).expression == "He sits."


def test_dense_captions_list_all_events_in_the_order_of_time(tmp_path: Path) -> None:
    config = source("activitynet_captions", temporal_task="dense_captions")
    drafts = drafts_of(tmp_path, config, TWO)
    assert list(drafts) == ["s/v_a"]
    made = sample(drafts["s/v_a"], config)
    assert made.turns[0].text in QUESTIONS[TemporalTask.DENSE_CAPTIONS]
    # In the order of time, not of the file.
    assert made.turns[1].text == "{<TEMP-000><TEMP-033>} A man jumps.\n{<TEMP-060><TEMP-099>} He sits."
    assert times(made) == [(0.0, 33.0), (60.0, 99.0)]
    assert made.expression == ""


def test_referring_asks_what_happens_in_a_span(tmp_path: Path) -> None:
    config = source("activitynet_captions", temporal_task="referring")
    made = sample(drafts_of(tmp_path, config, TWO)["s/v_a/0"], config)
    span = "{<TEMP-060><TEMP-099>}"
    assert made.turns[0].text in {q.replace("{span}", span) for q in QUESTIONS[TemporalTask.REFERRING]}
    assert (made.turns[1].text, made.spans) == ("He sits.", ())
    assert [s.start_s for s in made.question_spans] == [60.0]


def test_templates_of_the_plan_replace_the_built_in_ones(tmp_path: Path) -> None:
    config = source(
        "activitynet_captions",
        question_templates=("Wann: {expression}?",),
        answer_templates=("Von {span}: {expression} {x}",),
    )
    # A sentence may hold what looks like a placeholder of the template.
    made = sample(drafts_of(tmp_path, config, {"v_a": anet(([0, 99], "a {span} falls."))})["s/v_a/0"], config)
    assert [t.text for t in made.turns] == [
        "Wann: a {span} falls?",
        "Von {<TEMP-000><TEMP-099>}: a {span} falls. {x}",
    ]


def test_questions_are_drawn_by_key_and_seed(tmp_path: Path) -> None:
    config = source("activitynet_captions")
    many = {"v_a": anet(*[([0, 9], f"Event {n}.") for n in range(40)])}
    first, again = (drafts_of(tmp_path, config, many) for _ in range(2))
    assert first == again
    beginnings = {d.turns[0].text.split("vent")[0] for d in first.values()}
    assert len(beginnings) == len(QUESTIONS[TemporalTask.GROUNDING])
    reader, files = reader_of(config.format), Files(annotations=tmp_path / "a.json")
    other = [reader.convert(r, config, 2)[0] for r in reader.records(config, files)]
    assert other != list(first.values())


def test_candidates_of_a_video_are_its_name_with_every_suffix() -> None:
    bare = video_called(("abc",)).candidates
    assert bare == ("abc.mp4", "abc.mkv", "abc.webm", "abc")
    assert video_called(("a_1.0_2.0",)).candidates[0] == "a_1.0_2.0.mp4"
    ended = video_called(("abc.MP4",), "x").candidates
    assert ended[0] == "abc.MP4"
    assert {"abc.mkv", "abc", "x/abc.webm"} < set(ended)
    assert all(video_called((".mp4", "x/.mp4")).candidates)  # only a suffix: no empty name
    assert "x/" not in video_called(("x/.mp4",)).candidates
    with pytest.raises(RejectError):
        video_called(("../abc",))


# ------------------------------------------------------------------------------- ActivityNet Captions


def test_invalid_events_of_activitynet_captions_are_rejected_with_a_reason(tmp_path: Path) -> None:
    config = source("activitynet_captions")
    drafts = drafts_of(
        tmp_path,
        config,
        {
            "v_a": anet(
                ([0, 5], "x"),
                ([5, 5], "none"),
                ([9, 5], "back"),
                ([90, 100], "past"),
                ([1, 2], "  "),
                (3, "y"),
            ),
            "v_b": {"duration": 5, "timestamps": [[0, 1]], "sentences": []},
            "v_c": 5,
            "v_d": anet(),
        },
    )
    assert reasons(drafts) == {
        "s/v_a/4": Reason.MALFORMED,
        "s/v_a/5": Reason.MALFORMED,
        "s/v_b": Reason.MALFORMED,
        "s/v_c": Reason.MALFORMED,
        "s/v_d": Reason.MALFORMED,
    }
    found = [reject_reason(drafts[f"s/v_a/{n}"], config) for n in range(4)]
    assert found == [None, Reason.SPAN_ZERO_LENGTH, Reason.SPAN_REVERSED, Reason.SPAN_OUTSIDE]
    assert drafts["s/v_a/0"].media.candidates == (
        "v_a.mp4", "v_a.mkv", "v_a.webm", "v_a", "a.mp4", "a.mkv", "a.webm", "a",
    )  # fmt: skip


def test_a_video_that_occurs_twice_is_rejected_the_second_time(tmp_path: Path) -> None:
    entry = json.dumps(anet(([0, 5], "x")))
    for task in ("grounding", "dense_captions"):
        config = source("activitynet_captions", temporal_task=task)
        drafts = drafts_of(tmp_path, config, f'{{"v_a": {entry}, "v_a": {entry}, "v_a": {entry}}}')
        assert reasons(drafts) == {
            "s/v_a/again1": Reason.DUPLICATE_KEY,
            "s/v_a/again2": Reason.DUPLICATE_KEY,
        }
        assert len(drafts) == 3


def test_listed_videos_are_left_out(tmp_path: Path) -> None:
    config = source("activitynet_captions", drop_videos="x")
    content = {v: anet(([0, 5], "x"), ([5, 9], "y")) for v in ("v_a", "v_b")}
    (tmp_path / "drop.txt").write_text("v_b\n")
    drafts = drafts_of(tmp_path, config, content, drop_videos=tmp_path / "drop.txt")
    assert [key for key, made in drafts.items() if made is LEFT_OUT] == ["s/v_b/0", "s/v_b/1"]


# ----------------------------------------------------------------------------------- YouCook2, COIN


def database(**videos: Any) -> dict[str, Any]:
    return {"database": videos, "taxonomy": []}


def youcook2(subset: str, *steps: tuple[Any, Any]) -> dict[str, Any]:
    listed = [{"segment": time, "id": n, "sentence": words} for n, (time, words) in enumerate(steps)]
    return {"subset": subset, "duration": 99.0, "recipe_type": "113", "annotations": listed}


def coin(subset: str, *steps: tuple[Any, Any]) -> dict[str, Any]:
    listed = [{"segment": time, "id": str(n), "label": words} for n, (time, words) in enumerate(steps)]
    return {
        "duration": 99.0,
        "class": "ReplaceCDDriveWithSSD",
        "start": 56.64,
        "end": 85.71,
        "annotation": listed,
        "subset": subset,
        "recipe_type": 131,
    }


def test_youcook2_keeps_one_subset(tmp_path: Path) -> None:
    content = database(
        a=youcook2("training", ([10, 20], "cut it"), ([30, 30], "no time")),
        b=youcook2("validation", ([0, 9], "boil it")),
    )
    config = source("youcook2", split="validation")
    drafts = drafts_of(tmp_path, config, content)
    assert drafts["s/a"] is LEFT_OUT
    made = sample(drafts["s/b"], config)
    assert made.turns[1].text == "{<TEMP-000><TEMP-009>} boil it"
    assert "validation/113/b.mkv" in drafts["s/b"].media.candidates
    grounded = source("youcook2", split="training", temporal_task="grounding")
    drafts = drafts_of(tmp_path, grounded, content)
    assert drafts["s/b/0"] is LEFT_OUT
    assert [reject_reason(drafts[f"s/a/{n}"], grounded) for n in range(2)] == [None, Reason.SPAN_ZERO_LENGTH]
    path = write_file(tmp_path, content)
    for split, message in ((None, "training, validation"), ("test", "training, validation")):
        with pytest.raises(UserError, match=message):
            read(source("youcook2", split=split), Files(annotations=path))
    # A step without length rejects the dense captions of the video: an answer without it would be wrong.
    assert reject_reason(
        drafts_of(tmp_path, source("youcook2", split="training"), content)["s/a"], config
    ) is (Reason.SPAN_ZERO_LENGTH)


def test_times_of_coin_are_relative_to_the_video(tmp_path: Path) -> None:
    config = source("coin", split="training")
    content = database(
        LtRSn=coin("training", ([60.0, 69.0], "take out the drive"), ([70, 75.5], "put it in"))
    )
    made = sample(drafts_of(tmp_path, config, content)["s/LtRSn"], config)
    assert times(made) == [(60.0, 69.0), (70.0, 75.5)]
    assert (made.clip, made.category) == (None, "ReplaceCDDriveWithSSD")
    draft = drafts_of(tmp_path, config, content)["s/LtRSn"]
    assert {"LtRSn.mp4", "131/LtRSn.mp4", "videos/131/LtRSn.webm"} < set(draft.media.candidates)
    # A file of one split needs no choice.
    assert len(drafts_of(tmp_path, source("coin", temporal_task="grounding"), content)) == 2


def coco(**more: Any) -> dict[str, Any]:
    caption = "<time_token_10> <time_token_20> cut it <time_token_30> <time_token_40> boil it <time_token_50>"
    row = {"image_id": "x.mp4", "caption": f"{caption} <time_token_60> eat it", "id": 0, "duration": 100.0}
    return row | {"segments": [[10, 21], [30, 41], [50, 61]]} | more


def test_youcook2_in_coco_format_is_read(tmp_path: Path) -> None:
    config = source("youcook2")
    rows = [
        coco(),
        coco(segments=[[10, 21]]),
        coco(caption="cut it"),
        coco(image_id=None),
        coco(segments=None),
        coco(caption=f"A salad. {coco()['caption']}"),
    ]
    drafts = drafts_of(tmp_path, config, {"annotations": rows})
    made = sample(drafts["s/0"], config, 99.0)
    assert made.turns[1].text == (
        "{<TEMP-010><TEMP-021>} cut it\n{<TEMP-030><TEMP-041>} boil it\n{<TEMP-050><TEMP-061>} eat it"
    )
    assert reasons(drafts) == {f"s/{n}": Reason.MALFORMED for n in range(1, 6)}
    with pytest.raises(UserError, match="neither `database` nor `annotations`"):
        drafts_of(tmp_path, config, {"videos": {}})


# -------------------------------------------------------------------------------------------- DiDeMo


@pytest.mark.parametrize(
    ("pairs", "chosen"),
    [
        ([(1, 1), (1, 1), (1, 1), (0, 0)], (1, 1)),  # the majority; an average would start earlier
        ([(0, 0), (5, 5), (5, 5), (5, 5)], (5, 5)),
        ([(0, 2), (1, 1), (2, 2), (1, 2)], (1, 2)),  # no two agree: the pair with the largest overlap
        ([(3, 3), (1, 1), (3, 3), (1, 1)], (1, 1)),  # two against two: the earlier pair
        ([(2, 2)], (2, 2)),
    ],
)
def test_the_segment_of_the_majority_of_annotators_is_chosen(
    pairs: list[tuple[int, int]], chosen: tuple[int, int]
) -> None:
    assert majority_pair(pairs) == majority_pair(pairs[::-1]) == chosen


def didemo(*pairs: Any, **more: Any) -> dict[str, Any]:
    return {
        "num_segments": 6,
        "description": " the man bends ",
        "times": list(pairs),
        "video": "1@N01_2_3.mov",
        "annotation_id": 4,
        **more,
    }


def test_segments_of_didemo_are_five_seconds_within_the_first_thirty(tmp_path: Path) -> None:
    config = source("didemo")
    drafts = drafts_of(tmp_path, config, [didemo([1, 2], [1, 2], [0, 0]), didemo([5, 5]), didemo([0, 5])])
    assert times(sample(drafts["s/0"], config, 30.0)) == [(5.0, 15.0)]
    # The last segment ends with the video, and annotators saw only the first 30 s.
    assert times(sample(drafts["s/1"], config, 27.5)) == [(25.0, 27.5)]
    long = sample(drafts["s/1"], config, 61.0)
    assert times(long) == [(25.0, 30.0)]
    assert long.clip is not None
    assert (long.clip.start_s, long.clip.end_s) == (0.0, 30.0)
    assert long.turns[1].text == "{<TEMP-083><TEMP-099>}"  # of the 30 s that are shown
    assert times(sample(drafts["s/2"], config, 12.0)) == [(0.0, 12.0)]
    assert reject_reason(drafts["s/1"], config, 24.0) is Reason.SPAN_OUTSIDE
    assert not finish(drafts["s/1"], config, video(27.5), 1).clamped
    assert sample(drafts["s/0"], config).expression == "the man bends"


def test_invalid_rows_of_didemo_are_rejected_with_a_reason(tmp_path: Path) -> None:
    config = source("didemo")
    rows = [
        didemo([0, 6]),
        didemo([2, 1]),
        didemo(),
        didemo([0]),
        didemo([0.5, 1]),
        didemo([0, 0], video=None),
        didemo([0, 0], description=""),
        didemo([0, 0], num_segments=None),
    ]
    assert list(reasons(drafts_of(tmp_path, config, rows)).values()) == [
        Reason.SPAN_OUTSIDE,
        Reason.SPAN_REVERSED,
        *[Reason.MALFORMED] * 6,
    ]


def test_videos_of_didemo_are_found_with_any_suffix(tmp_path: Path) -> None:
    """Some names end in a bare dot; the file itself has any suffix, or none."""
    names = {
        "1@N01_2_a.": "1@N01_2_a.mp4",
        "1@N01_2_b.3gp": "1@N01_2_b.3gp",
        "1@N01_2_c.mov": "1@N01_2_c.mp4",
    }
    for name in names.values():
        write_clip(tmp_path / f"{name}.tmp.mp4", frames=60, fps=10).rename(tmp_path / name)
    path = write_file(tmp_path, [didemo([0, 0], video=name) for name in names])
    config = source("didemo", annotations=str(path), media=(str(tmp_path),))
    rows, entry = prepare(config, tmp_path)
    assert [row["sample"]["video"]["path"] for row in rows] == list(names.values())
    assert entry.kept == 3


# -------------------------------------------------------------------------------------------- HiREST


def hirest(clip: bool, bounds: Any, *steps: Any) -> dict[str, Any]:
    listed = [{"index": n, "heading": f"step {n}", "absolute_bounds": s} for n, s in enumerate(steps)]
    return {"relevant": True, "clip": clip, "v_duration": 99.0, "bounds": bounds, "steps": listed}


HIREST = {
    "Make Pancakes": {"a.mp4": hirest(True, [10, 90], [10, 20], [20, 20]), "b.mp4": hirest(False, [0, 0])},
    "Tie a Knot": {"c.mp4": hirest(True, [5, 9])},
    "Odd": {"d.mp4": 3},
}


def test_hirest_queries_and_steps_have_their_bounds(tmp_path: Path) -> None:
    config = source("hirest")
    drafts = drafts_of(tmp_path, config, HIREST)
    assert [k for k, d in drafts.items() if d is LEFT_OUT] == ["s/Make Pancakes/b.mp4/query"]
    assert reasons(drafts) == {"s/Odd": Reason.MALFORMED}
    asked = sample(drafts["s/Make Pancakes/a.mp4/query"], config)
    assert (asked.expression, times(asked)) == ("Make Pancakes", [(10.0, 90.0)])
    assert times(sample(drafts["s/Make Pancakes/a.mp4/0"], config)) == [(10.0, 20.0)]
    assert reject_reason(drafts["s/Make Pancakes/a.mp4/1"], config) is Reason.SPAN_ZERO_LENGTH
    assert {d.type for d in drafts.values() if isinstance(d, Draft)} == {"query", "step"}
    dense = source("hirest", temporal_task="dense_captions")
    drafts = drafts_of(tmp_path, dense, HIREST)
    # Videos without annotated steps have no dense captions.
    assert [k for k, d in drafts.items() if d is LEFT_OUT] == ["s/Make Pancakes/b.mp4", "s/Tie a Knot/c.mp4"]


def test_counts_of_hirest_add_up(tmp_path: Path) -> None:
    for name in "abc":
        write_clip(tmp_path / f"{name}.mp4", frames=100, fps=1)
    path = write_file(tmp_path, HIREST)
    config = source("hirest", annotations=str(path), media=(str(tmp_path),), keep_types=("step",))
    _, entry = prepare(config, tmp_path)
    assert (entry.read, entry.kept, entry.not_selected) == (6, 1, 3)
    assert entry.rejects == {"malformed": 1, "span_zero_length": 1}


# --------------------------------------------------------------------------------------- QVHighlights


def test_qvhighlights_gives_every_window(tmp_path: Path) -> None:
    row = {"query": "A girl cooks.", "duration": 99, "vid": "NUs_210.0_360.0"}
    windows = ({"relevant_windows": [[56, 76], [10, 20]]}, {"relevant_windows": [[0, 98]]}, {})
    rows = [{**row, "qid": 7 + n, **more} for n, more in enumerate(windows)]
    lines = "\n".join(map(json.dumps, rows))
    config = source("qvhighlights")
    drafts = drafts_of(tmp_path, config, lines, "highlight_val_release.jsonl")
    made = sample(drafts["s/7"], config)
    assert made.turns[1].text == "{<TEMP-010><TEMP-020>}, {<TEMP-056><TEMP-076>}"
    assert times(made) == [(10.0, 20.0), (56.0, 76.0)]
    assert drafts["s/7"].media.candidates[0] == "NUs_210.0_360.0.mp4"
    assert reasons(drafts) == {"s/9": Reason.MALFORMED}
    hidden = source("qvhighlights", use="benchmark")
    drafts = drafts_of(tmp_path, hidden, lines, "highlight_val_release.jsonl")
    assert len(sample(drafts["s/9"], hidden).turns) == 1
    listed = [{k.replace("vid", "video"): v for k, v in r.items()} for r in rows[:2]]
    assert sample(drafts_of(tmp_path, config, listed)["s/7"], config).turns == made.turns
    unnamed = [{k: v for k, v in r.items() if k != "qid"} for r in listed]
    assert list(drafts_of(tmp_path, config, unnamed)) == ["s/0", "s/1"]  # by row
    broken = drafts_of(tmp_path, config, lines + '\n{"qid": 4', "b.jsonl")
    assert reasons(broken)["s/3"] is Reason.BROKEN_JSON


# -------------------------------------------------------------------------------------------- NExT-GQA

HEADER = "video_id,frame_count,width,height,question,answer,qid,type,a0,a1,a2,a3,a4"


def gqa(folder: Path, *lines: str, spans: Any = None, **more: Any) -> dict[str, Any]:
    there = {"5": {"0": [[30, 40.5], [1, 2]], "1": [[0, 5]], "2": [[3, 4]]}}
    listed = {v: {"duration": 35, "location": at, "fps": 29.97} for v, at in (spans or there).items()}
    (folder / "gsub_test.json").write_text(json.dumps(listed))
    return drafts_of(
        folder, source("nextgqa", masks="x", **more), "\n".join([HEADER, *lines]), "test.csv", masks=folder
    )


def test_nextgqa_answers_have_their_spans(tmp_path: Path) -> None:
    drafts = gqa(
        tmp_path,
        '5,100,4,6,"what did he do, then",lay on floor,0,TN,clap,sit,lay on floor,crawl,lay on floor',
        "5,100,4,6,why did he run?,green cup,1,CW,a,b,c,d,e",
        "5,100,4,6,why did he run?,a,7,CW,a,b,c,d,e",
        "6,100,4,6,why did he run?,a,1,CW,a,b,c,d,e",
        "5,100,4,6",
    )
    config = source("nextgqa", masks="x")
    made = sample(drafts["s/0"], config)
    assert "what did he do, then?" in made.turns[0].text
    assert made.turns[1].text == "lay on floor {<TEMP-001><TEMP-002>}, {<TEMP-030><TEMP-041>}"
    assert (times(made), made.category) == ([(1.0, 2.0), (30.0, 40.5)], "TN")
    assert reasons(drafts) == {
        "s/1": Reason.BAD_CHOICE,
        "s/2": Reason.MALFORMED,
        "s/3": Reason.MALFORMED,
        "s/4": Reason.BAD_CHOICE,
    }


def test_nextgqa_answers_may_be_the_index_of_an_option(tmp_path: Path) -> None:
    """As in NExT-QA; if one answer of the file is a text, all are read as texts."""
    first, second = "5,1,1,1,how many,2,0,TN,1,2,3,4,5", "5,1,1,1,how many,0,1,TN,1,2,3,4,5"
    config = source("nextgqa", masks="x")
    drafts = gqa(tmp_path, first, second)
    assert [sample(d, config).turns[1].text.split()[0] for d in drafts.values()] == ["3", "1"]
    drafts = gqa(tmp_path, first, "5,1,1,1,who,he,2,TN,he,2,3,4,5")
    assert [sample(d, config).turns[1].text.split()[0] for d in drafts.values()] == ["2", "he"]


def test_nextgqa_without_its_spans_is_refused(tmp_path: Path) -> None:
    path = write_file(tmp_path, HEADER, "val.csv")
    config = source("nextgqa")
    for given in (None, tmp_path, tmp_path / "gone.json"):
        with pytest.raises(UserError, match=r"gsub_val\.json"):
            read(config, Files(annotations=path, masks=given))
    (tmp_path / "gsub_val.json").write_text("{}")
    write_file(tmp_path, "video_id,question", "val.csv")
    with pytest.raises(UserError, match="lacks the columns"):
        read(config, Files(annotations=path, masks=tmp_path))


def test_videos_of_nextgqa_are_found_through_the_map_of_folders(tmp_path: Path) -> None:
    """The map is found if the plan names one folder for spans and map."""
    (tmp_path / "map_vid_vidorID.json").write_text(json.dumps({"5": "1164/5"}))
    write_clip(tmp_path / "v" / "1164" / "5.mp4", frames=60, fps=1)
    drafts = gqa(tmp_path, "5,1,1,1,who,he,1,TN,he,2,3,4,5")
    assert drafts["s/0"].media.candidates[0] == "1164/5.mp4"
    assert "5.mp4" in drafts["s/0"].media.candidates
    config = source(
        "nextgqa", annotations=str(tmp_path / "test.csv"), masks=str(tmp_path), media=(str(tmp_path / "v"),)
    )
    (row,), entry = prepare(config, tmp_path)
    assert (row["sample"]["video"]["path"], entry.kept) == ("1164/5.mp4", 1)


# -------------------------------------------------------------------------------------------- VTimeLLM


def conversation(*texts: str) -> list[dict[str, str]]:
    return [{"from": ("human", "gpt")[i % 2], "value": t} for i, t in enumerate(texts)]


def test_vtimellm_tokens_become_bins_and_seconds(tmp_path: Path) -> None:
    config = source("vtimellm")
    token = {"<s0>": 0.0, "<e0>": 30.0, "<s1>": 45.0, "<e1>": 60.0}
    row = {
        "source": "internvid",
        "id": "XXXX",
        "conversations": conversation(
            "<video>\nWhat happens from <s0> to <e0>?", "He runs, until <e0>. <s1> and <e1>: sits."
        ),
        "meta": {"split": [10.0, 70.0], "duration": 60.0, "token": token},
    }
    rows = [
        row,
        {**row, "meta": {"duration": 99.0, "token": token}},
        {"id": "XXXX", "conversations": conversation("<video>\nWhat?", "A cat.")},
        {**row, "meta": {"token": {"<s0>": 1, "<e0>": 2}}},
        {**row, "meta": {"split": [10.0, 70.0], "token": []}, "conversations": conversation("Q", "A")},
        {**row, "meta": 5},
        {**row, "meta": {"split": [1], "token": token}},
        {**row, "id": None},
    ]
    drafts = drafts_of(tmp_path, config, rows)
    part = sample(drafts["s/0"], config)
    assert part.turns[0].text == "What happens from {<TEMP-000><TEMP-050>}?"
    assert part.turns[1].text == "He runs, until <TEMP-050>. {<TEMP-074><TEMP-099>}: sits."
    assert part.clip is not None
    assert (part.clip.start_s, part.clip.end_s) == (10.0, 70.0)
    assert (times(part), part.question_spans[0].end_s) == ([(55.0, 70.0)], 40.0)
    whole = sample(drafts["s/1"], config)
    assert (whole.clip, times(whole)) == (None, [(45.0, 60.0)])
    assert sample(drafts["s/2"], config).task is Task.QA
    assert reasons(drafts) == {
        "s/3": Reason.PLACEHOLDERS,
        "s/5": Reason.MALFORMED,
        "s/6": Reason.MALFORMED,
        "s/7": Reason.MALFORMED,
    }
    assert {"XXXX.mp4", "internvid/XXXX.webm"} < set(drafts["s/0"].media.candidates)


# ------------------------------------------------------------------------------------- ActivityNet-RTL


def test_activitynet_rtl_times_in_texts_become_spans(tmp_path: Path) -> None:
    config = source("activitynet_rtl")
    pairs = [
        {"q": "When does he rest?", "a": "<10.0> <24.5> Because he is tired."},
        {"q": "When does he rest?", "a": "He never does."},
        {"q": "What happens at <5.0>?", "a": "He rests from <5.0> on, and again <50> <60.5>."},
        {"q": "When does he rest?", "a": "<10.0> <10.0> Because."},
        {"q": "When does he rest?"},
    ]
    train = drafts_of(tmp_path, config, {"v_x": {"duration": 99.0, "QA": pairs}, "v_y": {"duration": 9.0}})
    made = sample(train["s/v_x/0"], config)
    assert made.turns[1].text == "{<TEMP-010><TEMP-025>} Because he is tired."
    assert times(made) == [(10.0, 24.5)]
    mixed = sample(train["s/v_x/2"], config)
    assert mixed.turns[0].text == "What happens at <TEMP-005>?"
    assert mixed.turns[1].text == "He rests from <TEMP-005> on, and again {<TEMP-050><TEMP-061>}."
    assert reject_reason(train["s/v_x/3"], config) is Reason.SPAN_ZERO_LENGTH
    assert reasons(train) == {
        "s/v_x/1": Reason.PLACEHOLDERS,
        "s/v_x/4": Reason.MALFORMED,
        "s/v_y": Reason.MALFORMED,
    }
    rows = [{"vid": "x", "duration": 99.0, "question": "When?", "answer": "<10.0> <24.5> Then."}]
    validation = drafts_of(tmp_path, config, rows, "annot_val_1_q229.json")
    assert times(sample(validation["s/0"], config)) == [(10.0, 24.5)]
    # Training names have v_, validation names do not; files may have it or not.
    for drafts in (train["s/v_x/0"], validation["s/0"]):
        assert {"v_x.mp4", "x.mp4", "v_x.mkv"} < set(drafts.media.candidates)


# ------------------------------------------------------------------------------------------------ ViTT


def test_an_event_of_vitt_ends_where_the_next_one_starts(tmp_path: Path) -> None:
    tags = [(260, "Opening"), (33000, "Cutting"), (16000, " Showing  it "), (33000, "Talking")]
    row = {"id": "FmTp", "annotations": [{"timestamp": t, "tag": tag} for t, tag in tags]}
    config = source("vitt")
    rows = [row, {**row, "annotations": [{"timestamp": "x", "tag": "y"}]}, {"id": "FmTp"}, row]
    for content in (rows, "\n".join(map(json.dumps, rows))):
        drafts = drafts_of(tmp_path, config, content)
        made = sample(drafts["s/0"], config, 99.0)
        assert made.turns[1].text == (
            "{<TEMP-000><TEMP-016>} Opening\n{<TEMP-016><TEMP-033>} Showing it\n"
            "{<TEMP-033><TEMP-099>} Cutting\n{<TEMP-033><TEMP-099>} Talking"
        )
        assert times(made)[0] == (0.26, 16.0)
        assert reasons(drafts) == {"s/1": Reason.MALFORMED, "s/2": Reason.MALFORMED}
    assert not finish(drafts["s/0"], config, video(99.0), 1).clamped
    assert reject_reason(drafts["s/0"], config, 20.0) is Reason.SPAN_OUTSIDE
    grounded = source("vitt", temporal_task="grounding")
    drafts = drafts_of(tmp_path, grounded, rows)
    assert times(sample(drafts["s/0/2"], grounded)) == [(16.0, 33.0)]
    (tmp_path / "dev_id.txt").write_text("FmTp\n")
    kept = drafts_of(
        tmp_path,
        source("vitt", keep_videos="x"),
        [row, {**row, "id": "Other"}],
        keep_videos=tmp_path / "dev_id.txt",
    )
    assert kept["s/1"] is LEFT_OUT
