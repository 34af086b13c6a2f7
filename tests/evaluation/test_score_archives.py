"""`ufvideo score`: archives and folders of masks as other code writes them, odd and hostile ones too."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evaluation.score.__main__ import main
from pipeline.records import masks

HEIGHT, WIDTH, FRAMES = 16, 24, ("00000", "00005")
PARTS = [(video, part) for video in ("v1", "v2") for part in ("0", "1")]
Run = Callable[[Path], dict[str, Any]]


def mask(part: str) -> np.ndarray:
    made = np.zeros((HEIGHT, WIDTH), np.uint8)
    made[2:9, 3:11] = part == "0"
    made[8:14, 12:22] = part == "1"
    return made


def png(part: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(mask(part) * 255).save(file, "PNG")
    return file.getvalue()


def rle(part: str) -> dict[str, Any]:
    return {"size": [HEIGHT, WIDTH], "counts": masks.encode(mask(part))}


def archive(place: Path, name: str, more: dict[str, bytes] | None = None) -> Path:
    """A zip with a right mask for every frame, each under ``name``, and other files."""
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as made:
        for video, part in PARTS:
            for frame in FRAMES:
                info = zipfile.ZipInfo()
                info.filename = name.format(video=video, part=part, frame=frame)  # backslashes are kept
                made.writestr(info, png(part))
        for other, content in (more or {}).items():
            made.writestr(other, content)
    return place


@pytest.fixture
def mevis(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Scores masks of two videos with two expressions each."""
    truth = tmp_path / "valid_u"
    truth.mkdir()
    videos = {
        video: {
            "expressions": {p: {"exp": f"thing {p}", "obj_id": [int(p)], "anno_id": [int(p)]} for p in "01"},
            "frames": FRAMES,
        }
        for video in ("v1", "v2")
    }
    (truth / "meta_expressions.json").write_text(json.dumps({"videos": videos}))
    (truth / "mask_dict.json").write_text(json.dumps({p: [rle(p)] * len(FRAMES) for p in "01"}))

    def run(place: Path) -> dict[str, Any]:
        out = tmp_path / "out"
        arguments = ["--truth", str(truth), "--predictions", str(place), "--json", "--out", str(out)]
        rc = main(["mevis", *arguments])
        printed = capsys.readouterr()
        if rc:
            return {"rc": rc, "error": printed.err}
        found = json.loads(printed.out)
        problems = json.loads((out / "problems.json").read_text())
        value = next(r["value"] for r in found["metrics"] if (r["metric"], r["category"]) == ("J&F", ""))
        return {"value": value, "problems": {kind: items for kind, items in problems.items() if items}}

    return run


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("{video}/{part}/{frame}.PNG", id="capitals"),
        pytest.param("results/run 1/{video}/{part}/{frame}.png", id="below other folders"),
        pytest.param("{video}\\{part}\\{frame}.png", id="backslashes"),
        pytest.param("/{video}/{part}/{frame}.png", id="absolute"),
        pytest.param("../../{video}/{part}/{frame}.png", id="above the root"),
    ],
)
def test_masks_are_found_whatever_packed_them(mevis: Run, tmp_path: Path, name: str) -> None:
    assert mevis(archive(tmp_path / "masks.zip", name)) == {"value": 1.0, "problems": {}}
    assert not list(tmp_path.parent.glob("v1"))  # nothing is unpacked


NAME = "{video}/{part}/{frame}.png"


def test_files_of_macos_are_no_masks(mevis: Run, tmp_path: Path) -> None:
    junk = {"__MACOSX/v1/0/._00000.png": b"x", "v1/0/._00000.png": b"x", "v1/.DS_Store": b"x"}
    place = archive(tmp_path / "masks.zip", NAME, junk)
    assert mevis(place) == {"value": 1.0, "problems": {}}
    with zipfile.ZipFile(place) as packed:
        packed.extractall(tmp_path / "unpacked")
    assert mevis(tmp_path / "unpacked") == {"value": 1.0, "problems": {}}


def test_an_image_beside_the_videos_is_named_and_the_rest_is_scored(mevis: Run, tmp_path: Path) -> None:
    found = mevis(archive(tmp_path / "masks.zip", NAME, {"preview.png": png("0")}))
    assert found["value"] == 1.0
    assert list(found["problems"]) == ["predictions of no sample"]


