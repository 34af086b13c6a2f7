"""J and F of masks of 854 x 480, alternately with other tools where these are installed.

Real masks are read from $UFVIDEO_SHARED/realdata; without them, masks are made. All agree in every digit.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.compare import DOCS
from evaluation.metrics import masks

TURNS = 3
VIDEOS, OBJECTS, FRAMES = 30, 61, 1999  # of the validation set of DAVIS 2017
PROCESSES, AIM_S = 2, 5.0
_REAL = Path(os.environ.get("UFVIDEO_SHARED", "../shared")) / "realdata"
_HERE = "here"

Score = Callable[[np.ndarray, np.ndarray], tuple[float, float]]
Sequences = dict[str, list[bytes]]  # label images as PNG by sequence


def tools() -> dict[str, Score]:
    """J and F of one prediction and one truth [H, W] bool, by every tool that is installed."""
    found: dict[str, Score] = {_HERE: masks.j_and_f}
    if find_spec("davis2017") and find_spec("cv2"):
        official = import_module("davis2017.metrics")
        official.cv2.setNumThreads(1)
        found["davis2017-evaluation"] = lambda p, t: (
            float(official.db_eval_iou(t, p)),
            float(official.db_eval_boundary(t, p)),
        )
    if find_spec("vos_benchmark") and find_spec("cv2"):
        module = import_module("vos_benchmark.evaluator")
        module.cv2.setNumThreads(1)

        def vos_benchmark(p: np.ndarray, t: np.ndarray) -> tuple[float, float]:
            frame = module.Evaluator()
            frame.feed_frame(p.view(np.uint8), t.view(np.uint8))
            return float(frame.object_iou[1][0]), float(frame.boundary_f[1][0])

        found["vos-benchmark"] = vos_benchmark
    return found


def read(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def sequences() -> tuple[str, Sequences, Sequences]:
    """What they are; predictions with an object's number in each pixel; truths with all objects as one."""
    predicted, true = _REAL / "davis2017_val_predictions" / "osvos", _REAL / "davis2016_val_480p"
    if predicted.is_dir():
        about = "real predictions (OSVOS) against the DAVIS 2016 masks"
        return about, _pngs(predicted), _pngs(true / "Annotations" / "480p")
    discs = {f"{count}": [_discs(count, k, 0) for k in range(60)] for count in (1, 2, 3)}
    moved = {f"{count}": [_discs(count, k, 5) for k in range(60)] for count in (1, 2, 3)}
    return "made masks: discs with ragged edges, and specks", discs, moved


def _pngs(folder: Path) -> Sequences:
    return {s.name: [file.read_bytes() for file in sorted(s.iterdir())] for s in sorted(folder.iterdir())}


def _discs(count: int, number: int, shift: int) -> bytes:
    """Frame ``number`` of ``count`` objects that cross it, ``shift`` pixels off, as a PNG of labels."""
    rng = np.random.default_rng((count, number, shift))
    y, x = np.mgrid[:480, :854]
    labels = np.zeros(x.shape, np.uint8)
    for k in range(count):
        across, down = x - 150 - 200 * k - 3 * number - shift, y - 240 - shift
        ragged = 90 + 6 * np.sin(9 * np.arctan2(down, across)) + rng.normal(size=x.shape)
        labels[np.hypot(across, down) < ragged] = k + 1
        labels[tuple(rng.integers(0, (480, 854)))] = k + 1
    file = io.BytesIO()
    Image.fromarray(labels).save(file, "png")
    return file.getvalue()


def seconds_each(ways: Mapping[str, Callable[[int], object]], cases: int) -> dict[str, float]:
    """Seconds of a core for one case: the mean of each case's best of TURNS alternate turns."""
    total = dict.fromkeys(ways, 0.0)
    for case in range(cases):
        best = dict.fromkeys(ways, float("inf"))
        for _ in range(TURNS):
            made = []
            for name, way in ways.items():
                begun = time.process_time()
                made.append(way(case))
                best[name] = min(best[name], time.process_time() - begun)
            assert all(result == made[0] for result in made), f"case {case}: {made}"
        for name, spent in best.items():
            total[name] += spent
    return {name: spent / cases for name, spent in total.items()}


def one_object(predictions: Sequences, truths: Sequences) -> dict[str, float]:
    """Seconds for one frame by tool, every prediction's objects as one against its truth."""
    pairs = [(p, t) for name in predictions for p, t in zip(predictions[name], truths[name], strict=True)]
    inside = [(read(p) != 0, read(t) != 0) for p, t in pairs]
    print(f"{len(pairs)} frames", flush=True)

    def way(score: Score) -> Callable[[int], object]:
        return lambda k: tuple(score(*inside[k]))

    return seconds_each({name: way(score) for name, score in tools().items()}, len(pairs))


def every_pair(predictions: Sequences) -> dict[str, float]:
    """Seconds for one frame of 20 proposals and 5 objects by tool: masks of labels all over the sequences."""
    images = [read(png) for pngs in predictions.values() for png in pngs[::20]]
    inside = [labels == k for labels in images for k in range(1, int(labels.max()) + 1)]
    cases = []
    for k in range(0, len(inside), 8):
        proposals, objects = (
            [inside[(k + n * step) % len(inside)] for n in range(many)] for step, many in ((1, 20), (2, 5))
        )
        cases.append((proposals, objects))

    def way(score: Score) -> Callable[[int], object]:
        return lambda k: [[tuple(score(p, t)) for t in cases[k][1]] for p in cases[k][0]]

    ways = {name: way(score) for name, score in tools().items()}
    ways[_HERE] = lambda k: [list(map(tuple, row)) for row in masks.pair_j_and_f(*cases[k])]
    return seconds_each(ways, len(cases))


