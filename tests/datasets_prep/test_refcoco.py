"""RefCOCO: still images, polygons, and an untrusted pickle."""

from __future__ import annotations

import json
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from datasets_prep.draft import Draft, Reason
from datasets_prep.sources import Files
from datasets_prep.sources.bases.plain_pickle import load_plain, without_surrogates
from datasets_prep.sources.json.json_object import elements
from pipeline.errors import UserError
from pipeline.plan.data import SourceConfig
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
)


def py2_pickle(value: Any) -> bytes:
    """The bytes that Python 2's cPickle writes, where text is bytes."""

    def put(v: Any) -> bytes:
        if isinstance(v, bytes):
            return b"T" + struct.pack("<i", len(v)) + v
        if isinstance(v, str):
            return put(v.encode())
        if isinstance(v, int):
            return b"J" + struct.pack("<i", v)
        if isinstance(v, list):
            return b"](" + b"".join(map(put, v)) + b"e"
        return b"}(" + b"".join(put(k) + put(x) for k, x in v.items()) + b"u"

    return b"\x80\x02" + put(value) + b"."


NAMES = {9: "COCO_train2014_000000000009.jpg", 25: "COCO_train2014_000000000025.jpg"}
SQUARE = [[4, 3, 14, 3, 14, 12, 4, 12], [20, 3, 30, 3, 30, 12, 20, 12]]  # two parts of one object


def reference(ref_id: int, image: int, ann: int, split: str, *texts: Any) -> dict[str, Any]:
    sentences = [
        {"sent_id": 10 * ref_id + at, "sent": text, "raw": "RAW", "tokens": ["a"]}
        for at, text in enumerate(texts)
    ]
    return {
        "ref_id": ref_id,
        "ann_id": ann,
        "image_id": image,
        "category_id": 1,
        "file_name": NAMES.get(image, "").replace(".jpg", f"_{ref_id}.jpg"),
        "split": split,
        "sent_ids": [s["sent_id"] for s in sentences],
        "sentences": sentences,
    }


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    for name in NAMES.values():
        write_frames(tmp_path / "train2014", [name.removesuffix(".jpg")])
    counts = [0, *[6, HEIGHT - 6] * 5, 6, HEIGHT * WIDTH - 5 * HEIGHT - 6]  # a square of 6 in the corner
    annotations = [
        {"id": 1, "image_id": 9, "segmentation": SQUARE, "iscrowd": 0, "category_id": 1},
        {"id": 2, "image_id": 25, "segmentation": {"size": [HEIGHT, WIDTH], "counts": counts}, "iscrowd": 1},
        {"id": 3, "image_id": 25, "segmentation": []},
        {"id": 4, "image_id": 25, "segmentation": [[1, 1, 5, 5]]},
        {"id": 5, "image_id": 77, "segmentation": SQUARE},
    ]
    images = [{"id": i, "file_name": n, "height": HEIGHT, "width": WIDTH} for i, n in NAMES.items()]
    images += [{"id": 77, "file_name": "../../x.jpg", "height": HEIGHT, "width": WIDTH}]
    content = {
        "info": {},
        "images": images,
        "categories": [{"id": 1, "name": "dog"}],
        "annotations": annotations,
    }
    (tmp_path / "instances.json").write_text(json.dumps(content, indent=1))
    return tmp_path


def refcoco(
    root: Path, refs: Any, split: str = "train", content: bytes | None = None
) -> tuple[SourceConfig, Files]:
    path = root / "refs(unc).p"
    path.write_bytes(content if content is not None else pickle.dumps(refs, protocol=0))
    config = source("refcoco", split=split, min_frames=1)
    return config, Files(annotations=path, masks=root / "instances.json")


def test_refcoco_masks_are_those_of_the_references_of_the_split(coco: Path) -> None:
    refs = [
        reference(0, 9, 1, "train", "the left  dog", "dog in front"),
        reference(1, 25, 2, "testA", "the crowd"),
        reference(2, 25, 2, "train", "the many"),
    ]
    config, files = refcoco(coco, refs)
    found = read(config, files)
    assert list(found) == ["s/0/0", "s/0/1", "s/1/10", "s/2/20"]
    assert found["s/1/10"] == LEFT_OUT
    made = sample(found["s/0/0"], config, coco)
    assert [t.text for t in made.turns] == ["Can you segment the the left dog in this image?", "Sure, [SEG]."]
    assert (made.video.path, made.video.frames) == ("train2014", (NAMES[9],))
    assert made.video.num_frames == 1
    truth = label_image({1: (3, 4, 12, 14)}) | label_image({1: (3, 20, 12, 30)})
    assert np.array_equal(pixels(made.targets[0]), truth[None])
    crowd = sample(found["s/2/20"], config, coco)
    assert np.array_equal(pixels(crowd.targets[0]), label_image({1: (0, 0, 6, 6)})[None])
    config, files = refcoco(coco, refs, split="testA")
    assert [d != LEFT_OUT for d in read(config, files).values()] == [False, False, True, False]


