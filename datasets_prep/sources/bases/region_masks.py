"""VideoRefer's form of masks, which UFVideo-Bench and VideoRefer-Bench share."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from datasets_prep.draft import DraftTrack, Reason, RejectError
from datasets_prep.sources.bases.fields import excerpt, whole

# Why a row of masks cannot name a clip: nothing says whether its frame numbers count from the clip's start.
WHOLE_VIDEO = "frames of masks are numbered from the start of the whole video, so no clip was expected"


def objects_of(annotation: Any, expected: int) -> list[Mapping[str, Any]]:
    """One {frame: {"segmentation": ...}} per object.

    Rows from YouTube-VOS hold a list of lists. With one inner list per object each holds that object alone;
    a single inner list holds all objects. A bare object is a list of one.
    """
    if isinstance(annotation, Mapping):
        annotation = [annotation]
    if not isinstance(annotation, list):
        raise RejectError(Reason.MALFORMED, "`annotation` is not a list of objects")
    if any(isinstance(entry, list) for entry in annotation):
        if not all(isinstance(entry, list) for entry in annotation):
            raise RejectError(Reason.MALFORMED, "`annotation` mixes lists and objects")
        if len(annotation) == 1 and len(annotation[0]) == expected:
            annotation = annotation[0]
        elif all(len(entry) == 1 for entry in annotation):
            annotation = [entry[0] for entry in annotation]
        else:
            raise RejectError(Reason.REGION_COUNT, f"`annotation` nests {sum(map(len, annotation))} objects")
    if not all(isinstance(entry, Mapping) and entry for entry in annotation):
        raise RejectError(Reason.MALFORMED, "an annotated object is {frame: mask} with at least one frame")
    return annotation


def track(frames: Mapping[str, Any], keep: Collection[int] | None = None) -> DraftTrack:
    """Masks of one object, with ``keep`` only on those frames. ``null`` means that the object is absent."""
    masks: list[tuple[int, tuple[Any, ...]]] = []
    for name, entry in frames.items():
        frame = whole(name.removesuffix(".0") if isinstance(name, str) else name, "annotation frame")
        if keep is not None and frame not in keep:
            continue
        if entry is None:
            masks.append((frame, (None,)))
        elif isinstance(entry, Mapping) and "segmentation" in entry:
            masks.append((frame, (entry["segmentation"],)))
        elif isinstance(entry, Mapping) and {"size", "counts"} <= entry.keys():
            masks.append((frame, (entry,)))
        else:
            raise RejectError(
                Reason.MALFORMED,
                f"annotation of frame {frame} is {excerpt(entry)}; `segmentation`, or null for an object "
                "that is absent, was expected",
            )
    return DraftTrack(masks=tuple(masks))


def frame_size(raw: Mapping[str, Any]) -> tuple[int, int] | None:
    """Height and width that a row gives for its polygons; None if it gives none."""
    if raw.get("height") is None or raw.get("width") is None:
        return None
    return whole(raw["height"], "height"), whole(raw["width"], "width")
