"""Datasets with a ``meta_expressions.json``: Refer-YouTube-VOS, ReVOS, and the plan's lists of videos."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from datasets_prep.draft import Draft, Reason
from datasets_prep.sources import Files, reader_of
from datasets_prep.sources.bases import label_images
from pipeline.errors import UserError
from pipeline.plan.data import SourceConfig
from pipeline.records import masks
from tests.datasets_prep.mask_corpora import (
    HEIGHT,
    LEFT_OUT,
    WIDTH,
    label_image,
    pixels,
    read,
    reasons,
    reject_reason,
    renamed,
    sample,
    source,
    write_frames,
    write_labels,
)

FRAMES = ("00015", "00020", "00035")  # as in the real dataset: no 00000, gaps of 5 and 15
BOXES: tuple[dict[int, Any], ...] = (
    {1: (2, 3, 9, 11), 2: (10, 20, 20, 37)},
    {1: (3, 5, 10, 13), 255: (0, 0, 2, 40)},
    {1: (4, 8, 12, 16), 2: (11, 18, 22, 30), 7: (0, 38, 2, 40)},
)
LABELS = np.stack([label_image(boxes) for boxes in BOXES])


def write_video(root: Path, video: str, frames: tuple[str, ...] = FRAMES) -> None:
    write_frames(root / "JPEGImages" / video, (*frames, "99999"))  # a frame that is not listed
    for name, labels_HW in zip(frames, LABELS, strict=False):
        write_labels(root / "Annotations" / video / f"{name}.png", labels_HW)
    for folder in ("JPEGImages", "Annotations"):
        (root / folder / video / ".ipynb_checkpoints").mkdir()


def write_meta(path: Path, videos: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"videos": videos}))
    return path


def ytvos(root: Path, videos: dict[str, Any], **more: Any) -> tuple[SourceConfig, Files]:
    meta = write_meta(root / "meta_expressions" / "train" / "meta_expressions.json", videos)
    lists = {key: Path(path) for key, path in more.items() if key.endswith("_videos")}
    files = Files(annotations=meta, masks=root / "train" / "Annotations", **lists)
    return source("ref_youtube_vos", **more), files


def entry(**expressions: Any) -> dict[str, Any]:
    expressions = {
        name.strip("_"): {"exp": f"thing {name}", "obj_id": obj} for name, obj in expressions.items()
    }
    return {"frames": list(FRAMES), "expressions": expressions}


# ------------------------------------------------------------------------------------- Refer-YouTube-VOS


def test_targets_of_ref_youtube_vos_are_the_pixels_with_the_objects_labels(tmp_path: Path) -> None:
    write_video(tmp_path / "train", "0a1b2c")
    config, files = ytvos(tmp_path, {"0a1b2c": entry(_0="1", _1="2", _2=2, _10=["1", "2"])})
    found = read(config, files)
    assert list(found) == [f"s/0a1b2c/{i}" for i in (0, 1, 2, 10)]
    for key, labels in zip(found, ([1], [2], [2], [1, 2]), strict=True):
        made = sample(found[key], config, tmp_path / "train")
        assert made.video.frames == tuple(f"{name}.jpg" for name in FRAMES)
        assert made.targets[0].frames == (0, 1, 2)
        assert np.array_equal(pixels(made.targets[0]), np.isin(LABELS, labels))
    assert made.turns[0].text == "Can you segment the thing _10 in this video?"
    assert made.turns[1].text == "Sure, [SEG]."


def test_each_label_image_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for video in ("a", "b"):
        write_video(tmp_path / "train", video)
    config, files = ytvos(tmp_path, {v: entry(_0="1", _1="2", _2="7", _3="1") for v in ("a", "b")})
    seen: list[Path] = []
    real = label_images.read_labels
    monkeypatch.setattr(label_images, "read_labels", lambda p: seen.append(p) or real(p))
    reader = reader_of(config.format)
    records = list(reader.records(config, files))
    assert sum(len(reader.media(r, config, 1)) for r in records) == 8
    assert seen == []  # no mask has been requested yet
    for record in records:
        reader.convert(record, config, 1)
    assert len(seen) == len(set(seen)) == 6


def test_missing_and_damaged_label_images_are_rejected_with_a_reason(tmp_path: Path) -> None:
    names = ("lost", "wide", "grey", "cut", "other", "gone", "good")
    for video in (*names[:-2], "good"):
        write_video(tmp_path / "train", video)
    below = tmp_path / "train" / "Annotations"
    (below / "lost" / "00020.png").unlink()
    write_labels(below / "wide" / "00020.png", label_image(BOXES[1], (HEIGHT, WIDTH + 1)))
    write_labels(below / "grey" / "00020.png", LABELS[1], palette=False)
    content = (below / "cut" / "00020.png").read_bytes()
    (below / "cut" / "00020.png").write_bytes(content[: len(content) * 2 // 3])
    Image.open(below / "other" / "00020.png").save(below / "other" / "00020.png", format="GIF")
    config, files = ytvos(tmp_path, {name: entry(_0="1", _1="2") for name in names})
    found = read(config, files)
    per_video = {
        "lost": Reason.MASK_MISSING,
        "grey": Reason.BAD_MASK,
        "cut": Reason.BAD_MASK,
        "other": Reason.BAD_MASK,
        "gone": Reason.MASK_MISSING,
    }
    assert reasons(found) == {f"s/{v}/{i}": reason for v, reason in per_video.items() for i in (0, 1)}
    assert found["s/lost/0"].detail == "1 of 3 label images are not there, the first is 00020.png"
    # Object 2 is not in the image of the wrong size; it is rejected for the size as well.
    assert [reject_reason(found[f"s/wide/{i}"], config, tmp_path / "train") for i in (0, 1)] == [
        Reason.MASK_SIZE
    ] * 2
    assert reject_reason(found["s/good/0"], config, tmp_path / "train") is None


def test_object_ids_that_are_invalid_or_absent_are_rejected(tmp_path: Path) -> None:
    write_video(tmp_path / "train", "v")
    bad = {"_0": "0", "_1": "255", "_2": "dog", "_3": None, "_4": [], "_5": True, "_6": 1.5}
    config, files = ytvos(tmp_path, {"v": entry(**bad, _8="3")})
    found = read(config, files)
    assert reasons(found) == {f"s/v/{i}": Reason.MALFORMED for i in range(7)} | {"s/v/8": Reason.MASK_MISSING}
    # A benchmark's protocol counts the expression; the truth is that nothing is there.
    config = source("ref_youtube_vos", use="benchmark")
    nowhere = sample(read(config, files)["s/v/8"], config, tmp_path / "train")
    assert not pixels(nowhere.targets[0]).any()


def test_names_that_leave_the_folder_and_malformed_entries_are_rejected(tmp_path: Path) -> None:
    write_video(tmp_path / "train", "v")
    secret = tmp_path / "train" / "secret"
    write_labels(secret / "00015.png", LABELS[0])
    good = entry(_0="1")
    videos = {
        "../secret": good,
        "v": {**good, "frames": ["../../secret/00015", "00020"]},
        "w": {**good, "frames": []},
        "x": {"frames": ["00015"]},
        "y": "nothing",
    }
    config, files = ytvos(tmp_path, videos)
    found = read(config, files)
    assert list(reasons(found).values()) == [Reason.MALFORMED] * 5
    assert list(found) == ["s/../secret/0", "s/v/0", "s/w/0", "s/x", "s/y"]
    text = json.dumps({"v": good})[1:-1]
    files.annotations.write_text(f'{{"videos": {{{text}, {text}}}}}')
    again = read(config, files)
    assert [type(again["s/v/0"]), again["s/v"].reason] == [Draft, Reason.DUPLICATE_KEY]


def test_entries_of_notebook_checkpoints_are_not_frames(tmp_path: Path) -> None:
    """Converters list folders and cut names at the dot, so ``.ipynb_checkpoints`` becomes an empty name."""
    write_video(tmp_path / "train", "v")
    video = {**entry(_0="1"), "frames": ["", ".ipynb_checkpoints", *FRAMES]}
    config, files = ytvos(tmp_path, {"v": video})
    made = sample(read(config, files)["s/v/0"], config, tmp_path / "train")
    assert made.video.num_frames == 3
    assert np.array_equal(pixels(made.targets[0]), LABELS == 1)


def test_training_without_masks_is_refused(tmp_path: Path) -> None:
    config, files = ytvos(tmp_path, {"v": entry(_0="1")})
    with pytest.raises(UserError, match="not a folder"):
        read(config, Files(annotations=files.annotations, masks=files.annotations))
    with pytest.raises(UserError, match="label images"):
        read(config, Files(annotations=files.annotations))


def test_chunks_hold_no_more_bytes_of_masks_than_the_limit(tmp_path: Path) -> None:
    from datasets_prep.sources.json.json_file import Limits

    for video in "abcd":
        write_video(tmp_path / "train", video)
    config, files = ytvos(tmp_path, {v: entry(_0="1") for v in "abcd"})
    size = sum(p.stat().st_size for p in (tmp_path / "train" / "Annotations" / "a").glob("*.png"))
    reader = reader_of(config.format)
    counts = [c.count for c in reader.chunks(config, files, Limits(records=99, bytes=3 * size))]
    assert counts == [2, 2]  # the expressions' own bytes leave no room for a third
    counts = [c.count for c in reader.chunks(config, files, Limits(records=3, bytes=1 << 20))]
    assert counts == [3, 1]


def test_real_label_images_give_their_masks(tmp_path: Path, realdata: Path) -> None:
    """Cutie's judo clip: objects are added every few frames, and one mask has the wrong width."""
    root = realdata / "cutie_examples"
    config = source("ref_youtube_vos")

    def read_frames(frames: list[str], objects: str) -> dict[str, Any]:
        expressions = {o: {"exp": "a fighter", "obj_id": o} for o in objects}
        meta = write_meta(
            tmp_path / "meta_expressions.json", {"judo": {"frames": frames, "expressions": expressions}}
        )
        return read(config, Files(annotations=meta, masks=root / "masks"))

    good = ["00000", "00008", "00013"]
    for key, draft in read_frames(good, "134").items():
        made = sample(draft, config, root / "images")
        truth = [np.asarray(Image.open(root / "masks/judo" / f"{f}.png")) == int(key[-1]) for f in good]
        assert np.array_equal(pixels(made.targets[0]), np.stack(truth))
        assert made.video.frames == tuple(f"{f}.jpg" for f in good)
    bad = read_frames(["00000", "00005"], "12")
    assert [reject_reason(d, config, root / "images") for d in bad.values()] == [Reason.MASK_SIZE] * 2


