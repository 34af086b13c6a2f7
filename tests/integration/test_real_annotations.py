"""Annotations of real videos in the five training formats, most of them with their real frames."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets_prep import run
from datasets_prep.passes.finish import finish
from datasets_prep.passes.validate import check
from datasets_prep.sources import Files, reader_of
from pipeline.dataset.reader import ShardReader
from pipeline.media.video import decode
from pipeline.plan.data import PrepConfig, SourceConfig, Use
from pipeline.records.sample import MaskTrack, Sample, Task, VideoRef
from pipeline.storage.location import Location

FRAMES = 12
HORSE, RIDER, SWAN, JUDO = "7", "11", "23", "31"
ABSENT = {HORSE: (3, 8), RIDER: (8,)}  # frames without a mask of the object, both on one of them
CLIP = "0F7LW"
SPANS = (
    (0.8, 8.1),
    (12.6, 19.5),
    (12.6, 19.5),
    (0.0, 4.6),
    (12.6, 19.5),
)  # of CLIP, in file order
PAST = 3  # spans of the real test set that end after the two real videos do


def png(path: Path) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(path))


def rle(mask: np.ndarray) -> dict[str, Any]:
    """Compressed RLE as pycocotools, and so the published files, write it."""
    from pycocotools import mask as coco

    made = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": made["size"], "counts": made["counts"].decode()}


def pixels(track: MaskTrack, at: int) -> np.ndarray:
    from pycocotools import mask as coco

    return coco.decode({"size": [track.height, track.width], "counts": track.counts[at].encode()}) > 0


def davis_masks(realdata: Path) -> dict[str, list[np.ndarray]]:
    """The true foreground of each frame, split into horse and rider by a real prediction; and the swan."""
    truth = realdata / "davis2016_val_480p" / "Annotations" / "480p"
    split = realdata / "davis2017_val_predictions" / "osvos" / "horsejump-high"
    names = [f"{frame:05d}.png" for frame in range(FRAMES)]
    horses = [png(truth / "horsejump-high" / name) > 0 for name in names]
    riders = [png(split / name) == 2 for name in names]
    return {
        HORSE: [whole & ~rider for whole, rider in zip(horses, riders, strict=True)],
        RIDER: [whole & rider for whole, rider in zip(horses, riders, strict=True)],
        SWAN: [png(truth / "blackswan" / name) > 0 for name in names],
    }


def write_mevis(realdata: Path, folder: Path) -> None:
    """``meta_expressions.json`` and ``mask_dict.json`` over DAVIS and a clip with a mask of another size."""
    dictionary: dict[str, list[Any]] = {
        name: [None if frame in ABSENT.get(name, ()) else rle(mask) for frame, mask in enumerate(masks)]
        for name, masks in davis_masks(realdata).items()
    }
    judo = realdata / "cutie_examples" / "masks" / "judo"
    dictionary[JUDO] = [
        rle(png(judo / f"{frame:05d}.png") > 0) if frame in (0, 5, 8) else None for frame in range(FRAMES)
    ]
    frames = [f"{frame:05d}" for frame in range(FRAMES)]

    def video(**expressions: tuple[str, list[str]]) -> dict[str, Any]:
        by_id = {
            name[1:]: {"exp": text, "obj_id": list(range(len(ids))), "anno_id": [int(i) for i in ids]}
            for name, (text, ids) in expressions.items()
        }
        return {"vid_id": 1, "expressions": by_id, "frames": frames}

    meta = {
        "horsejump-high": video(
            e0=("the horse", [HORSE]),
            e1=("the person on the horse", [RIDER]),
            e2=("the horse and its rider", [RIDER, HORSE]),
        ),
        "blackswan": video(e0=("swan that swims to the left", [SWAN])),
        "judo": video(e0=("the fighter in front", [JUDO])),
    }
    (folder / "meta_expressions.json").write_text(json.dumps({"videos": meta}))
    (folder / "mask_dict.json").write_text(json.dumps(dictionary))


def write_timed(folder: Path) -> None:
    """The real spans of one Charades video as InternVid-TG, ST-Align and LLaVA-Video write times."""
    length = 30.467  # seconds, to the last picture of the real file
    answers = {"tg": "<TIME_STAMP>", "st": "{<TEMP-OUTPUT><TEMP-OUTPUT>}", "llava": ""}
    for name, form in answers.items():
        rows = []
        for start, end in SPANS:
            bins = tuple(round(t / length * 99) for t in (start, end))
            answer = form or f"{{<TEMP-{bins[0]:03d}><TEMP-{bins[1]:03d}>}}"
            conversation = [
                {"from": "human", "value": "<video>\nWhen?"},
                {"from": "gpt", "value": f"In {answer}."},
            ]
            row: dict[str, Any] = {"video": f"{CLIP}.mp4", "conversations": conversation}
            if name == "tg":
                row["tgt"] = [start, end]
            if name == "st":
                row["variables"] = {"temporal_output_locations": [start / length, end / length]}
            rows.append(row)
        (folder / f"{name}.json").write_text(json.dumps(rows))


@pytest.fixture(scope="module")
def built(ray_cluster: None, realdata: Path, tmp_path_factory: pytest.TempPathFactory) -> ShardReader:
    """The dataset of all sources, prepared by the real job."""
    folder = tmp_path_factory.mktemp("real")
    write_mevis(realdata, folder)
    write_timed(folder)
    davis, cutie = realdata / "davis2016_val_480p" / "JPEGImages" / "480p", realdata / "cutie_examples"
    clips = (str(realdata / "llava_st_demo" / "tvg"),)
    charades = {
        "format": "charades_sta",
        "use": Use.BENCHMARK,
        "annotations": str(realdata / "charades_sta" / "charades_sta_test.txt"),
        "media": clips,
    }
    rows: list[dict[str, Any]] = [
        {
            "name": "davis",
            "format": "meta_expressions",
            "annotations": str(folder / "meta_expressions.json"),
            "masks": str(folder / "mask_dict.json"),
            "media": (str(davis), str(cutie / "images")),
        },
        {
            "name": "tg",
            "format": "time_stamp",
            "annotations": str(folder / "tg.json"),
            "media": clips,
        },
        {"name": "st", "format": "st_align", "annotations": str(folder / "st.json"), "media": clips},
        {"name": "llava", "format": "llava_video", "annotations": str(folder / "llava.json"), "media": clips},
        {"name": "charades", **charades},
        {"name": "clamped", **charades, "outside_spans": "clamp"},
    ]
    config = PrepConfig(sources=tuple(SourceConfig.model_validate(row) for row in rows))
    out = Location.parse(folder / "out")
    run.build(config, Location.parse, out, 7)
    return ShardReader(out)


def samples(reader: ShardReader, source: str) -> dict[str, Sample]:
    found = (reader.sample(source, row) for row in range(reader.count(source)))
    return {sample.key: sample for sample in found}


@pytest.mark.timeout(300)
def test_davis_masks_in_the_mevis_format_are_prepared_unchanged(built: ShardReader, realdata: Path) -> None:
    made = samples(built, "davis")
    keys = [f"davis/horsejump-high/{i}" for i in range(3)]
    assert sorted(made) == ["davis/blackswan/0", *keys]
    true = davis_masks(realdata)
    named = {keys[0]: (HORSE,), keys[1]: (RIDER,), keys[2]: (HORSE, RIDER), "davis/blackswan/0": (SWAN,)}
    for key, objects in named.items():
        (target,) = made[key].targets
        assert target.frames == tuple(range(FRAMES))
        for frame in range(FRAMES):
            seen = [true[name][frame] for name in objects if frame not in ABSENT.get(name, ())]
            expected = np.any(seen, axis=0) if seen else np.zeros((480, 854), bool)
            assert np.array_equal(pixels(target, frame), expected), (key, frame)
    both = made[keys[2]]
    whole = realdata / "davis2016_val_480p" / "Annotations" / "480p" / "horsejump-high" / "00000.png"
    assert np.array_equal(pixels(both.targets[0], 0), png(whole) > 0), "two objects are the real foreground"
    assert not pixels(both.targets[0], 8).any()
    assert both.expression == "the horse and its rider"
    assert both.turns[0].text == "Can you segment the the horse and its rider in this video?"

    (reject,) = [row for row in built.rejects().to_pylist() if row["source"] == "davis"]
    assert (reject["key"], reject["reason"]) == ("davis/judo/0", "mask_size")
    assert "853" in reject["detail"]


def test_frames_are_the_pictures_that_the_annotations_name(built: ShardReader, realdata: Path) -> None:
    sample = samples(built, "davis")["davis/horsejump-high/0"]
    video, place = sample.video, built.media(sample).local_path
    assert (video.num_frames, video.height, video.width) == (FRAMES, 480, 854), "the folder has 50"
    assert place == realdata / "davis2016_val_480p" / "JPEGImages" / "480p" / "horsejump-high"
    (picture,) = decode(place, [7], frames=video.frames)
    assert np.array_equal(picture, png(place / "00007.jpg"))


def test_real_spans_past_the_end_of_their_video_are_rejected_or_clamped(built: ShardReader) -> None:
    """Two of 1,334 videos are there; a span that ends after its video is rejected, or clamped by the plan."""
    strict, clamped = (built.manifest.source(name) for name in ("charades", "clamped"))
    rest = 3720 - len(SPANS) - PAST
    assert strict.rejects == {"media_missing": rest, "span_outside": PAST}
    assert clamped.rejects == {"media_missing": rest}
    assert (strict.kept, strict.clamped) == (len(SPANS), 0)
    assert (clamped.kept, clamped.clamped) == (len(SPANS) + PAST, PAST)
    for sample in samples(built, "clamped").values():
        (span,) = sample.spans
        assert 0 <= span.start_s < span.end_s <= sample.video.duration_s


def test_one_span_is_the_same_in_four_formats(built: ShardReader) -> None:
    """Seconds, fractions and bins of one real annotation give one span."""
    found = {name: list(samples(built, name).values()) for name in ("charades", "tg", "st", "llava")}
    for name, made in found.items():
        assert [s.task for s in made] == [Task.TEMPORAL] * len(SPANS), name
        bin_s = made[0].video.duration_s / 99
        for sample, (start, end) in zip(made, SPANS, strict=True):
            (span,) = sample.spans
            slack = {"llava": bin_s, "st": 0.2}.get(name, 1e-6)
            assert (span.start_s, span.end_s) == pytest.approx((start, end), abs=slack), name
            if name != "charades":
                written = f"In {{<TEMP-{span.start_bin:03d}><TEMP-{span.end_bin:03d}>}}."
                assert sample.turns[1].text == written
    bins = {name: [(s.spans[0].start_bin, s.spans[0].end_bin) for s in made] for name, made in found.items()}
    assert bins["charades"] == bins["tg"]
    for name in ("st", "llava"):
        off = np.abs(np.subtract(bins[name], bins["tg"]))
        assert off.max() <= 1, "the last picture's start, used above as the length, is before the video's end"


# ------------------------------------------------------------------------------ readers alone, no pictures


def drafts(path: Path, config: SourceConfig) -> list[Any]:
    reader = reader_of(config.format)
    return [
        draft
        for record in reader.records(config, Files(annotations=path))
        for draft in reader.convert(record, config, 1)
    ]


def test_five_way_questions_in_the_llava_video_format_keep_options_and_answers(
    realdata: Path, tmp_path: Path
) -> None:
    """NExT-GQA's 5,553 questions with options as LLaVA-Video-178K writes them."""
    with open(realdata / "nextgqa" / "test.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    expected = []
    for row in rows:
        texts = [row[f"a{i}"] for i in range(5)]
        expected.append((tuple(text.strip() + "." for text in texts), texts.index(row["answer"])))
    records = []
    for row, (options, right) in zip(rows, expected, strict=True):
        lines = [f"{letter}. {text}" for letter, text in zip("ABCDE", options, strict=True)]
        question = "\n".join([f"<image>\n{row['question']}?", *lines, "Please give the letter."])
        answer = lines[right]
        records.append(
            {
                "video": f"{row['video_id']}.mp4",
                "data_source": "2_3_m_nextqa",
                "conversations": [{"from": "human", "value": question}, {"from": "gpt", "value": answer}],
            }
        )
    (tmp_path / "mc.json").write_text(json.dumps(records))
    config = SourceConfig.model_validate(
        {"name": "next", "format": "llava_video", "annotations": "mc.json", "media": ("m",)}
    )
    made = drafts(tmp_path / "mc.json", config)
    assert len(made) == 5553
    assert {d.task for d in made} == {Task.CHOICE}
    assert [(d.choices, d.answer_index) for d in made] == expected


@pytest.mark.parametrize("name", ["manual", "auto"])
def test_masklets_in_the_videorefer_format_keep_their_areas(
    realdata: Path, tmp_path: Path, name: str
) -> None:
    """SA-V's portrait masklets, every fourth frame; absent objects are empty masks in it, not null."""
    folder = realdata / "sav_example"
    raw = json.loads((folder / f"sav_000001_{name}.json").read_text())
    areas = np.array(json.loads((folder / "golden_areas.json").read_text())["area"][name])
    objects = [
        {str(4 * k): {"segmentation": frame[number]} for k, frame in enumerate(raw["masklet"])}
        for number in range(areas.shape[1])
    ]
    placeholders = " and ".join(["<region>"] * len(objects))
    conversation = [
        {"from": "human", "value": f"<video>\nWhat are {placeholders}?"},
        {"from": "gpt", "value": "Things."},
    ]
    row = {"video": "sav.mp4", "conversations": conversation, "annotation": objects}
    (tmp_path / "a.json").write_text(json.dumps([row]))
    frames, height, width = (int(raw[k]) for k in ("video_frame_count", "video_height", "video_width"))
    video = VideoRef(
        path="sav.mp4", num_frames=frames, fps=24, duration_s=frames / 24, height=height, width=width
    )

    def read(mode: str, seed: int) -> Sample:
        config = SourceConfig.model_validate(
            {
                "name": "sav",
                "format": "videorefer",
                "annotations": "a.json",
                "media": ("m",),
                "region_mode": mode,
            }
        )
        (draft,) = drafts(tmp_path / "a.json", config)
        sample = finish(draft, config, video, seed).sample
        check(sample, config.use, 2)
        return sample

    everything = read("multi", 1)
    assert all(r.frames == tuple(range(0, 4 * len(areas), 4)) for r in everything.regions)
    made = [[int(pixels(r, k).sum()) for r in everything.regions] for k in range(len(areas))]
    assert np.array_equal(made, areas)
    assert (everything.regions[0].height, everything.regions[0].width) == (848, 480)
    assert (areas == 0).any(), "some object is absent from some frames"
    chosen = [r for seed in range(8) for r in read("single", seed).regions]
    assert all(len(r.frames) == 1 and pixels(r, 0).any() for r in chosen), (
        "one frame, on which the object is visible"
    )
