"""One odd record or video is rejected with a reason; the other records become samples. No Ray."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datasets_prep.outcome import entry_of, shards_of
from datasets_prep.passes.chunks import PlannedChunk, cut, list_units
from datasets_prep.passes.finish import FinishedSample, Finisher, finish
from datasets_prep.passes.layout import lay_out
from datasets_prep.passes.media_table import media_table
from datasets_prep.passes.probe import probe_media
from datasets_prep.passes.read import read_chunk
from datasets_prep.passes.shard_job import run_job
from datasets_prep.passes.survey import survey_chunks
from pipeline.dataset.manifest import SourceEntry
from pipeline.media import video
from pipeline.plan.data import PrepConfig, SourceConfig
from pipeline.records import masks
from pipeline.storage.location import Location
from tests.datasets_prep.clips import HEIGHT, WIDTH, write_clip, write_folder

BOX = np.zeros((HEIGHT, WIDTH), np.uint8)
BOX[8:20, 8:30] = 1


def conversation(*texts: str) -> list[dict[str, str]]:
    return [{"from": ("human", "gpt")[i % 2], "value": t} for i, t in enumerate(texts)]


def source(annotations: Path, fmt: str, *media: Path, **more: Any) -> SourceConfig:
    fields = {"name": "s", "format": fmt, "annotations": str(annotations), "media": tuple(map(str, media))}
    return SourceConfig.model_validate(fields | more)


def prepare(config: SourceConfig, folder: Path) -> tuple[list[dict[str, Any]], SourceEntry]:
    """Prepare a source without Ray: the outcome of each record, in order, and the manifest's entry."""
    prep, out = PrepConfig(sources=(config,)), Location.parse(folder / "made")
    units = list_units(prep.sources, Location.parse)
    chunks = [PlannedChunk(unit=n, chunk=c) for n, unit in enumerate(units) for c in cut(unit, 2048)]
    asked = [survey_chunks([(n, p.chunk)], units[p.unit], 1) for n, p in enumerate(chunks)]
    media = media_table([probe_media(pa.concat_tables(asked), Location.parse)])
    jobs = lay_out(
        prep.sources, units, chunks, cuts={}, chosen={}, rows_per_shard=2048, identities={config.name: "x"}
    )
    finisher = Finisher(config, media, prep.min_frames, 1)
    receipts = [run_job(job, units, finisher, out, 1) for job in jobs]
    rows = {r.key: r.model_dump() for receipt in receipts for r in receipt.rejects}
    for shard in shards_of(config.name, receipts):
        table = pq.read_table(folder / "made" / shard.name)
        rows |= {sample["key"]: {"reason": "", "sample": sample} for sample in table.to_pylist()}
    items = [item for p in chunks for item in read_chunk(units[p.unit], p.chunk, 1)]
    order = [item.key for item in items if not item.left_out]
    assert sorted(rows) == sorted(order), "every record has one outcome"
    return [{"key": key, **rows[key]} for key in order], entry_of(config, receipts, {})


def write_rows(folder: Path, *rows: dict[str, Any], name: str = "a.json") -> Path:
    (folder / name).write_text(json.dumps(rows))
    return folder / name


def refer(question: str, answer: str) -> dict[str, Any]:
    rle = {"size": [HEIGHT, WIDTH], "counts": masks.encode(BOX)}
    return {
        "video": "v.mp4",
        "conversations": conversation(question, answer),
        "annotation": [{"0": {"segmentation": rle}}],
    }