# ------------------------------------------------------------------------------------- lists of videos


def test_test_videos_are_left_out_of_the_validation_file(tmp_path: Path, realdata: Path) -> None:
    """The real file of 507 videos; a file of 305 test videos in the same format is cut from it."""
    valid = realdata / "ref_youtube_vos_valid_meta" / "meta_expressions.json"
    videos = json.loads(valid.read_text())["videos"]
    test = dict(list(videos.items())[::2] + list(videos.items())[1:103:2])
    assert len(test) == 305
    meta = write_meta(tmp_path / "test" / "meta_expressions.json", test)
    config = source("ref_youtube_vos", use="benchmark", drop_videos=str(meta))
    found = read(config, Files(annotations=valid, drop_videos=meta))
    assert len(found) == 2096
    kept = {key.split("/")[1] for key, draft in found.items() if draft != LEFT_OUT}
    assert kept == set(videos) - set(test)
    assert len(kept) == 202
    assert sum(d == LEFT_OUT for d in found.values()) == sum(len(v["expressions"]) for v in test.values())
    draft = next(d for d in found.values() if d != LEFT_OUT)
    assert (draft.targets, len(draft.turns)) == ((), 1)


def test_lists_of_videos_decide_which_records_are_left_out(tmp_path: Path) -> None:
    for video in "abc":
        write_video(tmp_path / "train", video)
    keep, drop = tmp_path / "keep.txt", tmp_path / "drop.txt"
    keep.write_text("a\r\n\n b \nnobody\n")
    drop.write_text("b\n")
    videos: dict[str, Any] = {v: entry(_0="1") for v in "abc"}
    config, files = ytvos(tmp_path, videos, keep_videos=str(keep), drop_videos=str(drop))
    found = read(config, files)
    assert [type(found["s/a/0"]), found["s/b/0"], found["s/c/0"]] == [Draft, LEFT_OUT, LEFT_OUT]
    for text, word in (("x\ny\n", "leave none"), ("\n", "names no video"), ('{"a": 1}', "videos")):
        keep.write_text(text)
        with pytest.raises(UserError, match=word):
            read(config, files)
    keep.write_text("a\n")
    drop.write_text("x\n")  # a list of another dataset would let the test videos in
    with pytest.raises(UserError, match="drop_videos names none"):
        read(config, files)
    assert len(read(config, renamed(files, "train/meta_expressions"))) == 3  # one file of several
    with pytest.raises(UserError, match=r"keep_videos"):
        read(config, replace(files, keep_videos=tmp_path / "no.txt"))
    with pytest.raises(AssertionError, match="not passed on"):  # it would be silently ignored
        read(config, replace(files, drop_videos=None))
    with pytest.raises(ValidationError, match="keep_videos"):
        source("llava_video", keep_videos="x")