def test_malformed_references_of_refcoco_are_rejected_with_a_reason(coco: Path) -> None:
    refs: list[Any] = [
        reference(0, 9, 99, "train", "no annotation"),
        reference(1, 25, 3, "train", "no mask"),
        reference(2, 25, 4, "train", "a line is not an area"),
        reference(3, 25, 1, "train", "another image"),
        reference(4, 66, 1, "train", "no image"),
        reference(5, 77, 5, "train", "an image elsewhere"),
        reference(6, 9, 1, "train", " ", 5, "good"),
        reference(6, 9, 1, "train", "twice"),
        {"split": "train"},
        "no reference",
        {**reference(7, 9, 1, "train", "odd ids"), "ann_id": [1]},
        {**reference(8, 9, 1, "train", "no split"), "split": None},
        reference(9, 9, 99, "val", "of another split"),
    ]
    config, files = refcoco(coco, refs)
    found = read(config, files)
    assert reasons(found) == {
        "s/0/0": Reason.MASK_MISSING,
        "s/1/10": Reason.MASK_MISSING,
        "s/3/30": Reason.MALFORMED,
        "s/4/40": Reason.MALFORMED,
        "s/5/50": Reason.MALFORMED,
        "s/6/60": Reason.MALFORMED,
        "s/6/61": Reason.MALFORMED,
        "s/reference 7": Reason.DUPLICATE_KEY,
        "s/reference 8": Reason.MALFORMED,
        "s/reference 9": Reason.MALFORMED,
        "s/7/70": Reason.MALFORMED,
    }
    assert found["s/9/90"] == LEFT_OUT
    assert reject_reason(found["s/2/20"], config, coco) is Reason.BAD_MASK
    assert reject_reason(found["s/6/62"], config, coco) is None
    write_frames(coco / "train2014", [NAMES[9].removesuffix(".jpg")], size=(HEIGHT, WIDTH - 1))
    assert reject_reason(found["s/6/62"], config, coco) is Reason.MASK_SIZE


def test_an_incomplete_plan_for_refcoco_is_refused_with_the_missing_part(coco: Path) -> None:
    refs = [reference(0, 9, 1, "train", "dog"), reference(1, 9, 1, "val", "dog")]
    config, files = refcoco(coco, refs, split="testA")
    with pytest.raises(UserError, match="one of train, val"):
        read(config, files)
    config, files = refcoco(coco, refs)
    with pytest.raises(UserError, match=r"instances\.json"):
        read(config, Files(annotations=files.annotations))
    with pytest.raises(UserError, match="one file"):  # refs(google).p splits the same images differently
        read(config, renamed(files, "refs(unc)"))
    (coco / "instances.json").write_text('{"images": []}')
    with pytest.raises(UserError, match="annotations"):
        read(config, files)
    for wrong in ({"format": "refcoco"}, {"format": "videorefer", "split": "val"}):
        with pytest.raises(ValidationError, match="split"):
            SourceConfig.model_validate({"name": "s", "annotations": "x", "media": ("m",), **wrong})


def test_elements_of_an_array_are_found_without_parsing_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": [ ], "b": [1, {"x": [2]} ], "c": 3}')
    content = path.read_bytes()
    assert [content[start:end].strip() for start, end in elements(path, "b")] == [b"1", b'{"x": [2]}']
    assert list(elements(path, "a")) == []
    for name in ("c", "d"):
        with pytest.raises(UserError, match=f"no array `{name}`"):
            list(elements(path, name))


@pytest.mark.parametrize("protocol", range(6))
def test_plain_data_of_every_pickle_protocol_are_read(tmp_path: Path, protocol: int) -> None:
    data = [{"é": [1, -5, 1 << 40, 1 << 70, 2.5, True, None], "b": {"c": [[]]}, "d": "x" * 300}] * 2
    path = tmp_path / "refs.p"
    path.write_bytes(pickle.dumps(data, protocol=protocol))
    assert load_plain(path) == data


