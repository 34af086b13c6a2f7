"""Cost of baked frames: bytes and decoding time of the frames that a model gets, per video.

``python -m benchmarks.baking VIDEO ...``; ``docs/decisions/0008-baked-frames.md`` has the numbers for some
videos of natural scenes, which cannot be redistributed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.dataset.baked import BakedFootage, FramesReader, to_jpeg, write_frames
from pipeline.media import video
from pipeline.media.footage import Footage, VideoFootage
from pipeline.media.frame_choice import sample_indices
from pipeline.records.sample import VideoRef
from pipeline.storage.location import Location

_SETTINGS = [(None, 95), (None, 85), (1024, 95), (512, 95), (384, 95)]  # longest side, quality


def _best(footage: Footage, indices: Sequence[int], turns: int = 3) -> float:
    """Seconds of the fastest of several decodes."""
    seconds = []
    for _ in range(turns):
        begun = time.perf_counter()
        footage.decode(indices)
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


def main() -> None:
    """Print one line for each video and setting."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--frames", type=int, default=32)
    options = parser.parse_args()
    for path in options.videos:
        info = video.probe(path)
        ref = VideoRef(path=path.name, num_frames=info.num_frames, duration_s=info.duration_s)
        indices = sorted(set(sample_indices(info.num_frames, options.frames)))
        footage = VideoFootage(path, ref)
        pictures = footage.decode(indices)
        whole = path.stat().st_size
        print(f"{path.name}, {info.width} x {info.height}, {info.num_frames} frames, {whole / 1e6:.1f} MB")
        for side, quality in _SETTINGS:
            jpegs = {i: to_jpeg(p, side, quality) for i, p in zip(indices, pictures, strict=True)}
            with tempfile.TemporaryDirectory() as folder:
                out = Location.parse(folder)
                entry = write_frames(out, "s-00000.parquet", [(ref, jpegs)])
                baked = BakedFootage(FramesReader(out), entry.name, ref)
                back = baked.decode(indices)
                read_s = _best(baked, indices)
            off = np.abs(back.astype(int) - pictures).mean() if back.shape == pictures.shape else float("nan")
            print(
                f"  {side or 'as decoded'}, {quality}: {entry.bytes / entry.rows / 1e3:.0f} kB a frame, "
                f"{entry.bytes / whole:.0%} of the video, {off:.2f} levels off; "
                f"{len(indices)} frames in {read_s * 1e3:.0f} ms"
            )
        print(f"  from the video in {_best(footage, indices) * 1e3:.0f} ms")


if __name__ == "__main__":
    main()
