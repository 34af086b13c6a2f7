"""UFVideo-Bench: PixRQA, PixHQA (period and single time) and PixTRQA over a folder of Panda-70M clips.

And its training lists ("UniBench"), task1 to task3, over training scenes.
"""

from __future__ import annotations

from typing import Any

from datasets_prep.demo.corpus import Corpus, turns
from datasets_prep.demo.native_masks import frame_dict
from datasets_prep.demo.phrases import colour_last, motion_sentence, the
from datasets_prep.demo.rng import pick
from datasets_prep.demo.scene import Scene, SceneObject
from datasets_prep.demo.staging import derive_scene
from datasets_prep.demo.videorefer import panda_name, visible_frames
from pipeline.draw import stream
from pipeline.plan.demo import DemoConfig
from pipeline.times import temporal

PIX_RQA, PIX_TRQA = "PixRQA.json", "PixTRQA.json"
PIX_HQA_PERIOD, PIX_HQA_POINT = "PixHQA_time_period.json", "PixHQA_single_time.json"
TASK_1, TASK_2, TASK_3 = "train/task1.json", "train/task2.json", "train/task3.json"
_FOLDER = "Panda-70M-part"
_FRAMES = 8


def build(config: DemoConfig, scenes: list[Scene]) -> Corpus:
    """A third of the items for each task; half of PixHQA asks about a period, half about one time.

    ``scenes``: the training scenes, of which each gets one row in every training list.
    """
    corpus = Corpus(name="ufvideo_bench")
    _add_training(corpus, scenes)
    third = config.ufvideo_bench_items // 3
    counts = {
        PIX_RQA: config.ufvideo_bench_items - 2 * third,
        PIX_HQA_PERIOD: third - third // 2,
        PIX_HQA_POINT: third // 2,
        PIX_TRQA: third,
    }
    for path, count in counts.items():
        rows = []
        for number in range(count):
            stem = path.removesuffix(".json").lower()
            scene = derive_scene(config, f"ufvideo-{stem}-{number:04d}")
            video = f"{_FOLDER}/{panda_name(scene, 'ufvideo_bench')}"
            corpus.videos.append((scene, video))
            rows.append({"id": f"{stem}_{number:04d}", "video": video, **_body(path, scene, number)})
        corpus.add_list(path, rows)
    return corpus


def _add_training(corpus: Corpus, scenes: list[Scene]) -> None:
    if not scenes:
        return
    rows: dict[str, list[dict[str, Any]]] = {TASK_1: [], TASK_2: [], TASK_3: []}
    for number, scene in enumerate(scenes):
        video = f"{_FOLDER}/{panda_name(scene, 'ufvideo_bench')}"
        corpus.videos.append((scene, video))
        hybrid = PIX_HQA_POINT if number % 2 else PIX_HQA_PERIOD
        for path, benchmark in ((TASK_1, PIX_RQA), (TASK_2, hybrid), (TASK_3, PIX_TRQA)):
            task = path.removeprefix("train/").removesuffix(".json")
            row = {"id": f"{task}_{number:04d}", "video": video, "seg": True, "unibench": task}
            rows[path].append({**row, **_body(benchmark, scene, number, training=True)})
    for path, listed in rows.items():
        corpus.add_list(path, listed)


def _task_1(scene: Scene, marked: dict[str, Any], objects: list[int]) -> dict[str, Any]:
    """PixRQA as the training lists write it: every object on all listed frames, null where it is absent."""
    frames = sorted({int(frame) for item in marked["annotation"] for frame in item})
    return {
        "frame_list": frames,
        "annotation": [frame_dict(scene, i, {f: f for f in frames}) for i in objects],
        "conversations": turns(f"<video>\n{marked_question(len(objects))}", marked["caption"]),
    }


def marked_question(objects: int) -> str:
    """The question of PixRQA, which asks about marked objects."""
    names = ", ".join(f"object_{k + 1}: [<region>]" for k in range(objects))
    some = "one object is" if objects == 1 else f"{objects} objects are"
    return f"In this video {some} marked. {names}. Say what each does and give its masks."


def time_token(scene: Scene, frame: int) -> str:
    """The start of a frame as one of the hundred time tokens."""
    return temporal.token(temporal.to_bin(frame, scene.frames))


def _answer(item: SceneObject) -> str:
    return f"{motion_sentence(item)} The segmentation mask of {colour_last(item)} is [SEG]."


def _body(path: str, scene: Scene, number: int, *, training: bool = False) -> dict[str, Any]:
    item = pick(stream(scene.seed, "ufvideo_bench", scene.name), scene.events)
    index = scene.objects.index(item)
    if path == PIX_RQA:
        return _marked(scene, index, number, training=training)
    frames = visible_frames(scene, item, _FRAMES)
    if path == PIX_TRQA:
        text = f"When is {the(item)} visible? Describe it and give its segmentation mask."
        span = f"{{{time_token(scene, item.first_frame)}{time_token(scene, item.end_frame)}}}"
        answer = f"{span}. {_answer(item)}"
    elif path == PIX_HQA_PERIOD:
        span = f"{{{time_token(scene, item.first_frame)}{time_token(scene, item.end_frame)}}}"
        text = f"Give the segmentation mask of {colour_last(item)}. What does it do in {span}?"
        answer = _answer(item)
    else:
        frames = visible_frames(scene, item, 1)
        moment = time_token(scene, frames[0])
        text = f"Give the segmentation mask of {colour_last(item)}. What does it do at {moment}?"
        answer = _answer(item)
    return {
        "frame_idx": frames,
        "annotation": [frame_dict(scene, index, {f: f for f in frames})],
        "conversations": [turns(f"<video>\n{text}", answer)],
    }


def _marked(scene: Scene, index: int, number: int, *, training: bool) -> dict[str, Any]:
    """PixRQA: the first annotated frame of each object is the prompt, the later ones are to be segmented."""
    chosen = [index]
    if number % 3 == 2 and len(scene.objects) > 1:
        chosen.append(next(i for i in range(len(scene.objects)) if i != index))
    captions = [f"object_{k + 1}: {motion_sentence(scene.objects[i])}" for k, i in enumerate(chosen)]
    masks = [f"The segmentation mask of object_{k + 1} is [SEG]." for k in range(len(chosen))]
    annotation = [
        frame_dict(scene, i, {f: f for f in visible_frames(scene, scene.objects[i], _FRAMES)}) for i in chosen
    ]
    marked = {"caption": " ".join([*captions, *masks]), "annotation": annotation}
    return _task_1(scene, marked, chosen) if training else marked
