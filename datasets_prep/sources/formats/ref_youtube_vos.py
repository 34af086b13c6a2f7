"""Refer-YouTube-VOS, and Ref-DAVIS17 converted to this layout.

Format: https://youtube-vos.org/dataset/rvos. ``meta_expressions/<split>/meta_expressions.json`` names frames
and, in the training split, the object of each expression; ``<split>/Annotations/<video>/<frame>.png`` has a
pixel's object as its value. ``meta.json`` adds the objects' categories, which are not read. The ground truth
of the validation and test splits is hidden, and the published validation file names the videos of both:
``drop_videos`` with the test file leaves the 202 videos of the validation split.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from datasets_prep.draft import RejectError
from datasets_prep.sources.bases.fields import media_of
from datasets_prep.sources.bases.format import Format
from datasets_prep.sources.bases.label_images import LabelImages, image_bytes, object_ids
from datasets_prep.sources.bases.meta_file import Locate, MetaFile, Target, Tracks
from datasets_prep.sources.bases.reader import Files
from datasets_prep.sources.json.json_file import Chunk, Limits
from pipeline.errors import UserError
from pipeline.plan.data import SourceConfig, Use
from pipeline.records.sample import Task

_HIDDEN = re.compile(r"\.[^/]*")


class RefYoutubeVos(MetaFile):
    """Masks in label images below ``Annotations``."""

    masks_name = "a folder of label images"

    def frames(self, entry: Mapping[str, Any]) -> list[str]:
        """The frames without hidden files that got into the list (``.ipynb_checkpoints``, or "")."""
        frames = entry.get("frames")
        if isinstance(frames, list):
            frames = [f for f in frames if not (isinstance(f, str) and (not f or _HIDDEN.fullmatch(f)))]
        return super().frames({"frames": frames})

    def chunks(self, source: SourceConfig, files: Files, limits: Limits) -> Iterator[Chunk]:
        """As in the base class."""
        if files.masks is not None and not files.masks.is_dir():
            raise UserError(
                f"source {source.name}", f"{files.masks} is not a folder.", "Set `masks` to Annotations."
            )
        return super().chunks(source, files, limits)

    def locate(self, source: SourceConfig, files: Files) -> Locate:
        """No positions; the size is that of the video's images."""

        def of_video(video: str, entry: Mapping[str, Any]) -> tuple[None, int]:
            try:
                folder, frames = _folder(files, video), self.frames(entry)
            except RejectError:  # raised again when its records are converted
                return None, 0
            return None, image_bytes(folder, frames)

        return of_video

    def tracks(self, source: SourceConfig, files: Files, video: str, place: Any) -> Tracks:
        """All expressions of a video share its decoded images."""
        images: list[LabelImages] = []

        def target(expression: Mapping[str, Any], frames: list[str]) -> Target:
            objects = object_ids(expression.get("obj_id"))
            if not images:
                images.append(LabelImages(_folder(files, video), frames))
            return Target(images[0].track(objects, must_show=source.use is Use.TRAIN))

        return target


def _folder(files: Files, video: str) -> Path:
    assert files.masks is not None, "without masks there are no tracks"
    return files.masks / media_of(video).candidates[0]


FORMAT = Format(
    name="ref_youtube_vos",
    about="Refer-YouTube-VOS: meta_expressions.json and label images",
    tasks=(Task.SEGMENT,),
    reader=RefYoutubeVos(),
    options=("masks", "keep_videos", "drop_videos", "question_templates", "answer_templates"),
    one_file=True,
    truth_in="masks",
)
