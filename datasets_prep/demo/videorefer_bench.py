"""VideoRefer-Bench-Q over the MeViS valid_u frame folders."""

from __future__ import annotations

from collections import Counter
from typing import Any

from datasets_prep.demo.corpus import Corpus
from datasets_prep.demo.mevis import frame_folder, frame_indexes, valid_scenes, video_id
from datasets_prep.demo.native_masks import frame_dict
from datasets_prep.demo.region_questions import RegionKind, RegionQuestion, lettered, region_questions
from datasets_prep.demo.rng import Deck
from datasets_prep.demo.scene import Scene
from pipeline.plan.demo import DemoConfig

ANNOTATIONS = "VideoRefer-Bench-Q.json"
_PARENT = "MeViS/valid_u/JPEGImages"
_FRAMES = 8
# Easy questions first in number; the other types keep their readers honest.
_TURN = (
    RegionKind.BASIC,
    RegionKind.BASIC,
    RegionKind.SEQUENTIAL,
    RegionKind.BASIC,
    RegionKind.RELATIONSHIP,
    RegionKind.BASIC,
    RegionKind.REASONING,
    RegionKind.BASIC,
    RegionKind.SEQUENTIAL,
    RegionKind.FUTURE,
)


def build(config: DemoConfig) -> Corpus:
    """Questions in turn over the videos, each of a type that its video can answer, answers evened out."""
    corpus = Corpus(name="videorefer_bench")
    deck = Deck(config.seed, "videorefer_bench")
    scenes = valid_scenes(config)
    corpus.folders.extend((scene, frame_folder(scene, _PARENT)) for scene in scenes)
    given: Counter[tuple[str, str]] = Counter()
    asked: set[tuple[str, str, tuple[int, ...]]] = set()
    rows: list[dict[str, Any]] = []
    while len(rows) < config.videorefer_bench_items:
        scene = scenes[len(rows) % len(scenes)]
        kind = _TURN[len(rows) % len(_TURN)]
        open_ones = [q for q in region_questions(scene) if (scene.name, q.text, q.objects) not in asked]
        if not open_ones:
            raise ValueError(
                f"videorefer_bench_items={config.videorefer_bench_items} is more than "
                f"{len(scenes)} valid_u videos can answer; raise mevis_valid_videos"
            )
        fitting = [q for q in open_ones if q.kind is kind] or open_ones
        question = min(fitting, key=lambda q: given[q.kind, q.answer])
        given[question.kind, question.answer] += 1
        asked.add((scene.name, question.text, question.objects))
        rows.append({"id": len(rows), **_row(scene, question, deck)})
    corpus.add_list(ANNOTATIONS, rows)
    return corpus


def _row(scene: Scene, question: RegionQuestion, deck: Deck) -> dict[str, Any]:
    options, place = lettered(question, deck, scene.name)
    frames = dict(enumerate(frame_indexes(scene)))
    annotation = []
    for index in question.objects:
        shown = [key for key, frame in frames.items() if scene.objects[index].shows_in(frame)]
        keys = shown[:: -(-len(shown) // _FRAMES)]
        annotation.append(frame_dict(scene, index, {key: frames[key] for key in keys}))
    prompt_frame = next(iter(annotation[0]))
    for index, track in zip(question.objects, annotation, strict=True):
        # Every object is annotated at the prompt frame, as null where it does not show.
        if prompt_frame not in track:
            track.update(frame_dict(scene, index, {int(prompt_frame): frames[int(prompt_frame)]}))
    return {
        "video": f"{_PARENT}/{video_id(scene)}",
        "Question": question.text,
        "options": options,
        "Answer": options[place],
        "type": str(question.kind),
        "frame_idx": prompt_frame,
        "annotation": annotation,
    }
