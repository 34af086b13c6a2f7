"""ST-Align: numberless placeholders, filled from ``variables`` (fractions of the video or ``meta.split``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datasets_prep.demo.corpus import Corpus, Damage, turns
from datasets_prep.demo.phrases import event, sentence, the
from datasets_prep.demo.questions import dealt, scene_questions
from datasets_prep.demo.rng import Deck, digest
from datasets_prep.demo.scene import Scene, SceneObject
from pipeline.draw import stream
from pipeline.plan.demo import DemoConfig, QuestionKind

OUT = "{<TEMP-OUTPUT><TEMP-OUTPUT>}"
_SPLIT_EVERY = 8  # one video in eight is annotated on a part of it only
_QA_PER_VIDEO = 2
QA_END = "Answer with the option's letter from the given choices directly and only give the best option."
# stage, file, source of the videos
FILES = (
    ("stage2", "vtime", "InternVid"),
    ("stage3", "didemo", "DiDeMo"),
    ("stage3", "coin", "COIN"),
    ("stage3", "activitynet_rtl", "ActivityNet"),
    ("stage3", "videoqa", "ShareGPT4Video"),
)
Clip = tuple[int, int]  # first and last frame, both inside


def build(config: DemoConfig, scenes: list[Scene]) -> Corpus:
    """Each scene is in the folder of one temporal source; QA is asked about all of them."""
    corpus = Corpus(name="st_align")
    deck = Deck(config.seed, "st_align")
    rows: dict[str, list[dict[str, Any]]] = {name: [] for _, name, _ in FILES}
    for index, scene in enumerate(scenes):
        _, name, source = FILES[index % 4]
        # Some published names hold spaces; readers that build shell commands from them fail here.
        video = f"v {index:03d} clip.mp4" if index % 16 == 5 else _file_name(scene)
        corpus.videos.append((scene, f"videos/{source}/{video}"))
        clip = _clip(scene) if index % _SPLIT_EVERY == 3 else None
        rows[name].extend(_temporal_rows(scene, name, video, clip))
        corpus.videos.append((scene, f"videos/ShareGPT4Video/{_file_name(scene)}"))
        rows["videoqa"].extend(_question_rows(scene, _file_name(scene), deck, config.questions))
    if config.damage and rows["vtime"]:
        _add_damage(corpus, rows["vtime"])
    for stage, name, _ in FILES:
        corpus.add_list(f"{stage}/{name}.json", rows[name])
    for stage in ("stage2", "stage3"):
        corpus.texts[f"{stage}.yaml"] = _stage_yaml(stage, rows)
    return corpus


def _temporal_rows(scene: Scene, name: str, video: str, clip: Clip | None) -> list[dict[str, Any]]:
    """Grounding of each event, dense captions of all events, and the event of a given time.

    The three tasks are asked about the same objects, because one of them alone teaches a model little.
    """
    events = scene.events
    rows = [_grounding(scene, video, item, clip, k) for k, item in enumerate(events)]
    rows.append(_dense(scene, video, events, clip))
    spans = [(item.first_frame, item.end_frame) for item in scene.objects]
    alone = [item for item in events if spans.count((item.first_frame, item.end_frame)) == 1]
    rows.extend(_reference(scene, video, item, clip) for item in alone[:1])
    if name == "coin":
        late = [item for item in events if item.first_frame > (clip[0] if clip else 0)]
        rows.extend(_instant(scene, video, item, clip) for item in late[:1])
    return [{"id": f"{row['type']}_{name}_{scene.name}_{k}", **row} for k, row in enumerate(rows)]


def _row(
    scene: Scene,
    kind: str,
    video: str,
    clip: Clip | None,
    texts: tuple[str, str],
    inputs: Sequence[int] = (),
    outputs: Sequence[int] = (),
) -> dict[str, Any]:
    """``inputs`` and ``outputs`` are frames of the scene (an end is the frame after the last one)."""
    talk = turns(f"<video>\n{texts[0]}", texts[1])
    row: dict[str, Any] = {"type": kind, "video": video, "conversations": talk}
    if clip:
        row["meta"] = {"split": list(clip)}
    first, frames = (clip[0], clip[1] - clip[0] + 1) if clip else (0, scene.frames)
    row["variables"] = {
        "temporal_input_locations": [round((f - first) / frames, 3) for f in inputs],
        "temporal_output_locations": [round((f - first) / frames, 3) for f in outputs],
        "spatial_height_input_locations": [],
        "spatial_height_output_locations": [],
        "spatial_width_input_locations": [],
        "spatial_width_output_locations": [],
    }
    return row


def _grounding(scene: Scene, video: str, item: SceneObject, clip: Clip | None, k: int) -> dict[str, Any]:
    """Two ways to ask; the second is the one of the published Charades-STA prompt, with a bare answer."""
    if (k + int(stream(scene.seed, "tvg", scene.name).integers(2))) % 2:
        texts = (f"When does '{event(item)}' happen in the video?", f"It happens in {OUT}.")
    else:
        ask = f"When is {event(item)} occur in the video? Only give the start and end timestamp."
        texts = (ask, OUT)
    return _row(scene, "tvg", video, clip, texts, outputs=(item.first_frame, item.end_frame))


def _dense(scene: Scene, video: str, events: tuple[SceneObject, ...], clip: Clip | None) -> dict[str, Any]:
    answer = " ".join(f"{OUT}, {event(item)}." for item in events)
    frames = [frame for item in events for frame in (item.first_frame, item.end_frame)]
    texts = ("Which shapes appear or vanish, and when are they visible?", answer)
    return _row(scene, "dvc", video, clip, texts, outputs=frames)


def _instant(scene: Scene, video: str, item: SceneObject, clip: Clip | None) -> dict[str, Any]:
    texts = (f"When does {the(item)} appear?", "Starts in <TEMP-OUTPUT>.")
    return _row(scene, "dvc", video, clip, texts, outputs=(item.first_frame,))


def _reference(scene: Scene, video: str, item: SceneObject, clip: Clip | None) -> dict[str, Any]:
    question = "Which shape is visible exactly in {<TEMP-INPUT><TEMP-INPUT>}?"
    texts = (question, sentence(the(item)))
    return _row(scene, "tr", video, clip, texts, inputs=(item.first_frame, item.end_frame))


def _question_rows(
    scene: Scene, video: str, deck: Deck, kinds: Sequence[QuestionKind]
) -> list[dict[str, Any]]:
    """Multiple choice with "(A)" options, as in the instruction sets behind ST-Align's VideoQA part."""
    rows = []
    for k, question in enumerate(scene_questions(scene, deck, kinds)[:_QA_PER_VIDEO]):
        options, place = dealt(question, deck, scene.name)
        lines = [f"({chr(65 + i)}) {option}" for i, option in enumerate(options)]
        text = f"Question: {question.text}\nOptions:\n" + "\n".join(lines) + f"\n{QA_END}"
        rows.append({"id": f"qa_{scene.name}_{k}", **_row(scene, "qa", video, None, (text, lines[place]))})
    return rows


