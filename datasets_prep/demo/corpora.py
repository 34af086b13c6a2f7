"""Writes all demo corpora under one root."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from datasets_prep.demo import (
    charades_sta,
    internvid_tg,
    llava_video,
    mevis,
    mvbench,
    st_align,
    ufvideo_bench,
    videorefer,
    videorefer_bench,
)
from datasets_prep.demo.corpus import Corpus
from datasets_prep.demo.encode import FrameFolder, MediaJob, write_media
from datasets_prep.demo.scene import Scene
from datasets_prep.demo.staging import train_scenes
from pipeline.plan.demo import DemoConfig

MediaFunction = Callable[[MediaJob], int]
MapFunction = Callable[[MediaFunction, Sequence[MediaJob]], Iterable[int]]
SUMMARY = "corpora_summary.json"


def build_corpora(config: DemoConfig) -> list[Corpus]:
    """All corpora in memory; annotations only, no pixels are encoded."""
    scenes = train_scenes(config, config.train_videos)
    return [
        llava_video.build(config, scenes[: config.videos_of(config.llava_video_share)]),
        videorefer.build(config, scenes[: config.videos_of(config.videorefer_share)]),
        mevis.build(config, scenes[: config.videos_of(config.mevis_share)]),
        st_align.build(config, scenes[: config.videos_of(config.st_align_share)]),
        internvid_tg.build(config, scenes[: config.videos_of(config.internvid_tg_share)]),
        mvbench.build(config),
        videorefer_bench.build(config),
        charades_sta.build(config),
        ufvideo_bench.build(config, scenes[: config.videos_of(config.ufvideo_bench_share)]),
    ]


def media_jobs(corpora: Sequence[Corpus]) -> list[MediaJob]:
    """One job per scene with all of its files: a scene that several corpora use is encoded once."""
    scenes: dict[str, Scene] = {}
    videos: dict[str, dict[str, None]] = {}
    folders: dict[str, dict[FrameFolder, None]] = {}
    for corpus in corpora:
        for scene, path in corpus.videos:
            scenes[scene.name] = scene
            videos.setdefault(scene.name, {})[f"{corpus.name}/{path}"] = None
        for scene, folder in corpus.folders:
            scenes[scene.name] = scene
            placed = FrameFolder(
                path=f"{corpus.name}/{folder.path}", indexes=folder.indexes, names=folder.names
            )
            folders.setdefault(scene.name, {})[placed] = None
    return [
        MediaJob(scene=scene, videos=tuple(videos.get(name, ())), folders=tuple(folders.get(name, ())))
        for name, scene in scenes.items()
    ]


def write_corpora(config: DemoConfig, root: Path, map_fn: MapFunction = map) -> dict[str, Any]:
    """Write everything under ``root`` and return the summary, which is written last.

    ``map_fn(function, jobs)`` may run the jobs in any order and anywhere that sees ``root``; jobs and
    function can be pickled, and the bytes do not depend on how they are run.
    """
    corpora = build_corpora(config)
    root.mkdir(parents=True, exist_ok=True)
    jobs = media_jobs(corpora)
    media_bytes = sum(map_fn(partial(write_media, root), jobs))
    for corpus in corpora:
        for path, value in corpus.documents.items():
            _write(root / corpus.name / path, json.dumps(value, ensure_ascii=False).encode())
        for path, text in corpus.texts.items():
            _write(root / corpus.name / path, text.encode())
        for path, blob in corpus.blobs.items():
            _write(root / corpus.name / path, blob)
    summary = {
        "scenes": len(jobs),
        "media_bytes": media_bytes,
        "corpora": {corpus.name: _count(corpus) for corpus in corpora},
    }
    _write(root / SUMMARY, json.dumps(summary, indent=1).encode())
    return summary


def _count(corpus: Corpus) -> dict[str, Any]:
    return {
        "videos": len({path for _, path in corpus.videos}),
        "frame_folders": len({folder.path for _, folder in corpus.folders}),
        "records": corpus.records,
        "damaged": [asdict(item) for item in corpus.damage],
    }


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