def validation_set(predictions: Sequences) -> list[list[tuple[bytes, bytes, int]]]:
    """As many videos, objects and frames as DAVIS 2017 has, each label image against the next frame's."""
    count = {name: int(max(read(png).max() for png in pngs[::10])) for name, pngs in predictions.items()}
    by_count = [[name for name in predictions if count[name] == k] for k in (1, 2, 3)]
    videos: list[list[tuple[bytes, bytes, int]]] = []
    for k, copies in ((1, 8), (2, 13), (3, 9)):  # 8 + 2 * 13 + 3 * 9 objects
        names = by_count[k - 1]
        for copy in range(copies):
            pngs = predictions[names[copy % len(names)]]
            frames = FRAMES // VIDEOS + (len(videos) < FRAMES % VIDEOS)
            videos.append([(pngs[n % len(pngs)], pngs[(n + 1) % len(pngs)], k) for n in range(frames)])
    assert len(videos) == VIDEOS
    assert sum(video[0][2] for video in videos) == OBJECTS
    return videos


_VIDEOS: list[list[tuple[bytes, bytes, int]]] = []  # read by forked processes
_DECODED: dict[bytes, np.ndarray] = {}


def _score_video(number: int) -> tuple[float, float]:
    """Mean J&F of a video's objects, and the seconds of a core."""
    begun = time.process_time()
    found = []
    for p, t, objects in _VIDEOS[number]:
        prediction, truth = (_DECODED[png] if _DECODED else read(png) for png in (p, t))
        found += [masks.j_and_f(prediction == k, truth == k) for k in range(1, objects + 1)]
    return float(np.mean(found)), time.process_time() - begun


def whole_set(predictions: Sequences, decoded: bool) -> tuple[float, float]:
    """Seconds on the clock and of a core for the whole set, PROCESSES at a time."""
    _VIDEOS[:] = validation_set(predictions)
    _DECODED.clear()
    if decoded:
        _DECODED.update(
            {png: read(png) for png in {png for video in _VIDEOS for *pair, _ in video for png in pair}}
        )
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("fork")) as pool:
        list(pool.map(time.sleep, [0.1] * PROCESSES))  # both have started
        begun = time.perf_counter()
        results = list(pool.map(_score_video, range(VIDEOS)))
        clock = time.perf_counter() - begun
    return clock, sum(core for _, core in results)


def page() -> str:
    """The page that shows it."""
    about, predictions, truths = sequences()
    missing = [n for n in ("davis2017-evaluation", "vos-benchmark") if n not in tools()]
    lines = [
        "# Scoring",
        "",
        f"J and F of masks of 854 x 480 by `evaluation/metrics/masks.py` and by other tools: {about}. Every "
        "tool gets the same masks as arrays of bool; all agree in every digit, or this benchmark fails.",
        "",
        f"`python -m benchmarks.scoring --write`: {platform.machine()}; seconds of a core (one thread), the "
        f"best of {TURNS} turns of every frame, the tools alternately. {os.cpu_count()} cores with a load of "
        f"{os.getloadavg()[0]:.1f} at the start: what else ran makes the time on the clock longer.",
        *(f"{name} was not installed." for name in missing),
        "",
        "| What | tool | ms a frame | frames/s and core | this project is faster by |",
        "|---|---|---:|---:|---:|",
    ]
    for what, seconds in (
        ("one object", one_object(predictions, truths)),
        ("20 proposals x 5 objects", every_pair(predictions)),
    ):
        for name, each in seconds.items():
            ratio = "" if name == _HERE else f"{each / seconds[_HERE]:.1f}"
            lines.append(f"| {what} | {name} | {each * 1e3:.2f} | {1 / each:.0f} | {ratio} |")
            print(lines[-1], flush=True)
    lines += [
        "",
        f"As many frames as the validation set of DAVIS 2017 ({VIDEOS} videos, {OBJECTS} objects, {FRAMES:,} "
        f"frames; label images against those of the next frame), {PROCESSES} processes; the aim is "
        f"{AIM_S:.0f} s:",
        "",
        "| From | on the clock | seconds of a core, each |",
        "|---|---:|---:|",
    ]
    for source, decoded in (("label images in memory", True), ("PNG", False)):
        turns = [whole_set(predictions, decoded) for _ in range(TURNS)]
        clock, core = (min(times) for times in zip(*turns, strict=True))
        lines.append(f"| {source} | {clock:.1f} s | {core / PROCESSES:.1f} s |")
        print(lines[-1], flush=True)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks/scoring.md")
    parser.add_argument(
        "--official",
        action="append",
        default=[],
        metavar="PATH",
        help="folder to import davis2017, vos_benchmark or what they need from; may be given several times",
    )
    options = parser.parse_args()
    sys.path += options.official  # at the end: the environment's own packages go first
    text = page()
    if options.write:
        (DOCS / "scoring.md").write_text(text)
