"""docs/data-format.md has a record of each format, and its reader makes a sample of it. No Ray."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datasets_prep.draft import Draft
from datasets_prep.sources import Files, reader_of
from pipeline.plan.data import SourceConfig
from pipeline.plan.formats import FORMATS
from tests.pages import REPO

PAGE = (REPO / "docs" / "data-format.md").read_text(encoding="utf-8")
TEXT = PAGE.partition("## A record of each format")[2]
BLOCK = re.compile(r"^`(\w+)`, `([^`]+)`[^\n]*:\n\n```\w+\n(.*?)^```", re.DOTALL | re.MULTILINE)
FOUND = BLOCK.findall(TEXT)
# What the entry of a plan says beside format, annotations and media.
OPTIONS: dict[str, dict[str, Any]] = {
    "meta_expressions": {"masks": "mask_dict.json"},
    "ref_youtube_vos": {"masks": "Annotations"},
    "ref_davis": {"masks": "DAVIS/Annotations_unsupervised/480p", "keep_videos": "val.txt"},
    "ref_sav": {"masks": "."},
    "refcoco": {"masks": "instances.json", "split": "train"},
    "youcook2": {"split": "training"},
    "coin": {"split": "training"},
    "nextgqa": {"masks": "gsub_test.json"},
}


def label_image(place: Path) -> None:
    """Object 1 in a part of the picture."""
    place.parent.mkdir(parents=True)
    pixels = np.zeros((24, 40), np.uint8)
    pixels[4:12, 4:20] = 1
    image = Image.fromarray(pixels)
    image.putpalette([0, 0, 0, 128, 0, 0])
    image.save(place)


def write_beside(name: str, folder: Path) -> None:
    """What is no text: label images, and RefCOCO's pickle."""
    if name == "ref_youtube_vos":
        label_image(folder / "Annotations" / "clip" / "00000.png")
    if name == "ref_davis":
        label_image(folder / "DAVIS" / "Annotations_unsupervised" / "480p" / "clip" / "00000.png")
        (folder / "val.txt").write_text("clip\n")
        text = (folder / "Davis17_annot1.txt").read_text()
        for other in ("annot2", "annot1_full_video", "annot2_full_video"):
            (folder / f"Davis17_{other}.txt").write_text(text)
    if name == "ref_sav":
        (folder / "sav_train").mkdir()
        (folder / "clip_manual.json").rename(folder / "sav_train" / "clip_manual.json")
    if name == "refcoco":
        reference = {"ref_id": 1, "ann_id": 5, "image_id": 1, "split": "train", "file_name": "x"}
        sentences = [{"sent_id": 1, "sent": "the red circle"}]
        (folder / "refs(unc).p").write_bytes(pickle.dumps([reference | {"sentences": sentences}]))


def test_every_format_has_a_record():
    assert {name for name, _, _ in FOUND} == set(FORMATS.own())


@pytest.mark.parametrize("name", sorted({name for name, _, _ in FOUND}))
def test_the_record_becomes_a_sample(name: str, tmp_path: Path):
    files = [(file, content) for format_, file, content in FOUND if format_ == name]
    for file, content in files:
        (tmp_path / file).write_text(content, encoding="utf-8")
    write_beside(name, tmp_path)
    options = {k: v if k == "split" else str(tmp_path / v) for k, v in OPTIONS.get(name, {}).items()}
    annotations = tmp_path / ("refs(unc).p" if name == "refcoco" else files[0][0])
    source = SourceConfig.model_validate(
        {"name": "s", "format": name, "annotations": str(annotations), "media": ["m"], **options}
    )
    paths = {key: Path(value) for key, value in options.items() if key != "split"}
    reader = reader_of(name)
    records = list(reader.records(source, Files(annotations=annotations, **paths)))
    assert records
    for record in records:
        drafts = reader.convert(record, source, 1)  # raises RejectError
        assert drafts
        assert all(isinstance(draft, Draft) for draft in drafts)
        assert [draft.media for draft in drafts] == list(reader.media(record, source, 1))
