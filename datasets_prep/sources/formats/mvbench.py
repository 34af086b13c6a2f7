"""MVBench: one JSON list per task, ``json/<task>.json``, videos in the folder of each task.

Format: https://huggingface.co/datasets/OpenGVLab/MVBench.
"""

from __future__ import annotations

from typing import Any

from datasets_prep.draft import Draft, DraftTurn, Media, Reason, RejectError
from datasets_prep.sources.bases.fields import clip_of, mapping, media_of, text_field
from datasets_prep.sources.bases.format import Format
from datasets_prep.sources.bases.reader import ListReader, Record
from pipeline.plan.data import SourceConfig
from pipeline.records.sample import Role, Task

_TVQA_FPS = 3.0  # its folder is called frames_fps3_hq
# file -> name in published tables, video folder
TASKS = {
    "action_sequence": ("Action Sequence", "star/Charades_v1_480"),
    "action_prediction": ("Action Prediction", "star/Charades_v1_480"),
    "action_antonym": ("Action Antonym", "ssv2_video"),
    "fine_grained_action": ("Fine-grained Action", "Moments_in_Time_Raw/videos"),
    "unexpected_action": ("Unexpected Action", "FunQA_test/test"),
    "object_existence": ("Object Existence", "clevrer/video_validation"),
    "object_interaction": ("Object Interaction", "star/Charades_v1_480"),
    "object_shuffle": ("Object Shuffle", "perception/videos"),
    "moving_direction": ("Moving Direction", "clevrer/video_validation"),
    "action_localization": ("Action Localization", "sta/sta_video"),
    "scene_transition": ("Scene Transition", "scene_qa/video"),
    "action_count": ("Action Count", "perception/videos"),
    "moving_count": ("Moving Count", "clevrer/video_validation"),
    "moving_attribute": ("Moving Attribute", "clevrer/video_validation"),
    "state_change": ("State Change", "perception/videos"),
    "fine_grained_pose": ("Fine-grained Pose", "nturgbd"),
    "character_order": ("Character Order", "perception/videos"),
    "egocentric_navigation": ("Egocentric Navigation", "vlnqa"),
    "episodic_reasoning": ("Episodic Reasoning", "tvqa/frames_fps3_hq"),
    "counterfactual_inference": ("Counterfactual Inference", "clevrer/video_validation"),
}


class MvBench(ListReader):
    """One draft per question; ``category`` is the task's published name."""

    suffixes = (".json",)

    def media(self, record: Record, source: SourceConfig, seed: int) -> tuple[Media, ...]:
        """Below the task's own folder."""
        return (_media(mapping(record.raw), TASKS.get(record.file, ("", ""))[1]),)

    def convert(self, record: Record, source: SourceConfig, seed: int) -> list[Draft]:
        """``start`` and ``end`` bound the clip. If candidates are equal, the first one is the answer."""
        raw = mapping(record.raw)
        name, folder = TASKS.get(record.file, (record.file, ""))
        candidates = raw.get("candidates")
        if (
            not isinstance(candidates, list)
            or len(candidates) < 2
            or not all(isinstance(c, str) for c in candidates)
        ):
            raise RejectError(Reason.MALFORMED, "`candidates` is not a list of at least two texts")
        answer = text_field(raw, "answer")
        if answer not in candidates:
            raise RejectError(
                Reason.BAD_CHOICE, f"answer {answer!r} is none of the {len(candidates)} candidates"
            )
        return [
            Draft(
                key=record.key,
                task=Task.CHOICE,
                media=_media(raw, folder),
                turns=(DraftTurn(role=Role.USER, text=text_field(raw, "question").strip()),),
                clip=clip_of(raw),
                choices=tuple(c.strip() for c in candidates),
                answer_index=candidates.index(answer),
                category=name,
                type=record.file,
            )
        ]


def _media(raw: Any, folder: str) -> Media:
    return media_of(raw.get("video"), folder, f"video/{folder}" if folder else "", folder_fps=_TVQA_FPS)


FORMAT = Format(
    name="mvbench",
    about="MVBench: one JSON list per task",
    tasks=(Task.CHOICE,),
    reader=MvBench(),
    named_alone=True,
)