@pytest.mark.parametrize("fmt", ["llava_video", "videorefer"])
def test_a_bin_past_the_last_one_is_clamped_with_its_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fmt: str
) -> None:
    write_clip(tmp_path / "v.mp4", frames=20, fps=10)
    answers = ("{<TEMP-050><TEMP-120>}", "{<TEMP-010><TEMP-020>}", "{<TEMP-120><TEMP-130>}")
    question = "What is <region>?" if fmt == "videorefer" else "When?"
    path = write_rows(tmp_path, *(refer(question, answer) for answer in answers))
    rows, entry = prepare(source(path, fmt, tmp_path, outside_spans="clamp"), tmp_path)
    assert [row["reason"] for row in rows] == ["", "", "span_outside"]
    (clamped,) = rows[0]["sample"]["spans"]
    assert (clamped["start_bin"], clamped["end_bin"], clamped["end_s"]) == (50, 99, pytest.approx(2.0))
    assert rows[0]["sample"]["turns"][1]["text"] == "{<TEMP-050><TEMP-099>}"
    assert entry.clamped == 1
    strict, _ = prepare(source(path, fmt, tmp_path), tmp_path)
    assert [row["reason"] for row in strict] == ["span_outside", "", "span_outside"]


def _only_hidden(folder: Path) -> None:
    for file in folder.iterdir():
        file.rename(folder / f"._{file.name}")


def _dangling(folder: Path) -> None:
    (folder / "00003.jpg").unlink()
    (folder / "00003.jpg").symlink_to("gone.jpg")


def _folder_as_frame(folder: Path) -> None:
    (folder / "00003.jpg").unlink()
    (folder / "00003.jpg").mkdir()


def _name_that_is_not_utf8(folder: Path) -> None:
    os.rename(folder / "00003.jpg", os.fsencode(folder) + b"/\xff.jpg")


def _bomb(folder: Path) -> None:
    """A header that claims 20000 x 20000 pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 20000, 20000, 8, 2, 0, 0, 0)
    checked = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    (folder / "00000.jpg").write_bytes(b"\x89PNG\r\n\x1a\n" + checked + bytes(4) + b"IDAT")


def _text(folder: Path) -> None:
    (folder / "00000.jpg").write_text("404 not found")


@pytest.mark.parametrize(
    ("damage", "detail"),
    [
        (_only_hidden, "odd: holds no jpg"),
        (_dangling, "odd/00003.jpg: No such file"),
        (_folder_as_frame, "odd/00003.jpg: Is a directory"),
        (_name_that_is_not_utf8, r"'\udcff.jpg' is not UTF-8"),
        (_bomb, "odd: 00000.jpg: no readable image (Image size (400000000 pixels) exceeds limit"),
        (_text, "odd: 00000.jpg: no readable image (of no known format)"),
    ],
)
def test_an_odd_folder_of_frames_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None], detail: str
) -> None:
    for name in ("odd", "good"):
        write_folder(tmp_path / name)
    damage(tmp_path / "odd")
    path = write_rows(
        tmp_path, *({"video": v, "conversations": conversation("Q?", "A")} for v in ("odd", "good"))
    )
    rows, entry = prepare(source(path, "llava_video", tmp_path), tmp_path)
    assert [row["reason"] for row in rows] == ["media_unreadable", ""]
    assert entry.rejects == {"media_unreadable": 1}
    reject = rows[0]
    assert detail in reject["detail"]
    assert str(tmp_path) not in reject["detail"]
    assert (reject["key"], reject["file"]) == ("s/0", "a.json")


def test_the_reject_of_a_missing_video_names_the_folders_that_were_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_rows(tmp_path, {"video": "/home/x/a.mp4", "conversations": conversation("Q?", "A")})
    config = source(path, "llava_video", tmp_path / "m1", tmp_path / "m2")
    (reject,) = prepare(config, tmp_path)[0]
    assert reject["reason"] == "media_missing"
    for part in ("home/x/a.mp4", "2 other names", str(tmp_path / "m1"), str(tmp_path / "m2")):
        assert part in reject["detail"]


def test_an_unforeseen_error_rejects_one_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Finishing one record and probing one video fail: the details name file, record and error."""
    write_clip(tmp_path / "v.mp4")
    write_clip(tmp_path / "odd.mp4")
    ask = conversation("Is 1 < 2?", "A")  # text with a special character, so that it needs finishing
    rows = [{"video": v, "conversations": ask} for v in ("v.mp4", "v.mp4", "odd.mp4", "v.mp4")]
    path = write_rows(tmp_path, *rows)

    def finish_or_break(draft: Any, *rest: Any) -> FinishedSample:
        if draft.key == "s/1":
            raise IndexError("list index out of range")
        return finish(draft, *rest)

    def probe_or_break(path: Path, **more: Any) -> video.VideoInfo:
        if path.name == "odd.mp4":
            raise struct.error("unpack requires a buffer")
        return probe(path, **more)

    probe = video.probe
    monkeypatch.setattr("datasets_prep.passes.finish.finish", finish_or_break)
    monkeypatch.setattr(video, "probe", probe_or_break)
    made, entry = prepare(source(path, "llava_video", tmp_path), tmp_path)
    assert [row["reason"] for row in made] == ["", "unforeseen", "unforeseen", ""]
    assert (entry.kept, entry.rejects) == (2, {"unforeseen": 2})
    details = [row["detail"] for row in made if row["reason"]]
    assert details == [
        "record 1 of a.json: s/1: IndexError: list index out of range",
        "record 2 of a.json: odd.mp4: error: unpack requires a buffer",
    ]


