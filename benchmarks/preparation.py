"""Preparation of annotations in the format of LLaVA-Video, against a plain script without any checks.

The plain script loads the whole array with orjson, makes a table with pyarrow and writes it: one process, no
validation, no media, no Ray. This project streams the same array through the ordinary preparation with an
embedded Ray cluster of two CPUs, which is started within the measured time, and probes the videos. Memory is
the peak over a separate run of the summed proportional set sizes of all its processes, including Ray's.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.compare import DOCS

_VIDEOS = 2000
_FOLDER = "liwei_youtube_videos/videos/youtube_video_2024"
_TEXT = """
the a man woman dog child runs walks slowly near red blue car street while holding large small object and then
turns left right before leaving frame camera shows kitchen table window light hand ball video person
"""
_WORDS = _TEXT.split()

_PLAIN = """
import sys
import orjson, pyarrow as pa, pyarrow.parquet as pq
rows = orjson.loads(open(sys.argv[1], "rb").read())
made = [
    {
        "key": f"bench/{n}",
        "video": row["video"],
        "turns": [{"role": t["from"], "text": t["value"]} for t in row["conversations"]],
        "category": row["data_source"],
    }
    for n, row in enumerate(rows)
]
pq.write_table(pa.Table.from_pylist(made), sys.argv[2] + ".parquet", compression="zstd")
"""
_OURS = """
import sys
from datasets_prep.run import build
from pipeline.jobs.cluster import connect
from pipeline.plan.data import PrepConfig, SourceConfig
from pipeline.plan.runtime import RayConfig
from pipeline.storage.location import Location
source = SourceConfig(name="bench", format="llava_video", annotations=sys.argv[1], media=(sys.argv[3],))
with connect(RayConfig(num_cpus=2, object_store_mb=256)):
    made = build(PrepConfig(sources=(source,)), Location.parse, Location.parse(sys.argv[2]), 0)
print(made.sources[0].model_dump_json())
"""


@dataclass(frozen=True)
class Cost:
    """Time and memory of a script."""

    seconds: float
    peak_bytes: int


def write_annotations(path: Path, records: int, seed: int = 0) -> None:
    """A JSON array: every fifth record multiple choice, the others three questions with their answers."""
    draw = random.Random(seed)

    def sentence(words: int) -> str:
        return " ".join(draw.choices(_WORDS, k=words)).capitalize() + "."

    with path.open("w") as file:
        for n in range(records):
            if n % 5 == 0:
                options = [f"{letter}. {sentence(5)}" for letter in "ABCDE"]
                ask = "\n".join(
                    [sentence(10), "Options:", *options, "Please answer with the letter and the option."]
                )
                talk = [("human", f"<image>\n{ask}"), ("gpt", options[n % 4])]
            else:
                talk = [("human", sentence(14)), ("gpt", sentence(28))] * 3
                talk[0] = ("human", "<image>\n" + talk[0][1])
            record = {
                "id": f"v{n}",
                "conversations": [{"from": who, "value": text} for who, text in talk],
                "data_source": "0_30_s_youtube_v0_1",
                "video": f"{_FOLDER}/ytb_{n % _VIDEOS:06d}.mp4",
            }
            file.write(("[\n" if n == 0 else ",\n") + json.dumps(record))
        file.write("\n]\n")


def write_videos(root: Path) -> None:
    """One small clip under many names: probing reads each of them."""
    import av

    folder = root / _FOLDER
    folder.mkdir(parents=True)
    with av.open(str(folder / "clip.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for k in range(100):
            picture = np.full((240, 320, 3), k * 2, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    for n in range(_VIDEOS):
        os.link(folder / "clip.mp4", folder / f"ytb_{n:06d}.mp4")


def cost(script: str, out: Path, *arguments: object) -> Cost:
    """Run a script twice, each time with a new output: for its time, and then for its memory."""
    seconds, _ = run(script, arguments[0], f"{out}-timed", *arguments[1:])
    _, peak = run(script, arguments[0], f"{out}-memory", *arguments[1:], measure_memory=True)
    return Cost(seconds, peak)


def run(script: str, *arguments: object, measure_memory: bool = False) -> tuple[float, int]:
    """Run a script in a process of its own. Returns seconds, and the peak memory in bytes if measured."""
    environment = os.environ | {"PYTHONPATH": str(DOCS.parents[1]), "UFVIDEO_PROGRESS": "json"}
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)], env=environment, stdout=subprocess.DEVNULL
    )
    peak = [0]
    ended = threading.Event()

    def watch() -> None:  # reading smaps takes about 50 ms, so the time of this run is not used
        while not ended.wait(0.5):
            peak[0] = max(peak[0], sum(map(_pss, _family(process.pid))))

    watcher = threading.Thread(target=watch)
    if measure_memory:
        watcher.start()
    code = process.wait()
    seconds = time.perf_counter() - begun
    ended.set()
    if measure_memory:
        watcher.join()
    if code:
        raise SystemExit(f"the run ended with {code}")
    return seconds, peak[0]


def _family(root: int) -> Sequence[int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (ValueError, OSError):
            continue
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def _pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def main() -> None:
    """Measure, print, and with ``--write`` keep the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks/preparation.md")
    options = parser.parse_args()
    lines = [
        "# Preparation",
        "",
        *(__doc__ or "").splitlines(),
        f"`python -m benchmarks.preparation --write`, {os.cpu_count()} cores, one turn each.",
        "",
        "| Records | JSON | plain | here | time ratio | plain memory | here | memory ratio |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    with tempfile.TemporaryDirectory() as home:
        root = Path(home)
        write_videos(root / "media")
        for records in options.records:
            path = root / f"{records}.json"
            write_annotations(path, records)
            plain = cost(_PLAIN, root / f"plain-{records}", path)
            ours = cost(_OURS, root / f"ours-{records}", path, root / "media")
            lines.append(
                f"| {records:,} | {path.stat().st_size / 1e6:,.0f} MB "
                f"| {plain.seconds:.1f} s | {ours.seconds:.1f} s | {ours.seconds / plain.seconds:.2f} "
                f"| {plain.peak_bytes / 1e6:,.0f} MB | {ours.peak_bytes / 1e6:,.0f} MB "
                f"| {ours.peak_bytes / max(plain.peak_bytes, 1):.2f} |"
            )
            print(lines[-1], flush=True)
            path.unlink()
    if options.write:
        (DOCS / "preparation.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