def _clip(scene: Scene) -> Clip:
    """A part of the video that holds all of its events."""
    first = min(item.first_frame for item in scene.events)
    last = max(item.end_frame for item in scene.events) - 1
    rng = stream(scene.seed, "clip", scene.name)
    return int(rng.integers(first + 1)), last + int(rng.integers(scene.frames - last))


def _file_name(scene: Scene) -> str:
    return f"v_{digest('st_align', scene.seed, scene.name)[:11]}.mp4"


def _stage_yaml(stage: str, rows: dict[str, list[dict[str, Any]]]) -> str:
    lines = ["datasets:"]
    for of_stage, name, source in FILES:
        if of_stage != stage:
            continue
        # "first" with the full count keeps everything, yet a reader has to understand it.
        sampling = f"first:{len(rows[name])}" if name == "videoqa" else "all"
        lines += [
            f"  - json_path: {stage}/{name}.json",
            f"    data_folder: videos/{source}",
            f"    source: {name}",
            f"    sampling_strategy: {sampling}",
        ]
    return "\n".join(lines) + "\n"


def _add_damage(corpus: Corpus, rows: list[dict[str, Any]]) -> None:
    path = "stage2/vtime.json"
    for key, outputs, why in (
        ("tvg_damaged_placeholders", [0.25], "two placeholders, one value"),
        ("tvg_damaged_fraction", [0.25, 1.75], "a fraction above 1"),
    ):
        row = dict(rows[0], id=key, type="tvg")
        row.pop("meta", None)
        asked = "<video>\nWhen does 'a broken record' happen in the video?"
        row["conversations"] = turns(asked, f"It happens in {OUT}.")
        row["variables"] = {**rows[0]["variables"], "temporal_output_locations": outputs}
        rows.append(row)
        corpus.damage.append(Damage(file=path, key=key, why=why))