def test_storage_that_does_not_answer_is_an_error_and_not_a_reject(tmp_path: Path) -> None:
    from pipeline.errors import UserError

    class Away(Location):
        def is_dir(self) -> bool:
            raise UserError(self.uri, "the S3 server does not answer.")

    (tmp_path / "v.mp4").write_bytes(b"x")
    asked = pa.table({"media_id": [b"1"], "media": [json.dumps([["m"], ["v.mp4"], [], 0])]})
    with pytest.raises(UserError, match="does not answer"):
        probe_media(asked, lambda _: Away(str(tmp_path)))


def test_a_polygon_far_outside_is_refused_before_it_reaches_pycocotools() -> None:
    """Its rasteriser crashes the process where an edge is billions of pixels long."""
    assert masks.area(masks.from_source([[-9, -9, 59, -9, 59, 59, -9, 59]], 4, 6), 4, 6) == 24
    for far in (1e8, -1e12, 1e300):
        with pytest.raises(ValueError, match="far outside"):
            masks.from_source([[0, 0, far, far, far, 0]], 480, 640)


# ------------------------------------------------------------------------------------------- names


def test_files_that_differ_only_in_their_suffix_keep_it_in_their_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "anno"
    folder.mkdir()
    (folder / "test.txt").write_text("V 0.5 1.0##a man runs.\n")
    (folder / "test.json").write_text(
        json.dumps({"annotations": [{"image_id": "V", "caption": "x", "timestamp": [0, 1]}]})
    )
    (folder / "other.txt").write_text("V 0.5 1.5##a man sits.\n")
    write_clip(tmp_path / "V.mp4", frames=20, fps=10)
    rows, entry = prepare(source(folder, "charades_sta", tmp_path), tmp_path)
    assert sorted(row["key"] for row in rows) == ["s/other/0", "s/test.json/0", "s/test.txt/0"]
    assert (entry.kept, entry.rejects) == (3, {})


def test_a_kept_suffix_never_collides_with_another_name(tmp_path: Path) -> None:
    for name in ("a.txt", "a.json", "a.json.txt"):
        (tmp_path / name).write_text("x")
    units = list_units((source(tmp_path, "charades_sta", tmp_path),), Location.parse)
    assert [unit.name for unit in units] == ["a.json", "a.json.txt", "a.txt"]


@pytest.mark.parametrize(("one", "other"), [("a/b", "a__b"), ("a/_b", "a_/b")])
def test_sources_that_would_write_the_same_files_are_refused(tmp_path: Path, one: str, other: str) -> None:
    both = [source(tmp_path, "mvbench", tmp_path, name=name) for name in (one, other)]
    with pytest.raises(ValueError, match=f"sources {one} and {other} would both write"):
        PrepConfig(sources=tuple(both))
    PrepConfig(sources=(both[0], source(tmp_path, "mvbench", tmp_path, name="a_b")))
