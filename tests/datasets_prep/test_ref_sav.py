"""Ref-SAV, and UFVideo's own segmentation rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets_prep.draft import Reason
from datasets_prep.passes.finish import finish
from datasets_prep.passes.validate import check
from datasets_prep.sources import Files, reader_of
from datasets_prep.sources.json import opening
from pipeline.errors import UserError
from pipeline.plan.data import SourceConfig
from pipeline.records import masks
from pipeline.records.sample import Task, VideoRef
from tests.datasets_prep.clips import write_clip
from tests.datasets_prep.mask_corpora import (
    HEIGHT,
    LEFT_OUT,
    WIDTH,
    label_image,
    pixels,
    read,
    reasons,
    reject_reason,
    sample,
    source,
    write_frames,
)


def masklets(objects: list[np.ndarray], **more: Any) -> dict[str, Any]:
    """Content of a ``_manual.json``; each object is [N, H, W]."""
    size = list(objects[0].shape[1:])
    frames = [
        [{"size": size, "counts": masks.encode(track[k])} for track in objects]
        for k in range(len(objects[0]))
    ]
    return {"masklet_id": list(range(len(objects))), "masklet": frames, **more}


def sav(root: Path, videos: dict[str, Any], **more: Any) -> tuple[SourceConfig, Files]:
    path = root / "Ref-SAV.json"
    path.write_text(json.dumps(videos))
    lists = {key: Path(value) for key, value in more.items() if key.endswith("_videos")}
    (root / "sav").mkdir(exist_ok=True)
    return source("ref_sav", **more), Files(annotations=path, masks=root / "sav", **lists)


def sav_entry(video: str, **texts: str) -> dict[str, Any]:
    objects = {
        n.strip("_"): {"video_id": video, "obj_id": n.strip("_"), "formated": t} for n, t in texts.items()
    }
    return {
        "video_path": f"sam_v_full/sav_000/{video}.mp4",
        "anno_path": f"sam_v_full/sav_000/{video}_manual.json",
        "objects": objects,
    }


def test_ref_sav_masks_are_every_fourth_frame_and_each_file_is_opened_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frame k of the masks is frame 4k of the video."""
    clip = write_clip(tmp_path / "sav" / "sav_000" / "sav_000001.mp4", frames=18)  # 48x64
    track = np.zeros((2, 5, 48, 64), np.uint8)
    for k in range(5):
        track[0, k, 2 : 10 + k, 3:20] = 1
        track[1, k, 20:40, 5 : 10 + 2 * k] = k != 3  # absent: a mask of area 0
    where = clip.with_name("sav_000001_manual.json")
    where.write_text(json.dumps(masklets(list(track))))
    config, files = sav(
        tmp_path, {"sav_000001": sav_entry("sav_000001", _0="A  cup\nof tea.", _1="A spoon.")}
    )
    found = read(config, files)
    assert list(found) == ["s/sav_000001/0", "s/sav_000001/1"]
    for number, draft in enumerate(found.values()):
        made = sample(draft, config, tmp_path / "sav")
        assert (made.video.path, made.task) == ("sav_000/sav_000001.mp4", Task.SEGMENT)
        assert made.targets[0].frames == (0, 4, 8, 12, 16)
        assert np.array_equal(pixels(made.targets[0]), track[number])
    assert found["s/sav_000001/0"].expression == "A cup of tea."
    opened: list[Path] = []
    real = opening.open_annotations
    monkeypatch.setattr(
        "datasets_prep.sources.formats.ref_sav.open_annotations", lambda p: opened.append(p) or real(p)
    )
    reader = reader_of(config.format)
    records = list(reader.records(config, files))
    assert where not in opened
    for record in (*records, *records):
        reader.convert(record, config, 1)
    assert opened.count(where) == 1


def test_ref_sav_with_missing_or_malformed_masklets_is_rejected_with_a_reason(tmp_path: Path) -> None:
    box = np.ones((2, 48, 64), np.uint8)
    place = tmp_path / "sav" / "sav_000"
    write_clip(place / "v.mp4", frames=6)
    for video in ("turned", "short", "listless", "renumbered", "long"):
        write_clip(place / f"{video}.mp4", frames=6)
    contents = {
        "v": masklets([box]),
        "turned": masklets([box.transpose(0, 2, 1)]),
        "short": {"masklet": [[], []]},
        "listless": [1, 2],
        "renumbered": masklets([box, box], masklet_id=[0, 2]),
        "long": masklets([np.ones((3, 48, 64), np.uint8)]),
    }
    for name, content in contents.items():
        (place / f"{name}_manual.json").write_text(json.dumps(content))
    videos: dict[str, Any] = {name: sav_entry(name, _0="It.") for name in contents}
    videos["renumbered"] = sav_entry("renumbered", _1="It.")
    videos["gone"] = sav_entry("gone", _0="It.")
    videos["out"] = {**sav_entry("v", _0="It."), "anno_path": "../../sav/sav_000/v_manual.json"}
    videos["away"] = {**sav_entry("v", _0="It."), "video_path": "../../v.mp4"}
    videos["mute"] = sav_entry("v", _0=" ")
    videos["many"] = sav_entry("v", _1="It.", _x="It.")
    videos["odd"] = {"objects": None}
    config, files = sav(tmp_path, videos)
    found = read(config, files)
    assert reasons(found) == {
        "s/short/0": Reason.MASK_MISSING,
        "s/listless/0": Reason.MALFORMED,
        "s/renumbered/1": Reason.MALFORMED,
        "s/gone/0": Reason.MASK_MISSING,
        "s/out/0": Reason.MASK_MISSING,
        "s/away/0": Reason.MALFORMED,
        "s/mute/0": Reason.MALFORMED,
        "s/many/1": Reason.MASK_MISSING,
        "s/many/x": Reason.MALFORMED,
        "s/odd": Reason.MALFORMED,
    }
    assert reject_reason(found["s/v/0"], config, tmp_path / "sav") is None
    assert reject_reason(found["s/turned/0"], config, tmp_path / "sav") is Reason.MASK_SIZE
    # Three masks need nine frames; a clip of six is another edit of the video.
    assert reject_reason(found["s/long/0"], config, tmp_path / "sav") is Reason.FRAME_OUTSIDE
    with pytest.raises(UserError, match="masklets"):
        read(config, Files(annotations=files.annotations))
    (tmp_path / "keep.txt").write_text("v\n")
    config, files = sav(
        tmp_path, {"v": videos["v"], "odd": 1, "w": videos["v"]}, keep_videos=str(tmp_path / "keep.txt")
    )
    assert [f == LEFT_OUT for f in read(config, files).values()] == [False, True, True]


