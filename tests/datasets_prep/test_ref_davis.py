"""Ref-DAVIS17 in the layout of its download: texts, label images, a list of its split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from datasets_prep.draft import Draft, Reason
from datasets_prep.sources import Files
from pipeline.dataset.arrow import to_table
from pipeline.dataset.sample_rows import from_table
from pipeline.errors import UserError
from pipeline.plan.data import SourceConfig
from tests.datasets_prep.mask_corpora import (
    LEFT_OUT,
    label_image,
    pixels,
    read,
    reasons,
    reject_reason,
    sample,
    source,
    write_frames,
    write_labels,
)

TEXTS = {
    "Davis17_annot1": 'bike 2 "a bike"\nbike 10 "the tenth"\nclasic-car 1 "old “car”"\ntest-dev 1 "hidden"\n',
    "Davis17_annot1_full_video": 'bike 2 "a bike that falls"\nbike 10 "10 full"\nclasic-car 1 "a car"\n',
    "Davis17_annot2": 'bike 10 "caf\xe9 b\x92s"\nbike 2 "two"\nclasic-car 1 "an auto"\nnonsense\n',
    "Davis17_annot2_full_video": 'bike 10 "ten"\nbike 2 "two, all"\n\nclasic-car 1 the "red" car\n',
}


@pytest.fixture
def davis(tmp_path: Path) -> Path:
    """A DAVIS folder of two videos with objects 2, 10 and 1, and the texts."""
    boxes: dict[str, Any] = {
        "bike": {2: (1, 1, 9, 9), 10: (10, 10, 20, 30), 255: (0, 30, 5, 40)},
        "classic-car": {1: (5, 5, 9, 30)},
    }
    for video, objects in boxes.items():
        write_frames(tmp_path / "DAVIS/JPEGImages/480p" / video, [f"{i:05d}" for i in range(3)])
        for at in range(3):
            shown = {k: (t, left + at, b, right + at) for k, (t, left, b, right) in objects.items()}
            write_labels(
                tmp_path / "DAVIS/Annotations_unsupervised/480p" / video / f"{at:05d}.png", label_image(shown)
            )
        (tmp_path / "DAVIS/Annotations_unsupervised/480p" / video / ".ipynb_checkpoints").mkdir()
        (tmp_path / "DAVIS/Annotations_unsupervised/480p" / video / "._00000.png").touch()
    for name, text in TEXTS.items():
        path = tmp_path / "davis_text_annotations" / f"{name}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode("utf-8" if "annot1" in name else "latin-1"))
    (tmp_path / "DAVIS/ImageSets/2017").mkdir(parents=True)
    (tmp_path / "DAVIS/ImageSets/2017/val.txt").write_text("bike\nclassic-car\n")
    return tmp_path


def read_davis(root: Path, **more: Any) -> tuple[SourceConfig, dict[str, Any]]:
    config = source("ref_davis", keep_videos="val.txt", **more)
    found: dict[str, Any] = {}
    for name in TEXTS:
        part = read(config, davis_files(root, name))
        assert not found.keys() & part.keys()
        found |= part
    return config, found


def davis_files(root: Path, name: str) -> Files:
    return Files(
        annotations=root / "davis_text_annotations" / f"{name}.txt",
        masks=root / "DAVIS/Annotations_unsupervised/480p",
        name=name,
        keep_videos=root / "DAVIS/ImageSets/2017/val.txt",
    )


def test_ref_davis_expressions_and_masks_have_the_objects_of_their_line(davis: Path) -> None:
    config, found = read_davis(davis)
    expressions = {key: draft.expression for key, draft in found.items() if isinstance(draft, Draft)}
    # Object "10" comes before "2" because ids are sorted as text.
    assert expressions == {
        "s/bike/0": "the tenth",
        "s/bike/1": "10 full",
        "s/bike/2": "café b’s",
        "s/bike/3": "ten",
        "s/bike/4": "a bike",
        "s/bike/5": "a bike that falls",
        "s/bike/6": "two",
        "s/bike/7": "two, all",
        "s/classic-car/0": "old “car”",
        "s/classic-car/1": "a car",
        "s/classic-car/2": "an auto",
        "s/classic-car/3": 'the "red" car',
    }
    assert found["s/test-dev/0"] == LEFT_OUT
    assert reasons(found) == {"s/Davis17_annot2/line/4": Reason.MALFORMED}
    for key, number in (("s/bike/1", 10), ("s/bike/6", 2), ("s/classic-car/3", 1)):
        made = sample(found[key], config, davis / "DAVIS")
        video = key.split("/")[1]
        folder = davis / "DAVIS/Annotations_unsupervised/480p" / video
        truth = np.stack([np.asarray(Image.open(folder / f"{at:05d}.png")) == number for at in range(3)])
        assert made.video.path == f"JPEGImages/480p/{video}"
        assert np.array_equal(pixels(made.targets[0]), truth)
        assert made.category == ("full_video" if key.endswith(("1", "3")) else "first_frame")


def test_void_is_kept_for_a_benchmark_that_asks_for_it(davis: Path) -> None:
    config, found = read_davis(davis)
    assert sample(found["s/bike/0"], config, davis / "DAVIS").void is None
    config, found = read_davis(davis, use="benchmark", void=True)
    # The void moves out of the picture. Of a video without any it is empty, and not missing.
    for key, areas in (("s/bike/0", [50, 45, 40]), ("s/classic-car/0", [0, 0, 0])):
        made = sample(found[key], config, davis / "DAVIS")
        assert made.void is not None
        assert made.void.frames == made.targets[0].frames == (0, 1, 2)
        assert pixels(made.void).sum(axis=(1, 2)).tolist() == areas
        assert not (pixels(made.void) & pixels(made.targets[0])).any()
        (back,) = from_table(to_table([made]))
        assert back == made
    with pytest.raises(ValidationError, match="void is for the scores of a benchmark"):
        source("ref_davis", keep_videos="val.txt", void=True)
    with pytest.raises(ValidationError, match="void is for ref_davis, not for ref_youtube_vos"):
        source("ref_youtube_vos", use="benchmark", void=True)


def test_ref_davis_with_missing_masks_and_malformed_lines_is_rejected_with_a_reason(davis: Path) -> None:
    labels = davis / "DAVIS/Annotations_unsupervised/480p"
    (labels / "classic-car" / "00001.png").unlink()
    with (davis / "davis_text_annotations/Davis17_annot1.txt").open("a") as file:
        file.write('bike 9 "nowhere"\n../x 1 "out"\nbike x "odd"\n')
    (davis / "DAVIS/ImageSets/2017/val.txt").write_text("bike\nclassic-car\n../x\n")
    config, found = read_davis(davis)
    assert reasons(found) == {
        "s/bike/8": Reason.MASK_MISSING,  # sorted as text: 10, 2, 9, x
        "s/bike/12": Reason.MALFORMED,
        "s/../x/0": Reason.MALFORMED,
        "s/Davis17_annot2/line/4": Reason.MALFORMED,
    } | {f"s/classic-car/{i}": Reason.MASK_MISSING for i in range(4)}
    assert found["s/classic-car/0"].detail == "classic-car lacks the label image 00001.png"
    for change, word in (
        ({"masks": None}, "Annotations_unsupervised"),
        ({"annotations": davis / "README.txt"}, "only the name says"),
    ):
        files = davis_files(davis, "Davis17_annot1")
        with pytest.raises(UserError, match=word):
            read(config, Files(**{name: getattr(files, name) for name in Files.__slots__} | change))
    (davis / "DAVIS/ImageSets/2017/val.txt").write_text("somebody\n")
    with pytest.raises(UserError, match="leave none"):
        read(config, davis_files(davis, "Davis17_annot1"))
    with pytest.raises(ValidationError, match=r"ImageSets/2017"):
        source("ref_davis")


def test_a_mask_belongs_to_the_frame_of_its_name(davis: Path) -> None:
    """A missing frame must not shift the masks after it."""
    (davis / "DAVIS/JPEGImages/480p/bike/00001.jpg").unlink()
    config, found = read_davis(davis)
    assert reject_reason(found["s/bike/0"], config, davis / "DAVIS") is Reason.MEDIA_MISSING


def test_real_davis_label_images_give_their_masks(tmp_path: Path, realdata: Path) -> None:
    root = realdata / "davis_interactive_testdata" / "test_data" / "DAVIS"
    (tmp_path / "val.txt").write_text("tennis\nbear\n")
    text = tmp_path / "Davis17_annot1.txt"
    text.write_text('tennis 1 "the player"\ntennis 2 "his racket"\nbear 1 "a bear"\nblackswan 1 "a swan"\n')
    config = source("ref_davis", keep_videos="val.txt")
    files = Files(
        annotations=text,
        masks=root / "Annotations/480p",
        name="Davis17_annot1",
        keep_videos=tmp_path / "val.txt",
    )
    found = read(config, files)
    assert found.pop("s/blackswan/0") == LEFT_OUT
    for (video, number), draft in zip(
        (("tennis", 1), ("tennis", 2), ("bear", 1)), found.values(), strict=True
    ):
        paths = sorted((root / "Annotations/480p" / video).glob("*.png"))
        truth = np.stack([np.asarray(Image.open(p)) for p in paths])
        made = sample(draft, config, root)
        assert np.array_equal(pixels(made.targets[0]), truth == number)
        if video == "tennis":
            assert (truth == 255).any()  # void, which belongs to no object
