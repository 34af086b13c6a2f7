"""Sources with one of every irregularity among regular samples, encoded by real encoders."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.records import masks
from tests.datasets_prep.clips import HEIGHT, WIDTH, picture, write_clip, write_folder

LATE_S = 2.0  # late.mp4 begins with this much sound only; its frames then last 4 s at 10 frames per second
FRAMES = 12  # of each folder of stills


def write_late_clip(path: Path, late_s: float = LATE_S, frames: int = 40) -> Path:
    """A clip whose video stream begins after its sound."""
    import av

    with av.open(str(path), "w") as container:
        film = container.add_stream("libx264", rate=10, options={"bf": "0"})
        film.width, film.height, film.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound = container.add_stream("aac", rate=16_000)
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
            frame.pts, frame.time_base = index + int(10 * late_s), Fraction(1, 10)
            heard = av.AudioFrame(format="fltp", layout="mono", samples=1024)
            heard.sample_rate, heard.pts, heard.time_base = 16_000, index * 1024, Fraction(1, 16_000)
            for plane in heard.planes:
                plane.update(bytes(plane.buffer_size))
            container.mux(sound.encode(heard))
            container.mux(film.encode(frame))
        for track in (film, sound):
            container.mux(track.encode(None))
    return path


def write_irregular_corpus(root: Path) -> list[dict[str, Any]]:
    """Write media and annotations below ``root``. Returns the sources of a plan."""
    media = root / "media"
    write_clip(media / "v.mp4", frames=60)  # 6 s
    write_clip(media / "good.mp4", frames=60)
    write_late_clip(media / "late.mp4")
    write_folder(media / "stills", frames=FRAMES)
    unpadded = write_folder(media / "unpadded", frames=FRAMES)
    for still in sorted(unpadded.iterdir()):
        still.rename(unpadded / f"{int(still.stem) + 1}.jpg")
    write_clip(root / "more" / "v.mp4", frames=59)
    write_clip(root / "more" / "own.mp4", frames=60)
    (root / "late.txt").write_text(
        "late 2.0 4.0##a person runs.\nlate 0.0 3.0##a person stands.\n"
        "late 0.5 1.5##a black screen with sound.\nv 1.0 2.0##a person sits.\n"
    )
    wrong_duration = {"duration": 3.0, "timestamps": [[0, 1.5]], "sentences": ["He runs."]}
    (root / "durations.json").write_text(
        json.dumps(
            {
                "v": wrong_duration,
                "late": {**wrong_duration, "duration": 6.3},
                "good": {**wrong_duration, "duration": 6.9},
            }
        )
    )
    talk = [{"from": "human", "value": "What is it?"}, {"from": "gpt", "value": "Grey."}]
    rows = [{"video": name, "conversations": talk} for name in ("v.mp4", "stills", "unpadded", "own.mp4")]
    (root / "talk.json").write_text(json.dumps(rows))
    question = {"video": "v.mp4", "question": "What?", "candidates": ["a.", "b."], "answer": "b."}
    ends = ({"start": 1.0, "end": 6.1}, {"start": 1.0, "end": 6.0}, {"start": 7, "end": 9})
    (root / "contexts.json").write_text(json.dumps([{**question, **end} for end in ends]))
    _write_masks(root)

    def entry(name: str, fmt: str, annotations: str, *folders: str, **more: Any) -> dict[str, Any]:
        places = [str(root / folder) for folder in folders or ("media",)]
        source = {"name": name, "format": fmt, "annotations": str(root / annotations), "media": places}
        return source | more

    return [
        entry("late", "charades_sta", "late.txt"),
        entry("durations", "activitynet_captions", "durations.json"),
        entry("talk", "llava_video", "talk.json", "media", "more"),
        entry("contexts", "mvbench", "contexts.json", use="benchmark", outside_spans="clamp"),
        entry("masks", "meta_expressions", "masks"),
    ]


def _write_masks(root: Path) -> None:
    """Video ``stills`` has the masks of two objects in its first 4 frames alone, ``unpadded`` in all."""
    box_HW = np.zeros((HEIGHT, WIDTH), np.uint8)
    box_HW[8:20, 8:30] = 1
    rle = {"size": [HEIGHT, WIDTH], "counts": masks.encode(box_HW)}
    blank = {"size": [HEIGHT, WIDTH], "counts": masks.empty(HEIGHT, WIDTH)}
    tracks = {
        "0": [rle] * 2 + [None] * (FRAMES - 2),
        "1": [None, rle, rle, rle, blank] + [None] * (FRAMES - 5),
        "2": [rle] * 2 + [None] * (FRAMES - 2),
        "3": [None] * 6 + [rle] + [None] * (FRAMES - 7),
    }
    folder = root / "masks"
    folder.mkdir()
    (folder / "mask_dict.json").write_text(json.dumps(tracks))
    videos = {}
    for video, first in (("stills", 0), ("unpadded", 2)):
        names = [f"{n:05d}" if video == "stills" else str(n + 1) for n in range(FRAMES)]
        expressions = {str(n): {"exp": f"box {n}", "obj_id": [n], "anno_id": [first + n]} for n in range(2)}
        videos[video] = {"frames": names, "expressions": expressions}
    (folder / "meta_expressions.json").write_text(json.dumps({"videos": videos}))
