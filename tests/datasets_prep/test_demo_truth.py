"""Answers in the written files are recomputed independently, from decoded pixels and stored masks."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from datasets_prep.demo.corpora import SUMMARY, write_corpora
from datasets_prep.demo.scene import RGB
from pipeline.plan.demo import DemoConfig

CONFIG = DemoConfig(
    train_videos=12,
    mvbench_items=16,
    mevis_valid_videos=4,
    videorefer_bench_items=8,
    charades_sta_items=8,
    ufvideo_bench_items=6,
    max_seconds=9,
)
COLOURS = {str(colour): np.array(rgb) for colour, rgb in RGB.items()}


def in_two_processes(function: Any, jobs: Sequence[Any]) -> list[int]:
    """Run the jobs in reverse order, two at a time."""
    with ProcessPoolExecutor(2) as pool:
        return list(pool.map(function, list(reversed(jobs))))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpora")
    write_corpora(CONFIG, path)
    return path


def load(path: Path) -> Any:
    return json.loads(path.read_text())


@lru_cache(maxsize=64)
def decode(path: Path) -> tuple[np.ndarray, float]:
    """All frames [T, H, W, 3], by decoding alone, and frames per second."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        rate = stream.average_rate
        assert rate is not None
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(stream)]), float(rate)


def stills(folder: Path) -> np.ndarray:
    return np.stack([np.asarray(Image.open(path)) for path in sorted(folder.iterdir())])


@dataclass
class Seen:
    """One coloured object: the frames that show it, its area in pixels and its displacement (x, y)."""

    colour: str
    shape: str
    there: np.ndarray
    area: float
    path: tuple[float, float]

    @property
    def direction(self) -> str:
        dx, dy = self.path
        if max(abs(dx), abs(dy)) < 4:
            return "rests"
        if abs(dx) > abs(dy):
            return "to the right" if dx > 0 else "to the left"
        return "down" if dy > 0 else "up"


