"""Charades-STA test: one line per query, ``<VID> <start> <end>##<sentence>.``"""

from __future__ import annotations

from datasets_prep.demo.corpus import Corpus
from datasets_prep.demo.phrases import event
from datasets_prep.demo.rng import digest
from datasets_prep.demo.staging import derive_scene
from pipeline.plan.demo import DemoConfig

ANNOTATIONS = "charades_sta_test.txt"


def build(config: DemoConfig) -> Corpus:
    """Held-out videos, asked about each of their events until there are enough lines."""
    corpus = Corpus(name="charades_sta")
    lines: list[str] = []
    number = 0
    while len(lines) < config.charades_sta_items:
        scene = derive_scene(config, f"charades-{number:04d}")
        number += 1
        name = digest("charades_sta", scene.seed, scene.name)[:5].upper()
        corpus.videos.append((scene, f"Charades_v1_480/{name}.mp4"))
        for item in scene.events:
            start, end = scene.span(item)
            # One decimal, as published; an end must not be rounded past the end of the video.
            stop = min(round(end, 1), int(scene.duration * 10) / 10)
            lines.append(f"{name} {round(start, 1)} {stop}##{event(item)}.")
    lines = lines[: config.charades_sta_items]
    corpus.texts[ANNOTATIONS] = "\n".join(lines) + "\n"
    corpus.records[ANNOTATIONS] = len(lines)
    return corpus
