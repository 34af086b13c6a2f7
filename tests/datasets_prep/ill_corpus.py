"""A small corpus with one of every defect that the doctor looks for, and the findings it must report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.records import masks
from tests.datasets_prep.clips import HEIGHT, WIDTH, write_clip, write_folder

Json = dict[str, Any]
EYE = masks.encode(np.eye(HEIGHT, WIDTH, dtype=np.uint8))
RLE = {"size": [HEIGHT, WIDTH], "counts": EYE}
NOTHING = {"size": [HEIGHT, WIDTH], "counts": masks.empty(HEIGHT, WIDTH)}

# By (source, finding): the last part of every key that must be reported; no others may be.
EXPECTED: dict[tuple[str, str], list[str]] = {
    ("qa", "media_missing"): ["1"],
    ("qa", "media_unreadable"): ["2", "4", "20"],
    ("qa", "too_few_frames"): ["3"],
    ("qa", "media_undecodable"): ["5", "21"],
    ("qa", "header_frames"): ["6"],
    ("qa", "duplicate_media"): ["7", "8"],
    ("qa", "turns"): ["9", "10", "11"],
    ("qa", "malformed"): ["12"],
    ("qa", "bad_choice"): ["13"],
    ("qa", "target_count"): ["14"],
    ("qa", "span_count"): ["15"],
    ("qa", "duplicate_sample"): ["17"],
    ("qa", "overlap_content"): ["18"],
    ("qa", "overlap_name"): ["19"],
    ("qa", "broken_json"): ["22"],
    ("grounding", "span_reversed"): ["1"],
    ("grounding", "span_zero_length"): ["2"],
    ("grounding", "span_outside"): ["3", "4", "5"],
    ("grounding", "placeholders"): ["6"],
    ("clamped", "span_clamped"): ["1", "2", "3"],
    ("clamped", "span_outside"): ["4"],
    ("boxes", "spatial_placeholder"): ["1"],
    ("refer", "masks_partly_empty"): ["1"],
    ("refer", "mask_size"): ["2", "3"],
    ("refer", "frame_outside"): ["4"],
    ("refer", "bad_mask"): ["5"],
    ("refer", "region_count"): ["6"],
    ("refer", "empty_region"): ["7"],
    ("segment", "masks_partly_empty"): ["1"],
    ("segment", "empty_target"): ["2"],
    ("segment", "masks_shifted"): ["3"],
    ("segment", "mask_missing"): ["4"],
    ("segment", "duplicate_key"): ["v0"],
    ("segment", "duplicate_sample"): ["5"],
    ("twice/x", "duplicate_key"): ["0"],
    ("twice/x", "duplicate_elsewhere"): ["1"],
    ("bench", "overlap_content"): ["0", "1"],
    ("bench", "overlap_name"): ["2"],
}
RECORDS = {
    "qa": 23,
    "grounding": 7,
    "clamped": 5,
    "boxes": 2,
    "refer": 9,
    "segment": 7,
    "twice": 2,
    "twice/x": 2,
    "bench": 4,
}


def conversation(*texts: str) -> list[dict[str, str]]:
    return [{"from": ("human", "gpt")[i % 2], "value": t} for i, t in enumerate(texts)]


def write_ill_corpus(root: Path) -> list[Json]:
    """Write it below ``root``. Returns the sources of a plan, one of which selects a single sample."""
    _media(root)
    _talks(root)
    _times(root)
    _refer(root)
    _segment(root)
    media = [str(root / "nowhere"), str(root / "media")]

    def entry(name: str, fmt: str, annotations: str, **more: Any) -> Json:
        source = {"name": name, "format": fmt, "annotations": str(root / annotations), "media": media}
        return source | more

    words = ("Where is", "Can you find", "Which pixels show")
    asked = {"question_templates": [f"{word} {{expression}}?" for word in words]}
    return [
        entry("qa", "llava_video", "qa.jsonl", select={"count": 1}),  # the doctor reads all records
        entry("grounding", "time_stamp", "grounding.json"),
        entry("clamped", "time_stamp", "clamped.json", outside_spans="clamp"),
        entry("boxes", "st_align", "boxes.json", keep_types=["tvg"]),
        entry("refer", "videorefer", "refer.json"),
        entry("segment", "meta_expressions", "segment", media=[str(root / "frames")], **asked),
        entry("twice", "llava_video", "twice"),
        entry("twice/x", "llava_video", "other.json"),
        entry("bench", "charades_sta", "bench.txt", use="benchmark", media=[str(root / "bench")]),
    ]


def _media(root: Path) -> None:
    """Clips differ in their numbers of frames, so that their bytes differ unless they must be equal."""
    media = root / "media"
    write_clip(media / "a.mp4", frames=20)
    write_clip(media / "one.mp4", frames=1)
    (media / "bad.mp4").write_bytes(b"nothing")
    whole = write_noise(root / "whole.mp4", frames=20)
    data, (place, size) = whole.read_bytes(), _packet(whole, 12)
    # Zeros are not an H.264 packet, so only decoding could find which frames the file shows, and that fails.
    (media / "hole.mp4").write_bytes(data[:place] + bytes(len(data) - place))
    (media / "cut.mp4").write_bytes(data[:place])
    # The head of this packet still identifies its frame: all frames are known, and one does not decode.
    flipped = bytes(255 - byte for byte in data[place + 8 : place + size])
    (media / "hurt.mp4").write_bytes(data[: place + 8] + flipped + data[place + size :])
    write_folder(media / "stills", frames=3)
    still = media / "stills" / "00001.jpg"
    still.write_bytes(still.read_bytes().partition(b"\xff\xda")[0])  # the header alone
    lying = bytearray(write_clip(root / "honest.avi", frames=12, codec="mpeg4").read_bytes())
    length = lying.index(b"strh") + 40
    lying[length : length + 4] = (20).to_bytes(4, "little")
    (media / "lying.avi").write_bytes(lying)
    write_clip(media / "b.mp4", frames=19)
    shutil.copy(media / "b.mp4", media / "copy.mp4")
    (media / "again").mkdir()
    shutil.copy(media / "b.mp4", media / "again" / "b.mp4")
    (media / "link.mp4").symlink_to("a.mp4")  # not a copy
    write_clip(media / "shared.mp4", frames=18)
    (root / "bench").mkdir()
    shutil.copy(media / "shared.mp4", root / "bench" / "shared.mp4")
    write_clip(media / "same_name.mp4", frames=17)
    write_clip(root / "bench" / "same_name.webm", frames=17, codec="libvpx")
    write_clip(root / "bench" / "own.mp4", frames=16)
    write_folder(root / "frames" / "v0", frames=4)


def _talks(root: Path) -> None:
    videos = ["b.mp4", "none.mp4", "bad.mp4", "one.mp4", "hole.mp4", "stills", "lying.avi", "copy.mp4"]
    videos.append("again/b.mp4")
    rows: list[Any] = [{"video": v, "conversations": conversation(f"What of {v}?", "A.")} for v in videos]
    rows.append({"video": "a.mp4", "conversations": conversation("Q9?", "A.", "And?")})
    rows.append({"video": "a.mp4", "conversations": conversation("Q10?", "A.")[::-1]})
    rows.append({"video": "a.mp4", "conversations": conversation("Q11?", " ")})
    rows.append({"video": "a.mp4"})
    rows.append({"video": "a.mp4", "conversations": conversation("Which?\nA. red\nB. blue", "C. green")})
    rows.append({"video": "a.mp4", "conversations": conversation("Where is it?", "It is [SEG].")})
    rows.append({"video": "a.mp4", "conversations": conversation("When?", "From <TEMP-010> to <TEMP-020>.")})
    rows += [
        {"video": video, "conversations": conversation("Twice?", "Yes.")} for video in ("a.mp4", "link.mp4")
    ]
    more = ("shared.mp4", "same_name.mp4", "cut.mp4", "hurt.mp4")
    rows += [{"video": v, "conversations": conversation("Q?", "A.")} for v in more]
    (root / "qa.jsonl").write_text("\n".join([*map(json.dumps, rows), '{"broken']))
    (root / "twice").mkdir()
    for name, words in (("x", "Q x?"), ("y", "Q y?")):
        row = {"video": "a.mp4", "conversations": conversation(words, "A.")}
        (root / "twice" / f"{name}.json").write_text(json.dumps([row]))
    other = [{"video": "a.mp4", "conversations": conversation(words, "A.")} for words in ("Q z?", "Q y?")]
    (root / "other.json").write_text(json.dumps(other))
    lines = ("shared 0.2 1.0##he runs.", "shared 0.2 1.5##he sits.")
    (root / "bench.txt").write_text(
        "\n".join([*lines, "same_name.webm 0.2 1.0##he lies.", "own 0.2 1.0##he sings."])
    )


def _times(root: Path) -> None:
    def rows(question: str, *times: list[float]) -> list[Json]:
        turns = conversation(question, "At <TIME_STAMP>.")
        return [{"video": "a.mp4", "tgt": t, "conversations": turns} for t in times]

    # The video lasts 2 s. The first row of each is valid.
    grounding = rows("When?", [0, 1], [1.5, 1], [1, 1], [1, 2.25], [0.5, 2.75], [5, 9], [0, 1, 2])
    (root / "grounding.json").write_text(json.dumps(grounding))
    clamped = rows("When, about?", [0, 1], [1, 2.5], [0.5, 2.1], [0.25, 2.2], [5, 9])
    (root / "clamped.json").write_text(json.dumps(clamped))
    box = {"video": "a.mp4", "type": "tvg", "conversations": conversation("Where?", "<WIDTH-OUTPUT>")}
    valid = {"video": "a.mp4", "type": "tvg", "conversations": conversation("What?", "This.")}
    kept_out = {"video": "a.mp4", "type": "other", "conversations": conversation("Where?", "There.")}
    (root / "boxes.json").write_text(json.dumps([valid, box, kept_out]))


def _refer(root: Path) -> None:
    def row(frames: Json, words: str = "What is <region>?", **more: Any) -> Json:
        annotation = {frame: {"segmentation": mask} for frame, mask in frames.items()}
        turns = conversation(words, "A thing.")
        return {"video": "a.mp4", "conversations": turns, "annotation": [annotation], **more}

    rows = [
        row({"3": RLE}),
        row({"3": RLE, "4": None}),
        row({"3": {"size": [WIDTH, HEIGHT], "counts": EYE}}),
        row({"3": [[1, 1, 9, 1, 9, 9]]}, height=WIDTH, width=HEIGHT),
        row({"3": RLE, "20": RLE}),
        row({"3": {"size": [HEIGHT, WIDTH], "counts": [1, 2]}}),
        row({"3": RLE}, "What are <region> and <region>?"),
        row({"3": None, "5": NOTHING}),
        row({"5": RLE}),  # another region, so not a duplicate of the first
    ]
    (root / "refer.json").write_text(json.dumps(rows))


def _segment(root: Path) -> None:
    names = [f"{i:05d}" for i in range(4)]
    found = {str(i): {"exp": f"thing {i}", "anno_id": [i]} for i in range(5)}
    found["5"] = found["0"]  # asked with another template
    entry = json.dumps({"frames": names, "expressions": found})
    (root / "segment").mkdir()
    twice = f'{{"videos": {{"v0": {entry}, "v0": {entry}}}}}'
    (root / "segment" / "meta_expressions.json").write_text(twice)
    tracks = {"0": [RLE] * 4, "1": [RLE, None, None, RLE], "2": [None, NOTHING, None, None], "3": [RLE] * 3}
    (root / "segment" / "mask_dict.json").write_text(json.dumps(tracks))


def write_noise(path: Path, frames: int) -> Path:
    """A clip of noise with its index before the media data: it opens even when the file is cut off."""
    import av

    rng = np.random.default_rng(0)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.thread_count = 1
        for _ in range(frames):
            pixels = rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def _packet(path: Path, number: int) -> tuple[int, int]:
    """Offset and size in bytes of a packet, numbered in the order of the file."""
    import av

    with av.open(str(path)) as container:
        return sorted((p.pos, p.size) for p in container.demux(video=0) if p.size)[number]
