"""LLaVA-Video-178K: open-ended and multiple-choice question lists in buckets by length and source."""

from __future__ import annotations

from typing import Any

from datasets_prep.demo.corpus import Corpus, Damage, turns
from datasets_prep.demo.questions import Question, dealt, scene_questions
from datasets_prep.demo.rng import Deck, digest
from datasets_prep.demo.scene import Scene
from pipeline.draw import stream
from pipeline.plan.demo import DemoConfig

BUCKETS = ("0_30_s_academic_v0_1", "0_30_s_youtube_v0_1")
_MC_PER_VIDEO = 5
_OE_PER_VIDEO = 3
_MC_END = "Please provide your answer by stating the letter followed by the full option."


def build(config: DemoConfig, scenes: list[Scene]) -> Corpus:
    """Even scenes go to the academic bucket, odd ones to the YouTube bucket."""
    corpus = Corpus(name="llava_video")
    deck = Deck(config.seed, "llava_video")
    for number, bucket in enumerate(BUCKETS):
        open_rows: list[dict[str, Any]] = []
        choice_rows: list[dict[str, Any]] = []
        for index in range(number, len(scenes), len(BUCKETS)):
            scene = scenes[index]
            video = _video_path(scene, bucket)
            # Real ids are strings in one list and integers in the next, and repeat between lists.
            row = {"id": index if number else str(index), "data_source": bucket, "video": video}
            corpus.videos.append((scene, f"{bucket}/{video}"))
            asked = scene_questions(scene, deck, config.questions)
            open_rows.append({**row, "conversations": _open_ended(scene, asked[:_OE_PER_VIDEO])})
            for question in asked[:_MC_PER_VIDEO]:
                choice_rows.append({**row, "conversations": multiple_choice(question, deck, scene.name)})
        stem = bucket.removesuffix("_v0_1")
        corpus.add_list(f"{bucket}/{stem}_oe_v0_1_qa_processed.json", open_rows)
        corpus.add_list(f"{bucket}/{stem}_mc_v0_1_qa_processed.json", choice_rows)
        if config.damage and number == 0:
            _add_damage(corpus, bucket, f"{bucket}/{stem}_mc_v0_1_qa_processed.json", choice_rows)
    return corpus


def multiple_choice(question: Question, deck: Deck, name: str) -> list[dict[str, str]]:
    """Options "A." to "D." on lines of their own; the answer is the letter and the full option."""
    options, place = dealt(question, deck, name)
    lines = [f"{chr(65 + i)}. {option}." for i, option in enumerate(options)]
    return turns(f"<image>\n{question.text}\nOptions:\n" + "\n".join(lines) + f"\n{_MC_END}", lines[place])


def _open_ended(scene: Scene, asked: list[Question]) -> list[dict[str, str]]:
    """Several questions in one dialogue; only the first turn holds the marker."""
    order = stream(scene.seed, "open", scene.name).permutation(len(asked))
    pairs = [(asked[i].text, asked[i].statement) for i in order]
    texts = [text for pair in pairs for text in pair]
    return turns(f"<image>\n{texts[0]}", *texts[1:])


def _video_path(scene: Scene, bucket: str) -> str:
    code = digest("llava_video", scene.seed, scene.name)
    if bucket == BUCKETS[0]:
        return f"academic_source/Charades/{code[:5].upper()}{scene.name[-5:]}.mp4"
    return f"liwei_youtube_videos/videos/youtube_video_2024/ytb_{code[:11]}.mp4"


def _add_damage(corpus: Corpus, bucket: str, path: str, rows: list[dict[str, Any]]) -> None:
    asked = "<image>\nIs there a red circle in the video?\nOptions:\nA. yes.\nB. no.\n"
    talk = turns(f"{asked}{_MC_END}", "A. yes.")
    corrupt = "academic_source/Charades/CORRUPT.mp4"
    corpus.blobs[f"{bucket}/{corrupt}"] = b"\x00\x00\x00\x18ftypmp42" + bytes(range(256)) * 8
    for key, video, conversations, why in (
        ("damaged-corrupt", corrupt, talk, "the video cannot be decoded"),
        ("damaged-missing", "academic_source/Charades/NOTTHERE.mp4", talk, "the video file is missing"),
        ("damaged-unanswered", rows[0]["video"], talk[:1], "the question has no answer"),
    ):
        rows.append({"id": key, "conversations": conversations, "data_source": bucket, "video": video})
        corpus.damage.append(Damage(file=path, key=key, why=why))
    corpus.records[path] = len(rows)
