"""MVBench: ``json/<task>.json`` for seven of its twenty tasks, videos in the folders of its table."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from datasets_prep.demo.corpus import Corpus
from datasets_prep.demo.encode import FrameFolder
from datasets_prep.demo.questions import Question, ask, dealt, existence
from datasets_prep.demo.rng import Deck, digest
from datasets_prep.demo.scene import Scene
from datasets_prep.demo.staging import find_scene
from pipeline.draw import stream
from pipeline.plan.demo import DemoConfig, QuestionKind

_FOLDER_FPS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """``weight`` is the task's share of all items; easy tasks have more."""

    name: str
    folder: str
    kinds: tuple[QuestionKind, ...]
    weight: int
    bounded: bool = False
    frames: bool = False


_STAR = "star/Charades_v1_480"
_CLEVRER = "clevrer/video_validation"
_COLOURS = (
    QuestionKind.COLOUR_PRESENT,
    QuestionKind.COLOUR_OF_SHAPE,
    QuestionKind.COLOUR_OF_LARGEST,
    QuestionKind.COLOUR_OF_MOVING,
)
TASKS = (
    Task(name="object_existence", folder=_CLEVRER, kinds=(QuestionKind.EXISTENCE,), weight=7),
    Task(name="action_count", folder="perception/videos", kinds=(QuestionKind.COUNT,), weight=6),
    Task(
        name="object_interaction",
        folder=_STAR,
        kinds=(QuestionKind.COLOUR_PRESENT, QuestionKind.COLOUR_OF_SHAPE),
        weight=4,
        bounded=True,
    ),
    Task(name="moving_attribute", folder=_CLEVRER, kinds=(QuestionKind.COLOUR_OF_MOVING,), weight=2),
    Task(name="moving_direction", folder=_CLEVRER, kinds=(QuestionKind.DIRECTION,), weight=2),
    Task(name="action_sequence", folder=_STAR, kinds=(QuestionKind.LAST,), weight=1, bounded=True),
    Task(
        name="episodic_reasoning",
        folder="tvqa/frames_fps3_hq",
        kinds=(QuestionKind.COLOUR_PRESENT, QuestionKind.COLOUR_OF_LARGEST),
        weight=2,
        bounded=True,
        frames=True,
    ),
)


def build(config: DemoConfig) -> Corpus:
    """Every item has a scene of its own, chosen so that the answers of a task are evenly distributed."""
    corpus = Corpus(name="mvbench")
    deck = Deck(config.seed, "mvbench")
    tasks = _tasks(config)
    for task, count in zip(tasks, _counts(tasks, config.mvbench_items), strict=True):
        rows = [_item(config, corpus, task, number, deck) for number in range(count)]
        corpus.add_list(f"json/{task.name}.json", rows)
    return corpus


def _tasks(config: DemoConfig) -> list[Task]:
    """The tasks for which the chosen kinds of questions leave a question."""
    kept = [replace(task, kinds=tuple(k for k in task.kinds if k in config.questions)) for task in TASKS]
    return [task for task in kept if task.kinds]


def _counts(tasks: list[Task], total: int) -> list[int]:
    """Items per task: at least one each, the rest by weight, largest remainders first."""
    weights = [task.weight for task in tasks]
    spare = total - len(tasks)
    exact = [spare * w / sum(weights) for w in weights]
    counts = [int(part) for part in exact]
    order = sorted(range(len(tasks)), key=lambda k: counts[k] - exact[k])
    for k in order[: spare - sum(counts)]:
        counts[k] += 1
    return [1 + n for n in counts]


def _answers(config: DemoConfig, kind: QuestionKind) -> tuple[str, ...] | None:
    """All answers of a kind where each can be had at will; None where the scene decides."""
    if kind is QuestionKind.COUNT:
        return tuple(str(n + 1) for n in range(config.max_objects))
    if kind is QuestionKind.DIRECTION:
        return ("to the left", "to the right", "up", "down")
    return None


def _item(config: DemoConfig, corpus: Corpus, task: Task, number: int, deck: Deck) -> dict[str, Any]:
    kind = task.kinds[number % len(task.kinds)]
    question_of = _wanted(config, task, kind, deck)
    scene = find_scene(config, f"mvbench-{task.name}-{number:04d}", lambda s: question_of(s) is not None)
    question = question_of(scene)
    assert question is not None
    options, place = dealt(question, deck, scene.name)
    code = digest("mvbench", scene.seed, scene.name)[:8]
    video = f"clip_{code}" if task.frames else f"{code.upper()}.mp4"
    if task.frames:
        corpus.folders.append((scene, _stills(scene, f"video/{task.folder}/{video}")))
    else:
        corpus.videos.append((scene, f"video/{task.folder}/{video}"))
    row: dict[str, Any] = {
        "video": video,
        "question": question.text,
        "candidates": options,
        "answer": options[place],
    }
    if task.bounded:
        start, end = _bounds(scene, kind)
        row |= {"start": start, "end": end}
    return row


def _wanted(
    config: DemoConfig, task: Task, kind: QuestionKind, deck: Deck
) -> Callable[[Scene], Question | None]:
    if kind is QuestionKind.EXISTENCE:
        return partial(existence, present=bool(deck.deal(2, task.name)))
    answers = _answers(config, kind)
    colours = kind in _COLOURS
    target = answers[deck.deal(len(answers), task.name)] if answers else None
    rank = deck.deal(config.colours, task.name) if colours else None

    def question_of(scene: Scene) -> Question | None:
        question = ask(scene, kind)
        if question is None or (target is not None and question.answer != target):
            return None
        if rank is not None and question.answer != scene.palette[rank]:
            return None
        return question

    return question_of


def _bounds(scene: Scene, kind: QuestionKind) -> tuple[float, float]:
    """Seconds of a window in which the answer is the same as in the whole video.

    It takes in all appearances but the very start, so every shape of the scene is seen in it for a while.
    """
    rng = stream(scene.seed, "bounds", scene.name, kind)
    first_end = min(item.end_frame for item in scene.objects)
    later = [item.first_frame for item in scene.objects if item.first_frame > 0]
    first = int(min([first_end, *later]) * 0.5 * rng.random())
    last_start = max(item.first_frame for item in scene.objects)
    shown = min(item.end_frame for item in scene.objects if item.first_frame == last_start)
    end = shown + int((scene.frames - shown) * rng.random())
    return round(scene.seconds(first), 1), min(round(scene.seconds(end), 1), int(scene.duration * 10) / 10)


def _stills(scene: Scene, path: str) -> FrameFolder:
    """Three frames a second, numbered from 00001, the last one for what is left of a third of a second."""
    count = math.ceil(scene.duration * _FOLDER_FPS - 1e-9)
    indexes = tuple(min(scene.frames - 1, int(k * scene.fps / _FOLDER_FPS)) for k in range(count))
    return FrameFolder(path=path, indexes=indexes, names=tuple(f"{k + 1:05d}.jpg" for k in range(count)))
