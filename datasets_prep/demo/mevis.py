"""MeViS: frame folders, ``meta_expressions.json`` and ``mask_dict.json`` for train and valid_u."""

from __future__ import annotations

from typing import Any

from datasets_prep.demo.corpus import Corpus, Damage
from datasets_prep.demo.encode import FrameFolder
from datasets_prep.demo.native_masks import tracks
from datasets_prep.demo.phrases import Expression, expressions
from datasets_prep.demo.rng import digest, pick
from datasets_prep.demo.scene import Scene
from datasets_prep.demo.staging import derive_scene
from pipeline.draw import stream
from pipeline.plan.demo import DemoConfig

_FRAMES = 16
_VALID_EXPRESSIONS = 2


def frame_indexes(scene: Scene) -> tuple[int, ...]:
    """Up to sixteen frames at equal distances: the middle of each sixteenth of the video."""
    count = min(_FRAMES, scene.frames)
    return tuple((2 * k + 1) * scene.frames // (2 * count) for k in range(count))


def video_id(scene: Scene) -> str:
    return digest("mevis", scene.seed, scene.name)[:12]


def frame_folder(scene: Scene, parent: str) -> FrameFolder:
    """``<parent>/<video id>/00000.jpg`` ..."""
    indexes = frame_indexes(scene)
    names = tuple(f"{k:05d}.jpg" for k in range(len(indexes)))
    return FrameFolder(path=f"{parent}/{video_id(scene)}", indexes=indexes, names=names)


def valid_scenes(config: DemoConfig) -> list[Scene]:
    """Held-out scenes; VideoRefer-Bench-Q asks about the same folders, as it does in real life."""
    return [derive_scene(config, f"mevis-valid-{i:04d}") for i in range(config.mevis_valid_videos)]


def build(config: DemoConfig, scenes: list[Scene]) -> Corpus:
    """``train`` from the training scenes, ``valid_u`` from its own."""
    corpus = Corpus(name="mevis")
    _add_split(corpus, "train", [(scene, expressions(scene)) for scene in scenes])
    held_out = [(scene, _two(expressions(scene), scene)) for scene in valid_scenes(config)]
    _add_split(corpus, "valid_u", held_out)
    if config.damage and scenes:
        path = "train/meta_expressions.json"
        name = video_id(scenes[0])
        video = corpus.documents[path]["videos"][name]
        key = str(len(video["expressions"]))
        video["expressions"][key] = {"exp": "the shape that nobody drew", "obj_id": [9], "anno_id": [999999]}
        corpus.records[path] += 1
        corpus.damage.append(Damage(file=path, key=f"{name}_{key}", why="its mask is not in mask_dict.json"))
    return corpus


def _two(found: list[Expression], scene: Scene) -> list[Expression]:
    """One object by its full name, and one other expression."""
    rng = stream(scene.seed, "mevis-valid", scene.name)
    first = found[int(rng.integers(len(scene.objects)))]
    rest = [item for item in found if item is not first]
    return [first, pick(rng, rest)][:_VALID_EXPRESSIONS]


def _add_split(corpus: Corpus, split: str, items: list[tuple[Scene, list[Expression]]]) -> None:
    videos: dict[str, Any] = {}
    masks: dict[str, Any] = {}
    count = 0
    for number, (scene, found) in enumerate(items):
        folder = frame_folder(scene, f"{split}/JPEGImages")
        corpus.folders.append((scene, folder))
        base = len(masks)
        for track in tracks(scene, folder.indexes):
            masks[str(len(masks))] = track
        videos[video_id(scene)] = {
            "vid_id": number,
            "frames": [name.removesuffix(".jpg") for name in folder.names],
            "expressions": {
                str(k): {
                    "exp": item.text,
                    "obj_id": list(item.objects),
                    "anno_id": [base + index for index in item.objects],
                }
                for k, item in enumerate(found)
            },
        }
        count += len(found)
    corpus.documents[f"{split}/meta_expressions.json"] = {"videos": videos}
    corpus.documents[f"{split}/mask_dict.json"] = masks
    corpus.records[f"{split}/meta_expressions.json"] = count
