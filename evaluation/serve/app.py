"""The page and what it asks for, over HTTP."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote

import anyio
from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from evaluation.predict.ask import Checkpoint
from evaluation.predict.overlay import OBJECT_COLOURS, REGION_COLOUR, SPAN_COLOUR
from evaluation.predict.question import Question
from evaluation.serve.guard import SameOrigin
from evaluation.serve.limits import (
    MOST_REGIONS,
    QUESTION_BYTES,
    QUESTION_LETTERS,
    RequestError,
    length_text,
    size_text,
)
from evaluation.serve.question_queue import Job, QuestionQueue
from evaluation.serve.questions import read_question
from evaluation.serve.replies import progress_reply, refused, video_reply
from evaluation.serve.videos import OpenVideo, Videos, shown_name
from pipeline.errors import UserError
from pipeline.media.files import VideoError
from pipeline.page.style import PAGE_CSS
from pipeline.records.sample import REGION

_FILES = Path(__file__).parent / "page"
_HEARTBEAT_S = 5.0  # a line now and then, so that nothing between server and page takes it for dead
_DECODING = 2  # threads that probe videos and decode single frames
_Out = TypeVar("_Out")


def build_app(
    model: Checkpoint, videos: Videos, queue: QuestionQueue, *, host: str, frames: int | str | None
) -> Starlette:
    """The application. ``host``: the address that it is served on; ``frames`` as in ``Checkpoint.check``."""
    site = _Site(model, videos, queue, frames)
    return Starlette(
        routes=[
            Route("/", site.page),
            Route("/page.css", site.style),
            Route("/api/start", site.start),
            Route("/api/videos", site.upload, methods=["POST"]),
            Route("/api/listed", site.open_listed, methods=["POST"]),
            Route("/api/videos/{id}", site.close, methods=["DELETE"]),
            Route("/api/videos/{id}/file", site.file),
            Route("/api/videos/{id}/frames/{frame:int}.jpg", site.frame),
            Route("/api/questions", site.ask, methods=["POST"]),
            Mount("/page", StaticFiles(directory=_FILES)),
        ],
        middleware=[Middleware(SameOrigin, host=host)],
        exception_handlers={RequestError: _refuse, HTTPException: _http, Exception: _crashed},
    )


class _Site:
    """The handlers. What reads files or decodes runs in threads, so that no request waits for another."""

    def __init__(
        self, model: Checkpoint, videos: Videos, queue: QuestionQueue, frames: int | str | None
    ) -> None:
        self.model, self.videos, self.queue, self.frames = model, videos, queue, frames
        self.grid = model.source.config.vision.grid
        self._threads: CapacityLimiter | None = None
        self._arriving = 0

    async def page(self, request: Request) -> Response:
        return FileResponse(_FILES / "index.html", media_type="text/html")

    async def style(self, request: Request) -> Response:
        return Response(PAGE_CSS, media_type="text/css")

    async def start(self, request: Request) -> Response:
        """Everything that the page needs to know before a video is open."""
        listed, outside = await to_thread.run_sync(self.videos.listing)
        limits, settings = self.videos.limits, self.model.settings
        return JSONResponse(
            {
                "checkpoint": settings.checkpoint,
                "digest": settings.digest[:12],
                "device": settings.device,
                "listed": list(listed),
                "listed_outside": outside,
                "most_bytes": limits.upload_bytes,
                "most_bytes_text": size_text(limits.upload_bytes),
                "most_length_text": length_text(limits.length_s),
                "most_regions": MOST_REGIONS,
                "most_letters": QUESTION_LETTERS,
                "region": REGION,
                "colours": {"objects": OBJECT_COLOURS, "region": REGION_COLOUR, "span": SPAN_COLOUR},
            }
        )

    async def upload(self, request: Request) -> Response:
        """The body is the file itself, written as it arrives; its name is in a header, and only shown."""
        limits = self.videos.limits
        name = shown_name(unquote(request.headers.get("x-file-name", "")))
        most = limits.upload_bytes
        if (declared := request.headers.get("content-length", "")).isdecimal() and int(declared) > most:
            raise _too_large(name, most, f"has {size_text(int(declared))}")
        if self._arriving >= limits.arriving:
            raise RequestError(
                503, name, f"has to wait: {self._arriving} videos are being uploaded.", "Try it in a while."
            )
        self._arriving += 1
        id_, path = await to_thread.run_sync(self.videos.new_upload)
        try:
            await _receive(request, path, name, most)
            video = await self._in_thread(partial(self.videos.open_upload, id_, path, name))
        except BaseException:
            self.videos.discard(id_)
            raise
        finally:
            self._arriving -= 1
        return JSONResponse(video_reply(video, self.grid), status_code=201)

    async def open_listed(self, request: Request) -> Response:
        """A file of the folder that the command was given, by its name in the listing."""
        body = await _read(request, QUESTION_BYTES)
        try:
            name = json.loads(body)["name"]
            assert isinstance(name, str)
        except (ValueError, KeyError, TypeError, AssertionError):
            raise RequestError(400, "the request", "names no file.") from None
        video = await self._in_thread(partial(self.videos.open_listed, name))
        return JSONResponse(video_reply(video, self.grid), status_code=201)

    async def close(self, request: Request) -> Response:
        await to_thread.run_sync(self.videos.close, request.path_params["id"])
        return Response(status_code=204)

    async def file(self, request: Request) -> Response:
        """The file as it is, for the browser's own player; parts of it by Range."""
        video = self.videos.get(request.path_params["id"])
        return FileResponse(video.clip.path, media_type=video.media_type or "application/octet-stream")

    async def frame(self, request: Request) -> Response:
        """One frame as the model sees it before it is resized, as a JPEG."""
        number = request.path_params["frame"]
        with self.videos.using(request.path_params["id"]) as video:
            content = await self._in_thread(partial(_jpeg, video, number))
        return Response(
            content, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600, immutable"}
        )

    async def ask(self, request: Request) -> Response:
        """Lines of JSON: where the question is, at every change; at last its answer, or why there is none."""
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise RequestError(415, "the question", "is not sent as application/json.")
        id_, text, regions = read_question(await _read(request, QUESTION_BYTES))
        video = self.videos.get(id_)
        try:
            check = partial(self.model.check, video.clip, text, regions=regions, frames=self.frames)
            question = await self._in_thread(check)
        except UserError as error:
            raise RequestError(400, error.where, error.problem, error.fix) from error
        return _Answering(self, question, video)

    async def _in_thread(self, act: Callable[[], _Out]) -> _Out:
        if self._threads is None:
            self._threads = CapacityLimiter(_DECODING)
        return await to_thread.run_sync(act, limiter=self._threads)


