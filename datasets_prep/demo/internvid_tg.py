"""InternVid-TG in DisTime's form: ``<TIME_STAMP>`` in the answer, seconds in ``tgt``."""

from __future__ import annotations

import math
from typing import Any

from datasets_prep.demo.corpus import Corpus, Damage, turns
from datasets_prep.demo.phrases import event
from datasets_prep.demo.rng import digest
from datasets_prep.demo.scene import Scene, SceneObject
from pipeline.plan.demo import DemoConfig

ANNOTATIONS = "internvid_tg.json"


def build(config: DemoConfig, scenes: list[Scene]) -> Corpus:
    """One row per event, and one that asks for two events where a scene has two."""
    corpus = Corpus(name="internvid_tg")
    rows: list[dict[str, Any]] = []
    for scene in scenes:
        video = f"{digest('internvid_tg', scene.seed, scene.name)[:11]}.mp4"
        corpus.videos.append((scene, f"videos/{video}"))
        events = scene.events
        rows.extend(_row(scene, video, item) for item in events)
        if len(events) > 1:
            rows.append(_row(scene, video, *events[:2]))
    if config.damage and scenes:
        first = scenes[0]
        video = rows[0]["video"]
        late = [round(first.duration + 40, 2), round(first.duration + 45, 2)]
        for tgt, what, why in (
            ([1.0, 2.0, 3.0], "a span of three numbers", "tgt does not hold one pair per <TIME_STAMP>"),
            (late, "what comes after the end", "the span lies past the end of the video"),
        ):
            talk = turns(f"<video>\nLocate '{what}'.", "<TIME_STAMP>")
            rows.append({"video": video, "tgt": tgt, "conversations": talk})
            corpus.damage.append(Damage(file=ANNOTATIONS, key=f"row {len(rows) - 1}", why=why))
    corpus.add_list(ANNOTATIONS, rows)
    return corpus


def _row(scene: Scene, video: str, *items: SceneObject) -> dict[str, Any]:
    asked = " and ".join(f"'{event(item)}'" for item in items)
    return {
        "video": video,
        # Rounded down: up would put the end of a span past the end of its video.
        "tgt": [math.floor(second * 100) / 100 for item in items for second in scene.span(item)],
        "conversations": turns(f"<video>\nLocate {asked}.", " ".join(["<TIME_STAMP>"] * len(items))),
    }