def bomb() -> bytes:
    """A PNG that says it has 3.6 billion pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    content = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(png("0")[:40], id="cut in its header"),
        pytest.param(png("0")[:-30], id="cut in its pixels"),
        pytest.param(b"no image", id="text"),
        pytest.param(b"", id="empty"),
        pytest.param(bomb(), id="a bomb"),
    ],
)
def test_a_damaged_mask_fails_its_expression_alone(mevis: Run, tmp_path: Path, content: bytes) -> None:
    packed = archive(tmp_path / "masks.zip", NAME)
    with zipfile.ZipFile(packed) as made:
        made.extractall(tmp_path / "masks")
    (tmp_path / "masks/v1/0/00005.png").write_bytes(content)
    found = mevis(tmp_path / "masks")
    assert found["value"] == 0.75
    assert list(found["problems"]) == ["failures"]
    assert "v1/0: 00005: is not a readable PNG" in found["problems"]["failures"][0]
    assert "0x" not in found["problems"]["failures"][0]


def test_masks_with_other_frame_names_are_told_apart_from_none(mevis: Run, tmp_path: Path) -> None:
    place = archive(tmp_path / "masks.zip", "{video}/{part}/f{frame}.png")
    found = mevis(place)
    assert found["problems"]["failures"][0] == "v1/0: no mask on any frame: there is f00000, but not 00000"


@pytest.mark.parametrize(
    ("form", "value", "failures"),
    [
        pytest.param([None, None], 0.0, 0, id="never there"),
        pytest.param([{"size": 7, "counts": "x"}] * 2, 0.0, 1, id="no size"),
        pytest.param([{"size": ["16", 24], "counts": "x"}] * 2, 0.0, 1, id="a size of text"),
    ],
)
def test_rle_without_a_usable_size(
    mevis: Run, tmp_path: Path, form: list[Any], value: float, failures: int
) -> None:
    content = {video: {part: [rle(part)] * 2 for part in "01"} for video in ("v1", "v2")}
    content["v1"]["0"] = form
    (tmp_path / "rle.json").write_text(json.dumps(content))
    found = mevis(tmp_path / "rle.json")
    assert found["value"] == (3 + value) / 4
    assert len(found["problems"].get("failures", ())) == failures


def test_a_cut_archive_and_one_that_unpacks_to_far_more_are_refused(mevis: Run, tmp_path: Path) -> None:
    whole = archive(tmp_path / "masks.zip", NAME).read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    found = mevis(tmp_path / "cut.zip")
    assert (found["rc"], "not a readable zip" in found["error"]) == (2, True)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("answers.json", b" " * 150_000_000)
    found = mevis(tmp_path / "bomb.zip")
    assert (found["rc"], "would unpack to 150,000,000 bytes" in found["error"]) == (2, True)


def test_the_summary_beside_logs_of_samples_is_no_prediction(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "truth.txt").write_text("VID1 1.0 5.0##a person sits.\n")
    logs = tmp_path / "logs/model"
    logs.mkdir(parents=True)
    (logs / "2025_results.json").write_text(json.dumps({"results": {"charades": {"iou,none": 0.5}}}))
    row = {
        "doc_id": 0,
        "doc": {"video": "VID1.mp4", "caption": "a person sits.", "timestamp": [1.0, 5.0]},
        "target": "[1.0, 5.0]",
        "resps": [["from 1 s to 5 s"]],
        "filtered_resps": ["from 1 s to 5 s"],
    }
    (logs / "2025_samples_charades.jsonl").write_text(json.dumps(row) + "\n")
    (logs / "._2025_samples_charades.jsonl").write_bytes(b"\0\5\x16\7")
    places = ["--truth", str(tmp_path / "truth.txt"), "--predictions", str(tmp_path / "logs")]
    assert main(["charades_sta", *places, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"][0]["value"] == 1.0


def test_a_mask_in_colours_is_inside_where_any_is_not_0(mevis: Run, tmp_path: Path) -> None:
    """Very dark blue is 0 in grey."""
    packed = archive(tmp_path / "masks.zip", NAME)
    with zipfile.ZipFile(packed) as made:
        made.extractall(tmp_path / "masks")
    for frame in FRAMES:
        colours = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        colours[..., 2] = mask("0")
        Image.fromarray(colours).save(tmp_path / f"masks/v1/0/{frame}.png")
    assert mevis(tmp_path / "masks") == {"value": 1.0, "problems": {}}


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path]:
    """Two objects in two frames, as truth and as right predictions in grey."""
    both = mask("0") + 2 * (mask("1") & ~mask("0") & 1)
    for root in ("truth", "made"):
        (tmp_path / root / "seq").mkdir(parents=True)
        for frame in FRAMES:
            Image.fromarray(both).save(tmp_path / root / "seq" / f"{frame}.png")
    return tmp_path / "truth", tmp_path / "made"


def score_trees(trees: tuple[Path, Path], *more: str) -> int:
    return main(["masks", "--truth", str(trees[0]), "--predictions", str(trees[1]), "--json", *more])


def test_objects_in_colours_without_a_palette_are_refused(
    trees: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for file in trees[1].rglob("*.png"):
        labels = np.asarray(Image.open(file))
        Image.fromarray(np.stack([labels] * 3, axis=2)).save(file)
    assert score_trees(trees) == 0  # the same number in every channel is a number
    assert json.loads(capsys.readouterr().out)["means"]["J&F"] == 1.0
    for file in trees[1].rglob("*.png"):
        labels = np.asarray(Image.open(file))[..., 0]
        Image.fromarray(np.stack([labels == 1, labels == 2, labels == 9], axis=2) * np.uint8(128)).save(file)
    assert score_trees(trees) == 2
    assert "has colours and no palette" in capsys.readouterr().err


def test_a_sequence_that_a_protocol_cannot_score_is_named(
    trees: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert score_trees(trees, "--protocol", "davis-semi-supervised") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["problems"] == ["seq: 2 frames are too few for davis-semi-supervised; not scored"]
    for file in trees[0].rglob("*.png"):
        Image.new("L", (WIDTH, HEIGHT)).save(file)
    assert score_trees(trees, "--protocol", "davis-unsupervised") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["problems"] == ["seq: no object in the first frame; not scored"]


def test_a_number_of_two_trees_has_a_fingerprint(
    trees: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    def fingerprints(*more: str) -> dict[str, str]:
        assert score_trees(trees, *more) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["fingerprints"].keys() == found["means"].keys()
        return found["fingerprints"]

    first = fingerprints()
    assert len(set(first.values())) == len(first) == 7
    assert fingerprints() == first
    assert set(fingerprints("--protocol", "davis-unsupervised").values()).isdisjoint(first.values())
    Image.new("L", (WIDTH, HEIGHT)).save(trees[1] / "seq" / f"{FRAMES[0]}.png")
    assert set(fingerprints().values()).isdisjoint(first.values()), "other predictions"