class _Answering(StreamingResponse):
    """The answer to one question. If the page goes away, before or meanwhile, the question is dropped."""

    def __init__(self, site: _Site, question: Question, video: OpenVideo) -> None:
        self._site, self._video = site, video
        self._changed, loop = asyncio.Event(), asyncio.get_running_loop()
        self._job: Job = site.queue.put(question, lambda: loop.call_soon_threadsafe(self._changed.set))
        super().__init__(self._lines(), media_type="application/x-ndjson")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self._site.videos.using(self._video.id):
                await super().__call__(scope, receive, send)
        finally:
            self._site.queue.drop(self._job)

    async def _lines(self) -> AsyncIterator[bytes]:
        began = time.monotonic()
        while True:
            self._changed.clear()
            progress = self._job.progress
            took_s = time.monotonic() - began
            reply = await to_thread.run_sync(progress_reply, progress, self._video, took_s)
            yield json.dumps(reply).encode() + b"\n"
            if progress.final:
                return
            with anyio.move_on_after(_HEARTBEAT_S):
                await self._changed.wait()


async def _receive(request: Request, path: Path, name: str, most: int) -> None:
    """Write a body to a file. Raises RequestError when it becomes too large, or the disk is full."""
    count = 0
    try:
        async with await anyio.open_file(path, "xb") as file:
            async for chunk in request.stream():
                count += len(chunk)
                if count > most:
                    raise _too_large(name, most, "has more")
                await file.write(chunk)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise RequestError(
            507, name, "does not fit on the server's disk.", "Start the server with another --upload-folder."
        ) from error
    if not count:
        raise RequestError(422, name, "is empty.", "Choose a video file, such as an MP4.")


async def _read(request: Request, most: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise RequestError(413, "the request", f"has more than {size_text(most)}.")
    return bytes(body)


def _too_large(name: str, most: int, what: str) -> RequestError:
    return RequestError(
        413,
        name,
        f"{what}, and the largest upload accepted here is {size_text(most)}.",
        "Make it smaller, or start the server with a larger --max-mb.",
    )


def _jpeg(video: OpenVideo, number: int) -> bytes:
    from PIL import Image

    try:
        picture_HW3 = video.clip.footage.decode([number])[0]
    except IndexError:
        raise RequestError(
            404, video.name, f"has no frame {number}: it has {video.clip.ref.num_frames}."
        ) from None
    except (VideoError, UserError) as error:
        reason = str(error).removeprefix(f"{video.clip.path}: ")
        raise RequestError(422, video.name, f"cannot be decoded: {reason}") from error
    buffer = io.BytesIO()
    Image.fromarray(picture_HW3).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return refused(error)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return refused(RequestError(error.status_code, request.url.path, f"{error.detail}."))


async def _crashed(request: Request, error: Exception) -> Response:
    return refused(
        RequestError(500, "the server", f"failed ({type(error).__name__}).", "Its terminal shows more.")
    )