def test_real_masklets_have_the_areas_of_pycocotools(tmp_path: Path, realdata: Path) -> None:
    """Portrait, 121 annotated frames of 483; areas were taken with pycocotools."""
    folder = realdata / "sav_example"
    golden = json.loads((folder / "golden_areas.json").read_text())["area"]["manual"]
    video = VideoRef(
        path="sav_000001.mp4",
        num_frames=483,
        fps=24,
        duration_s=20.125,
        duration_source="stream",
        height=848,
        width=480,
    )
    path = tmp_path / "Ref-SAV.json"
    objects = {str(n): {"formated": f"Object {n}."} for n in range(5)}
    entry = {"video_path": "a/sav_000001.mp4", "anno_path": "a/sav_000001_manual.json", "objects": objects}
    path.write_text(json.dumps({"sav_000001": entry}))
    config = source("ref_sav")
    found = read(config, Files(annotations=path, masks=folder))
    for number, draft in enumerate(found.values()):
        made = finish(draft, config, video, 1).sample
        check(made, config.use, 2)
        target = made.targets[0]
        assert target.frames == tuple(range(0, 484, 4))
        assert [masks.area(c, 848, 480) for c in target.counts] == [areas[number] for areas in golden]
    first = next(f for f, areas in zip(target.frames, golden, strict=True) if areas[3])
    assert first == 4 * 113  # object 3 comes late


# ------------------------------------------------------------------------------------- UFVideo's own rows


def seg_row(frames: list[str], **more: Any) -> dict[str, Any]:
    box = {"size": [HEIGHT, WIDTH], "counts": masks.encode(label_image({1: (2, 3, 9, 11)}))}
    return {
        "id": 4,
        "video": [f"/home/x/data/mevis/train/JPEGImages/v/{f}.jpg" for f in frames],
        "seg": True,
        "conversations": ["the dog  running"],
        "segmentations": [None, box, box],
        "no_none_frame_idx": [1, 2],
        "length": 3,
        **more,
    }


def test_ufvideo_segmentation_rows_are_read_or_rejected_with_a_reason(tmp_path: Path) -> None:
    frames = ["00003", "00007", "00009"]
    write_frames(tmp_path / "mevis" / "train" / "JPEGImages" / "v", [*frames, "00005"])
    changes: list[dict[str, Any]] = [
        {},
        {"length": 4},
        {"segmentations": [None, None]},
        {"segmentations": None},
        {"no_none_frame_idx": [0, 2]},
        {"no_none_frame_idx": None},
        {"conversations": [{"from": "human", "value": "the dog"}]},
        {"conversations": []},
        {"video": "v.mp4"},
        {"video": ["a/1.jpg", "b/2.jpg", "b/3.jpg"]},
        {"video": ["../1.jpg", "../2.jpg", "../3.jpg"]},
        {"height": HEIGHT + 1, "width": WIDTH},
    ]
    path = tmp_path / "mevis.json"
    path.write_text(json.dumps([seg_row(frames, **change) for change in changes]))
    config = source("ufvideo_seg")
    found = read(config, Files(annotations=path))
    bad, odd = Reason.MASKS_SHIFTED, Reason.MALFORMED
    assert reasons(found) == {
        f"s/{at}": reason
        for at, reason in zip(
            (1, 2, 3, 4, 6, 7, 8, 9, 10), (bad, bad, odd, bad, odd, odd, odd, odd, odd), strict=True
        )
    }
    for at in (0, 5):
        made = sample(found[f"s/{at}"], config, tmp_path)
        assert made.video.frames == tuple(f"{f}.jpg" for f in frames)
        assert made.expression == "the dog running"
        assert pixels(made.targets[0]).sum(axis=(1, 2)).tolist() == [0, 56, 56]
    assert reject_reason(found["s/11"], config, tmp_path) is Reason.MASK_SIZE