# ------------------------------------------------------------------------------------- ReVOS


def test_revos_samples_have_masks_categories_and_empty_masks_for_hallucinations(tmp_path: Path) -> None:
    """Slashes in video names, prefixed frame names, sparse masks, and expressions without an object."""
    video = "OVIS/train/00e92ab4"
    frames = [f"img_{i:07d}" for i in range(1, 5)]
    write_frames(tmp_path / "JPEGImages" / video, frames)
    box = label_image({1: (2, 2, 8, 20)})
    rle = {"size": [HEIGHT, WIDTH], "counts": masks.encode(box)}
    (tmp_path / "mask_dict.json").write_text(json.dumps({"57": [None, rle, None, None], "58": [None, rle]}))
    expressions = {
        "0": {"exp": "which bird flew first?", "obj_id": [1], "anno_id": [57], "type_id": 1},
        "1": {"exp": "the bird", "obj_id": [1], "anno_id": [57], "type_id": 0},
        "2": {"exp": "the airplane", "obj_id": [], "anno_id": [], "type_id": 2},
        "3": {"exp": "a cut list", "obj_id": [2], "anno_id": [58], "type_id": 0},
    }
    entry = {"vid_id": 0, "height": HEIGHT, "width": WIDTH, "frames": frames, "expressions": expressions}
    meta = tmp_path / "meta_expressions_train_.json"
    meta.write_text(json.dumps({"videos": {video: entry}}))
    config = source("meta_expressions")
    assert meta.name.endswith(reader_of(config.format).suffixes)
    files = Files(annotations=meta, masks=tmp_path / "mask_dict.json")
    found = read(config, files)
    assert list(found) == [f"s/{video}/{i}" for i in range(4)]
    assert found.pop(f"s/{video}/3").reason is Reason.MASKS_SHIFTED
    made = [sample(draft, config, tmp_path) for draft in found.values()]
    assert [m.category for m in made] == ["reasoning", "referring", "hallucination"]
    assert [m.video.path for m in made] == [f"JPEGImages/{video}"] * 3
    assert [int(m.sum()) for m in pixels(made[0].targets[0])] == [0, box.sum(), 0, 0]
    assert made[2].targets[0].frames == (0, 1, 2, 3)  # the answer is a mask, and it is empty
    assert not pixels(made[2].targets[0]).any()
    assert made[2].turns[1].text == "Sure, [SEG]."
    with pytest.raises(UserError, match="ReVOS"):  # its folder holds train and valid
        read(config, renamed(files, "meta_expressions_train_"))
