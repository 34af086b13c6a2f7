"""What the server tells the page, as JSON. Masks stay compressed COCO RLE; the page decodes them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse

from evaluation.predict.answer import Answer
from evaluation.serve.limits import RequestError
from evaluation.serve.question_queue import Progress
from evaluation.serve.videos import OpenVideo
from pipeline.errors import UserError
from pipeline.records.sample import SEG
from pipeline.times.temporal import TIME_TOKENS, to_seconds

_TOKENS = re.compile("|".join(map(re.escape, (SEG, *TIME_TOKENS))))


def refused(error: RequestError) -> JSONResponse:
    """A refusal as the page shows it.

    What is too large is not read to its end: the connection closes, where the client would go on sending.
    """
    headers = {"Connection": "close"} if error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE else None
    return JSONResponse(error_reply(error.error), status_code=error.status, headers=headers)


def error_reply(error: UserError) -> dict[str, str]:
    """Where, what is wrong, and what to do."""
    return {"where": error.where, "problem": error.problem, "fix": error.fix}


def video_reply(video: OpenVideo, grid: int) -> dict[str, Any]:
    """A video as the page needs it. ``grid``: patches per side of the model's view of a frame.

    ``starts_s``: when each frame starts to show; empty where they do so evenly. ``start_s``: when a player
    shows the first one. ``point_radius``: of the disc that a point becomes, in pixels.
    """
    ref = video.clip.ref
    return {
        "id": video.id,
        "name": video.name,
        "media_type": video.media_type,
        "width": ref.width,
        "height": ref.height,
        "frames": ref.num_frames,
        "fps": ref.fps,
        "duration_s": ref.duration_s,
        "start_s": ref.start_s,
        "starts_s": list(ref.frame_starts_s),
        "point_radius": math.hypot(ref.height, ref.width) / (2 * grid),
    }


def progress_reply(progress: Progress, video: OpenVideo, took_s: float) -> dict[str, Any]:
    """Where a question is; with the answer or the error at its end."""
    reply: dict[str, Any] = {"state": progress.state}
    if progress.answer is not None:
        return reply | {"answer": answer_reply(progress.answer, video, took_s)}
    if progress.error is not None:
        hidden = str(video.clip.path)
        error = progress.error
        where = video.name if error.where in (hidden, video.clip.uri) else error.where
        shown = UserError(where, error.problem.replace(hidden, video.name), error.fix)
        return reply | {"error": error_reply(shown)}
    return reply | {"before": progress.before, "done": progress.done, "total": progress.total}


def answer_reply(answer: Answer, video: OpenVideo, took_s: float) -> dict[str, Any]:
    """``answer.json`` as `ufvideo predict` writes it, and what is only for the page: pieces and seconds."""
    record = answer.record()
    shown = record["video"]
    assert isinstance(shown, dict)
    shown["uri"] = video.name
    objects = []
    for track in answer.masks:
        visible, share = answer.coverage(track)
        objects.append({"visible": visible, "share": share})
    return {
        "record": record,
        "pieces": list(_pieces(answer)),
        "objects": objects,
        "took_s": took_s,
    }


def _pieces(answer: Answer) -> Iterator[Mapping[str, Any]]:
    """The text of an answer, its [SEG] with the number of their object, its time tokens in seconds."""
    at, objects = 0, 0
    duration_s = answer.question.clip.ref.duration_s
    missing = answer.text.count(SEG) - len(answer.masks)  # the first ones, which have no state
    for found in _TOKENS.finditer(answer.text):
        if found.start() > at:
            yield {"text": answer.text[at : found.start()]}
        at = found.end()
        if found[0] == SEG:
            objects += 1
            yield {"text": SEG, "object": objects - missing if objects > missing else None}
        else:
            yield {"text": found[0], "seconds": to_seconds(TIME_TOKENS.index(found[0]), duration_s)}
    if at < len(answer.text):
        yield {"text": answer.text[at:]}
