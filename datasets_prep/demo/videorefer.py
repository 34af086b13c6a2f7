"""VideoRefer-700K: short captions, detailed captions and QA about marked objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datasets_prep.demo.corpus import Corpus, Damage, turns
from datasets_prep.demo.mevis import frame_folder, frame_indexes, video_id
from datasets_prep.demo.native_masks import compressed, frame_dict, polygon_dict, uncompressed
from datasets_prep.demo.phrases import describe, sentence
from datasets_prep.demo.region_questions import RegionQuestion, lettered, region_questions
from datasets_prep.demo.render import visible_masks
from datasets_prep.demo.rng import Deck, digest
from datasets_prep.demo.scene import Scene, SceneObject
from pipeline.draw import stream
from pipeline.plan.demo import DemoConfig

SHORT = "videorefer-short-caption-500k.json"
DETAILED = "videorefer-detailed-caption-125k.json"
QA = "videorefer-qa-75k.json"
_MULTI = 4
_FOLDER_EVERY = 10  # QA videos of some upstream sets are folders of frames
_QA_PER_VIDEO = 3
_CHOICE_END = "Answer with the option's letter from the given choices directly."


def panda_name(scene: Scene, corpus: str) -> str:
    """``<id>_0:00:10.000_0:00:15.200.mp4``: a clip's times are a part of its name, colons included."""
    end = 10 + scene.duration
    minutes, seconds = divmod(end, 60)
    code = digest(corpus, scene.seed, scene.name)[:11]
    return f"{code}_0:00:10.000_0:{int(minutes):02d}:{seconds:06.3f}.mp4"


def visible_frames(scene: Scene, item: SceneObject, count: int) -> list[int]:
    """``count`` frames spread over the time in which the object shows."""
    length = item.end_frame - item.first_frame
    return sorted({item.first_frame + (2 * k + 1) * length // (2 * count) for k in range(count)})


def absent_frames(scene: Scene, item: SceneObject) -> list[int]:
    """Up to one frame in which the object does not show."""
    if item.first_frame > 0:
        return [item.first_frame // 2]
    return [(item.end_frame + scene.frames) // 2] if item.end_frame < scene.frames else []


def build(config: DemoConfig, scenes: list[Scene]) -> Corpus:
    """Every object of a scene gets a short and a detailed caption; each scene a few questions."""
    corpus = Corpus(name="videorefer")
    deck = Deck(config.seed, "videorefer")
    rows: dict[str, list[dict[str, Any]]] = {SHORT: [], DETAILED: [], QA: []}
    for number, scene in enumerate(scenes):
        video = f"videos/{panda_name(scene, 'videorefer')}"
        corpus.videos.append((scene, video))
        for index, item in enumerate(scene.objects):
            single = {"video": video, "height": scene.height, "width": scene.width}
            middle = visible_frames(scene, item, 1)[0]
            talk = turns("<video>\nWhat is <region>?", sentence(f"a {item.name}"))
            annotation = [_one_frame(scene, index, middle, len(rows[SHORT]))]
            rows[SHORT].append({**single, "conversations": talk, "annotation": annotation})
            talk = turns("<video>\nDescribe <region> in detail.", describe(scene, item))
            annotation = [_many_frames(scene, index, len(rows[DETAILED]))]
            rows[DETAILED].append({**single, "conversations": talk, "annotation": annotation})
        asked = _scene_questions(scene)
        folder = frame_folder(scene, "MeViS/train/JPEGImages") if number % _FOLDER_EVERY == 4 else None
        if folder:
            corpus.folders.append((scene, folder))
        for question in asked:
            place = f"MeViS/train/JPEGImages/{video_id(scene)}" if folder else video
            rows[QA].append(_qa_row(scene, place, question, deck, len(rows[QA]), folder is not None))
    for path, listed in rows.items():
        numbered = [{"id": k, **row} for k, row in enumerate(listed)]
        if config.damage and path == QA and numbered:
            _add_damage(corpus, path, numbered)
        corpus.add_list(path, numbered)
    return corpus


def _scene_questions(scene: Scene) -> list[RegionQuestion]:
    asked = region_questions(scene)
    order = stream(scene.seed, "videorefer-qa", scene.name).permutation(len(asked))
    return [asked[i] for i in order[:_QA_PER_VIDEO]]


def _one_frame(scene: Scene, index: int, frame: int, number: int) -> dict[str, Any]:
    """Mostly compressed RLE; every fifth row polygons, every seventh uncompressed RLE."""
    if number % 5 == 3:
        polygon = polygon_dict(scene, index, frame)
        if polygon:
            return polygon
    mask = visible_masks(scene, frame)[index]
    return {str(frame): {"segmentation": uncompressed(mask) if number % 7 == 2 else compressed(mask)}}


def _many_frames(scene: Scene, index: int, number: int) -> dict[str, Any]:
    """Half of the rows one frame, half several; a few of those with a frame in which it is absent (null)."""
    item = scene.objects[index]
    frames: Sequence[int] = visible_frames(scene, item, _MULTI if number % 2 else 1)
    if number % 6 == 1:
        frames = sorted([*frames, *absent_frames(scene, item)])
    return frame_dict(scene, index, {frame: frame for frame in frames})


def _qa_row(
    scene: Scene, video: str, question: RegionQuestion, deck: Deck, number: int, in_folder: bool
) -> dict[str, Any]:
    """Half open questions, half multiple choice. In a folder, frame keys count the files of the folder."""
    if number % 2:
        options, place = lettered(question, deck, scene.name)
        text, answer = f"{question.text} {' '.join(options)} {_CHOICE_END}", options[place]
    else:
        text, answer = question.text, question.statement
    # The marker trails the question in some published rows.
    asked = f"{text}\n<video>" if number % 9 == 5 else f"<video>\n{text}"
    annotation = []
    for index in question.objects:
        item = scene.objects[index]
        if in_folder:
            frames = {k: f for k, f in enumerate(frame_indexes(scene)) if item.shows_in(f)}
            keys = sorted(frames)[:: max(1, len(frames) // _MULTI)]
            chosen = {k: frames[k] for k in keys}
        else:
            chosen = {f: f for f in visible_frames(scene, item, _MULTI if number % 4 < 2 else 1)}
        annotation.append(frame_dict(scene, index, chosen))
    return {"video": video, "conversations": turns(asked, answer), "annotation": annotation}


def _add_damage(corpus: Corpus, path: str, rows: list[dict[str, Any]]) -> None:
    """Two rows that copy a good one and break its annotation."""
    good = next(row for row in rows if row["video"].endswith(".mp4"))
    key, part = next(iter(good["annotation"][0].items()))
    height, width = part["segmentation"]["size"]
    swapped = {**part["segmentation"], "size": [height + 16, width]}
    talk = turns("<video>\nWhat is <region>?", "A shape.")
    two = turns("<video>\nIs <object1><region> larger than <object2><region>?", "Yes.")
    for name, conversations, annotation, why in (
        ("damaged-size", talk, [{key: {"segmentation": swapped}}], "the mask is not as large as the video"),
        ("damaged-regions", two, good["annotation"][:1], "two <region>, one annotation"),
    ):
        row = {"id": name, "video": good["video"], "conversations": conversations, "annotation": annotation}
        rows.append(row)
        corpus.damage.append(Damage(file=path, key=name, why=why))