def test_text_pickled_by_python_2_is_decoded(coco: Path) -> None:
    refs = [reference(0, 9, 1, "train", "café".encode(), "café".encode("latin-1"), "plain")]
    config, files = refcoco(coco, None, content=py2_pickle(refs))
    assert [d.expression for d in read(config, files).values()] == ["café", "café", "plain"]
    old = coco / "old.p"  # protocol 0, where a text is its repr
    old.write_bytes(b"(lp0\nS'caf\\xc3\\xa9'\np1\naS'caf\\xe9'\naVcaf\xe9\na.")
    assert [without_surrogates(text) for text in load_plain(old)] == ["café"] * 3


class Evil:
    def __init__(self, act: Any, *args: Any) -> None:
        self.act, self.args = act, args

    def __reduce__(self) -> tuple[Any, Any]:
        return self.act, self.args


@pytest.mark.parametrize("protocol", range(6))
def test_no_code_in_a_pickle_is_run(coco: Path, protocol: int) -> None:
    marker = coco / "marker"
    for evil in (
        Evil(os.system, f"touch {marker}"),
        Evil(eval, f"open({str(marker)!r}, 'w')"),
        Evil(open, str(marker), "w"),
        np.arange(3),
        Path("x"),
        {1, 2},
        range(3),
    ):
        content = pickle.dumps([{"split": evil}], protocol=protocol)
        config, files = refcoco(coco, None, content=content)
        with pytest.raises(UserError, match=r"refs\(unc\)\.p.*nothing in it is run"):
            read(config, files)
    assert not marker.exists()


def test_pickle_instructions_that_could_run_code_are_unknown(tmp_path: Path) -> None:
    path = tmp_path / "refs.p"
    for content, name in (
        (b"cos\nsystem\n(S'true'\ntR.", "GLOBAL"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "STACK_GLOBAL"),
        (b"]}b.", "BUILD"),
        (b"]]R.", "REDUCE"),
        (b"\x80\x02\x82\x01.", "EXT1"),
    ):
        path.write_bytes(content)
        with pytest.raises(UserError, match=f"the instruction {name}\\."):
            load_plain(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x02]",  # cut
        b"not a pickle",
        b"cos\nsystem\n(S'true'\ntR.",
        b"(S'true'\nios\nsystem\n.",
        b"\x80\x02\x82\x01.",  # an extension code
        b"Psomething\n.",  # a persistent id
        b"\x80\x02]r\xff\xff\xff\xff.",  # the C unpickler would allocate 2 ** 32 entries
        b"\x80\x05\x96" + b"\xff" * 7 + b"\x7f.",  # a byte array of 2 ** 63 bytes
        b"\x80\x04\x8d" + b"\xff" * 7 + b"\x7f.",  # text of 2 ** 63 bytes
        b"\x80\x02" + b"(" * 9 + b"t" * 9 + b".",  # tuples
        pickle.dumps({"a": 1}),
        pickle.dumps([]),
        pickle.dumps([1, "a"]),
    ],
)
def test_hostile_pickles_are_a_user_error(coco: Path, content: bytes) -> None:
    config, files = refcoco(coco, None, content=content)
    with pytest.raises(UserError, match=r"refs\(unc\)\.p"):
        read(config, files)


def test_recursive_and_huge_values_in_a_pickle_are_rejected(coco: Path) -> None:
    """Catches messages that print the whole value."""
    bomb: Any = "boo"
    for _ in range(60):
        bomb = [bomb, bomb]
    ring: list[Any] = []
    ring.append(ring)
    good = reference(0, 9, 1, "train", "dog")
    refs = [
        good,
        {**reference(1, 9, 1, "train", "dog"), "ann_id": bomb},
        {**good, "sentences": ring},
        bomb,
        ring,
    ]
    refs += [{**reference(2, 9, 1, "train", "dog"), "split": bomb}, reference(3, 9, 1, "train", bomb)]
    config, files = refcoco(coco, None, content=pickle.dumps(refs, protocol=2))
    found = read(config, files)
    assert [type(d) for d in found.values()].count(
        Draft
    ) == 2  # a split that is not text is malformed, not another split
    assert set(reasons(found).values()) == {Reason.MALFORMED}
