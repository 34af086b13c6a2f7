"""A running page for tests: the real server, model and HTTP; and the gate that holds an answer back."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from evaluation import Answer, Checkpoint
from evaluation.serve.__main__ import listen
from evaluation.serve.limits import Limits
from evaluation.serve.server import PageServer

LIMITS = Limits(upload_bytes=300_000, length_s=60, waiting=2, open_videos=3)


@contextmanager
def page(
    model: Checkpoint,
    uploads: Path,
    folder: Path | None = None,
    limits: Limits = LIMITS,
    frames: int | None = None,
) -> Iterator[httpx2.Client]:
    """A client of a page on a free port; ``uploads`` is made."""
    uploads.mkdir()
    with listen("127.0.0.1", 0) as listener:
        server = PageServer(
            model,
            listener,
            host="127.0.0.1",
            uploads=uploads,
            folder=folder,
            limits=limits,
            frames=frames,
        )
        server.start()
        with httpx2.Client(base_url=server.url, timeout=60) as client:
            yield client
        server.stop()


def upload(client: httpx2.Client, path: Path, name: str = "clip.mp4") -> dict[str, Any]:
    """The reply to an upload that is accepted."""
    reply = client.post("/api/videos", content=path.read_bytes(), headers={"X-File-Name": name})
    assert reply.status_code == 201, reply.text
    return reply.json()


def ask(
    client: httpx2.Client,
    video: str,
    text: str,
    regions: list[dict[str, Any]] | None = None,
    states: list[Any] | None = None,
) -> list[Any]:
    """Every state of a question, the answer last; ``states`` gets them as they come."""
    states = [] if states is None else states
    body = {"video": video, "text": text, "regions": regions or []}
    with client.stream("POST", "/api/questions", json=body) as reply:
        assert reply.status_code == 200, reply.read()
        states.extend(json.loads(line) for line in reply.iter_lines())
    return states


class Gate:
    """Holds answers back until it is opened; ``asked`` has the questions in the order of their answers."""

    def __init__(self) -> None:
        self.open, self.asked = threading.Event(), list[str]()

    def holding(self, answer: Callable[..., Answer]) -> Callable[..., Answer]:
        def held(model: Checkpoint, question: Any, on_frames: Any, on_decoded: Any) -> Answer:
            self.asked.append(question.text)
            assert self.open.wait(60)
            return answer(model, question, on_frames, on_decoded)

        return held
