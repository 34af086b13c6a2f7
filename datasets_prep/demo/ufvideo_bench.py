"""UFVideo-Bench: PixRQA, PixHQA (period and single time) and PixTRQA over a folder of Panda-70M clips."""

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
_FOLDER = "Panda-70M-part"
_FRAMES = 8


def build(config: DemoConfig) -> Corpus:
    """A third of the items for each task; half of PixHQA asks about a period, half about one time."""
    corpus = Corpus(name="ufvideo_bench")
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


def time_token(scene: Scene, frame: int) -> str:
    """The start of a frame as one of the hundred time tokens."""
    return temporal.token(temporal.to_bin(frame, scene.frames))


def _answer(item: SceneObject) -> str:
    return f"{motion_sentence(item)} The segmentation mask of {colour_last(item)} is [SEG]."


def _body(path: str, scene: Scene, number: int) -> dict[str, Any]:
    item = pick(stream(scene.seed, "ufvideo_bench", scene.name), scene.events)
    index = scene.objects.index(item)
    if path == PIX_RQA:
        return _marked(scene, index, number)
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


def _marked(scene: Scene, index: int, number: int) -> dict[str, Any]:
    """PixRQA: the first annotated frame of each object is the prompt, the later ones are to be segmented."""
    chosen = [index]
    if number % 3 == 2 and len(scene.objects) > 1:
        chosen.append(next(i for i in range(len(scene.objects)) if i != index))
    captions = [f"object_{k + 1}: {motion_sentence(scene.objects[i])}" for k, i in enumerate(chosen)]
    masks = [f"The segmentation mask of object_{k + 1} is [SEG]." for k in range(len(chosen))]
    annotation = [
        frame_dict(scene, i, {f: f for f in visible_frames(scene, scene.objects[i], _FRAMES)}) for i in chosen
    ]
    return {"caption": " ".join([*captions, *masks]), "annotation": annotation}