def pixels_of(frames: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Which pixels [..., H, W] have about this colour."""
    apart = np.abs(frames.astype(np.int16) - colour.astype(np.int16))
    return apart.sum(axis=-1, dtype=np.int16) < 110


def find_objects(frames: np.ndarray, colours: Sequence[str] = tuple(COLOURS)) -> dict[str, Seen]:
    """Coloured objects by colour; the shape follows from how much of its bounding box an object fills."""
    found = {}
    for colour in colours:
        masks = pixels_of(frames, COLOURS[colour])
        areas = masks.sum(axis=(1, 2))
        there = areas > 40
        if there.sum() < 2:
            continue
        whole = masks[int(areas.argmax())]
        y, x = np.nonzero(whole)
        fill = whole.sum() / ((np.ptp(x) + 1) * (np.ptp(y) + 1))
        shape = "square" if fill > 0.88 else "circle" if fill > 0.66 else "triangle"
        first, last = np.flatnonzero(there)[[0, -1]]
        centres = [np.nonzero(masks[k]) for k in (first, last)]
        (y0, x0), (y1, x1) = [(c[0].mean(), c[1].mean()) for c in centres]
        found[colour] = Seen(colour, shape, there, float(np.median(areas[there])), (x1 - x0, y1 - y0))
    return found


@lru_cache(maxsize=64)
def objects_in(path: Path) -> dict[str, Seen]:
    """The coloured objects of a whole video; cached, because several questions ask about each."""
    return find_objects(decode(path)[0])


def answer(question: str, seen: dict[str, Seen], options: Sequence[str]) -> str:
    """The answer to a question according to the pixels."""
    things = list(seen.values())
    if question == "Which of these colours is seen in the video?":
        (there,) = [plain(option) for option in options if plain(option) in seen]
        return there
    if match := re.match(r"Is there a (\w+) (\w+) in", question):
        there = match[1] in seen and match[2] in (seen[match[1]].shape, "shape")
        return "yes" if there else "no"
    if question.startswith("How many shapes"):
        return str(len(things))
    if question == "What colour is the moving shape?":
        (mover,) = [t for t in things if t.direction != "rests"]
        return mover.colour
    if question == "What colour is the largest shape?":
        return max(things, key=lambda t: t.area).colour
    if match := re.match(r"What colour is the (\w+)\?", question):
        (thing,) = [t for t in things if t.shape == match[1]]
        return thing.colour
    if match := re.match(r"What is the (\w+) shape\?", question):
        return f"a {seen[match[1]].shape}"
    if match := re.match(r"In which direction does the (\w+) (\w+) move", question):
        return seen[match[1]].direction
    assert question == "Which shape appears last?", question
    last = max(things, key=lambda t: int(t.there.argmax()))
    return f"the {last.colour} {last.shape}"


def plain(text: str) -> str:
    """'B. Yes.' -> 'yes'."""
    return re.sub(r"^(\([A-D]\)|[A-D]\.) ", "", text).rstrip(".").lower()


def test_the_same_settings_give_the_same_bytes_in_any_order_of_work(root: Path, tmp_path: Path) -> None:
    write_corpora(CONFIG, tmp_path, in_two_processes)
    trees = [
        {
            str(p.relative_to(r)): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in r.rglob("*")
            if p.is_file()
        }
        for r in (root, tmp_path)
    ]
    assert len(trees[0]) > 300
    assert trees[0] == trees[1]


def test_llava_video_answers_agree_with_the_pixels(root: Path) -> None:
    checked = 0
    for path in sorted((root / "llava_video").glob("*/*_mc_*.json")):
        for row in load(path):
            if str(row["id"]).startswith("damaged"):
                continue
            human, reply = (turn["value"] for turn in row["conversations"])
            assert human.startswith("<image>\n")
            question, listed = human.removeprefix("<image>\n").split("\nOptions:\n")
            seen = objects_in(path.parent / row["video"])
            assert answer(question, seen, listed.splitlines()[:-1]) == plain(reply), (row["video"], question)
            checked += 1
    assert checked > 48


def test_mvbench_answers_agree_with_the_pixels_of_their_clip(root: Path) -> None:
    table = {
        "object_existence": "clevrer/video_validation",
        "moving_attribute": "clevrer/video_validation",
        "moving_direction": "clevrer/video_validation",
        "action_count": "perception/videos",
        "object_interaction": "star/Charades_v1_480",
        "action_sequence": "star/Charades_v1_480",
        "episodic_reasoning": "tvqa/frames_fps3_hq",
    }
    for task, folder in table.items():
        rows = load(root / "mvbench/json" / f"{task}.json")
        assert rows
        for row in rows:
            path = root / "mvbench/video" / folder / row["video"]
            frames, fps = (stills(path), 3.0) if path.is_dir() else decode(path)
            if "start" in row:
                frames = frames[int(row["start"] * fps) : int(row["end"] * fps)]
            assert row["answer"] in row["candidates"]
            assert answer(row["question"], find_objects(frames), row["candidates"]) == plain(row["answer"]), (
                task,
                row,
            )


def visible_frames(frames: np.ndarray, text: str) -> tuple[int, int]:
    match = re.search(r"the (\w+) (\w+) is visible", text)
    assert match is not None
    thing = find_objects(frames, (match[1],))[match[1]]
    assert thing.shape == match[2]
    shown = np.flatnonzero(thing.there)
    assert len(shown) == shown[-1] - shown[0] + 1, "visible without a gap"
    return int(shown[0]), int(shown[-1]) + 1


def test_charades_times_agree_with_the_video(root: Path) -> None:
    lines = (root / "charades_sta/charades_sta_test.txt").read_text().splitlines()
    assert len(lines) == 8
    for line in lines:
        match = re.fullmatch(r"([0-9A-F]{5}) ([\d.]+) ([\d.]+)##(.+)\.", line)
        assert match is not None
        frames, fps = decode(root / "charades_sta/Charades_v1_480" / f"{match[1]}.mp4")
        first, end = visible_frames(frames, match[4])
        assert abs(float(match[2]) * fps - first) <= 0.1 * fps
        assert abs(float(match[3]) * fps - end) <= 0.1 * fps
        assert float(match[3]) <= len(frames) / fps


def test_internvid_times_agree_with_the_video(root: Path) -> None:
    rows = load(root / "internvid_tg/internvid_tg.json")[:-2]
    assert rows
    for row in rows:
        asked = re.findall(r"'(.+?)'", row["conversations"][0]["value"])
        assert row["conversations"][1]["value"].count("<TIME_STAMP>") == len(asked) == len(row["tgt"]) / 2
        frames, fps = decode(root / "internvid_tg/videos" / row["video"])
        for k, text in enumerate(asked):
            first, end = visible_frames(frames, text)
            assert np.allclose(np.array(row["tgt"][2 * k : 2 * k + 2]) * fps, [first, end], atol=0.2)


def test_st_align_fractions_match_their_placeholders_and_the_video(root: Path) -> None:
    base = root / "st_align"
    split = 0
    for stage, name, source in (
        ("stage2", "vtime", "InternVid"),
        ("stage3", "didemo", "DiDeMo"),
        ("stage3", "coin", "COIN"),
        ("stage3", "activitynet_rtl", "ActivityNet"),
    ):
        for row in load(base / stage / f"{name}.json"):
            if "damaged" in row["id"]:
                continue
            human, reply = (turn["value"] for turn in row["conversations"])
            values = row["variables"]
            assert human.count("<TEMP-INPUT>") == len(values["temporal_input_locations"])
            assert reply.count("<TEMP-OUTPUT>") == len(values["temporal_output_locations"])
            frames, _ = decode(base / "videos" / source / row["video"])
            if "meta" in row:
                first, last = row["meta"]["split"]
                frames = frames[first : last + 1]
                split += 1
            if row["type"] == "tvg":
                times = np.array(values["temporal_output_locations"]) * len(frames)
                assert np.allclose(times, visible_frames(frames, human), atol=0.6), row
            elif row["type"] == "tr":
                times = np.array(values["temporal_input_locations"]) * len(frames)
                named = reply.rstrip(".").lower()
                assert np.allclose(times, visible_frames(frames, f"{named} is visible"), atol=0.6), row
    assert split >= 2


def test_mevis_masks_cover_the_objects_that_the_expressions_name(root: Path) -> None:
    nulls = several = 0
    for part in ("train", "valid_u"):
        masks = load(root / "mevis" / part / "mask_dict.json")
        for name, video in load(root / "mevis" / part / "meta_expressions.json")["videos"].items():
            frames = stills(root / "mevis" / part / "JPEGImages" / name)
            assert [p.stem for p in sorted((root / "mevis" / part / "JPEGImages" / name).iterdir())] == video[
                "frames"
            ]
            for expression in video["expressions"].values():
                if expression["exp"] == "the shape that nobody drew":
                    continue
                tracks = [masks[str(anno)] for anno in expression["anno_id"]]
                assert all(len(track) == len(frames) for track in tracks)
                nulls += sum(rle is None for track in tracks for rle in track)
                several += len(tracks) > 1
                named = re.findall("|".join(COLOURS), expression["exp"])
                for colour, track in zip(named, tracks, strict=False):
                    seen = pixels_of(frames, COLOURS[colour])
                    for k, rle in enumerate(track):
                        mask = coco.decode(rle).astype(bool) if rle else np.zeros(seen.shape[1:], bool)
                        union = (mask | seen[k]).sum()
                        assert (mask & seen[k]).sum() >= 0.8 * union - 20, (name, expression, k)
    assert nulls > 20
    assert several > 3


def mask_of(segmentation: Any, height: int, width: int) -> np.ndarray:
    if isinstance(segmentation, list):
        return coco.decode(coco.merge(coco.frPyObjects(segmentation, height, width))).astype(bool)
    if isinstance(segmentation["counts"], list):
        segmentation = coco.frPyObjects(segmentation, height, width)
    return coco.decode(segmentation).astype(bool)


def test_videorefer_regions_have_the_colour_that_their_caption_names(root: Path) -> None:
    forms = set()
    for part in ("short-caption-500k", "detailed-caption-125k"):
        for row in load(root / "videorefer" / f"videorefer-{part}.json"):
            frames, _ = decode(root / "videorefer" / row["video"])
            colour = COLOURS[row["conversations"][1]["value"].split()[1]]
            assert row["conversations"][0]["value"].count("<region>") == len(row["annotation"]) == 1
            for key, part_ in row["annotation"][0].items():
                segmentation = part_["segmentation"]
                seen = pixels_of(frames[int(key)], colour)
                if segmentation is None:
                    forms.add("null")
                    assert seen.sum() < 10
                    continue
                forms.add(
                    "polygon" if isinstance(segmentation, list) else type(segmentation["counts"]).__name__
                )
                mask = mask_of(segmentation, *frames.shape[1:3])
                assert seen[mask].mean() > 0.85
    assert forms >= {"polygon", "list", "str"}


def test_videorefer_bench_regions_and_answers_agree_with_the_frames(root: Path) -> None:
    rows = load(root / "videorefer_bench/VideoRefer-Bench-Q.json")
    assert len(rows) == 8
    for row in rows:
        frames = stills(root / "videorefer_bench" / row["video"])
        assert row["Answer"] in row["options"]
        assert row["Question"].count("<region>") == len(row["annotation"])
        assert row["annotation"][0][row["frame_idx"]]["segmentation"] is not None
        if row["Question"].startswith("What colour"):
            mask = mask_of(row["annotation"][0][row["frame_idx"]]["segmentation"], *frames.shape[1:3])
            mean = frames[int(row["frame_idx"])][mask].mean(axis=0)
            nearest = min(COLOURS, key=lambda c: float(np.abs(COLOURS[c] - mean).sum()))
            assert nearest == row["Answer"][4:]


def test_ufvideo_bench_spans_and_masks_agree_with_the_video(root: Path) -> None:
    rows = load(root / "ufvideo_bench/PixTRQA.json")
    assert rows
    for row in rows:
        frames, _ = decode(root / "ufvideo_bench" / row["video"])
        question, reply = (turn["value"] for turn in row["conversations"][0])
        match = re.match(r"\{<TEMP-(\d{3})><TEMP-(\d{3})>\}\. ", reply)
        assert match is not None
        span = np.array([int(match[1]), int(match[2])]) / 99 * len(frames)
        named = re.search(r"the (\w+ \w+) visible", question)
        assert named is not None
        truth = visible_frames(frames, f"the {named[1]} is visible")
        assert np.allclose(span, truth, atol=1)
        assert [str(k) for k in row["frame_idx"]] == list(row["annotation"][0])
    rows = load(root / "ufvideo_bench/PixRQA.json")
    assert rows
    assert all(row["caption"].count("[SEG]") == len(row["annotation"]) for row in rows)


def test_the_summary_counts_the_written_videos_and_records(root: Path) -> None:
    summary = load(root / SUMMARY)["corpora"]
    for name, counts in summary.items():
        folder = root / name
        blobs = 1 if name == "llava_video" else 0
        assert len(list(folder.rglob("*.mp4"))) == counts["videos"] + blobs
        for path, records in counts["records"].items():
            if path.endswith(".txt"):
                assert len((folder / path).read_text().splitlines()) == records
            elif path.endswith("meta_expressions.json"):
                videos = load(folder / path)["videos"].values()
                assert sum(len(video["expressions"]) for video in videos) == records
            else:
                assert len(load(folder / path)) == records
    assert sum(len(counts["damaged"]) for counts in summary.values()) == 10


def test_benchmarks_show_no_training_video(root: Path) -> None:
    def digests(*names: str) -> set[str]:
        files = [p for name in names for p in (root / name).rglob("*") if p.suffix in (".mp4", ".jpg")]
        return {hashlib.sha256(p.read_bytes()).hexdigest() for p in files}

    training = digests("llava_video", "videorefer", "mevis/train", "st_align", "internvid_tg")
    held_out = digests("mvbench", "videorefer_bench", "mevis/valid_u", "charades_sta", "ufvideo_bench")
    assert len(training) > 100
    assert not training & held_out


def test_without_damage_no_file_is_broken(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"damage": False, "train_videos": 4})
    summary = write_corpora(config, tmp_path, lambda function, jobs: [0 for _ in jobs])
    assert not any(counts["damaged"] for counts in summary["corpora"].values())
    assert not (tmp_path / "llava_video/0_30_s_academic_v0_1/academic_source/Charades/CORRUPT.mp4").exists()


def test_encoded_bytes_do_not_depend_on_uninitialised_memory(tmp_path: Path) -> None:
    """Encode with malloc filling memory differently: an encoder that reads uninitialised memory is found."""
    program = (
        "import hashlib, sys; from pathlib import Path\n"
        "from datasets_prep.demo.encode import write_video\n"
        "from datasets_prep.demo.staging import train_scenes\n"
        "from pipeline.plan.demo import DemoConfig\n"
        "for scene in train_scenes(DemoConfig(max_seconds=6), 14):\n"
        "    path = Path(sys.argv[1]); write_video(scene, path)\n"
        "    print(hashlib.sha256(path.read_bytes()).hexdigest())"
    )
    printed = []
    for fill in ("1", "200"):
        result = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / f"{fill}.mp4")],
            env={**os.environ, "MALLOC_PERTURB_": fill},
            cwd=Path(__file__).resolve().parents[2],
            capture_output=True,
            text=True,
            check=True,
        )
        printed.append(result.stdout.split())
    assert len(printed[0]) == 14
    assert printed[0] == printed[1]
