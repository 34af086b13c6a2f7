"""HTTP in one thread, the model in another: whoever started them is free to wait for a signal."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from socket import gethostname

import uvicorn

from evaluation.predict.ask import Checkpoint
from evaluation.serve.app import build_app
from evaluation.serve.limits import Limits
from evaluation.serve.question_queue import QuestionQueue
from evaluation.serve.videos import Videos

_ENDS_WITHIN_S = 5.0
_EVERYWHERE = ("0.0.0.0", "::")  # every address of this machine


class PageServer:
    """The page on a bound socket. Both threads are daemons, so they never keep a process from ending.

    ``uploads``: an empty folder; ``folder``: videos to offer, or None; ``frames`` as in ``Checkpoint.check``.
    """

    def __init__(
        self,
        model: Checkpoint,
        listener: socket.socket,
        *,
        host: str,
        uploads: Path,
        folder: Path | None = None,
        limits: Limits,
        frames: int | str | None = None,
    ) -> None:
        self._listener, self._host = listener, host
        self.queue = QuestionQueue(model.answer, limits.waiting)
        app = build_app(model, Videos(uploads, folder, limits), self.queue, host=host, frames=frames)
        # The access log would be a line for every frame.
        config = uvicorn.Config(
            app, log_level="error", access_log=False, server_header=False, proxy_headers=False, lifespan="off"
        )
        self._server = uvicorn.Server(config)
        self._http = threading.Thread(target=self._run, name="http", daemon=True)
        self._model = threading.Thread(target=self.queue.work, name="model", daemon=True)

    @property
    def url(self) -> str:
        """The page's address."""
        port = self._listener.getsockname()[1]
        host = gethostname() if self._host in _EVERYWHERE else self._host
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def start(self) -> None:
        """Requests that come before HTTP has started wait in the socket's queue."""
        self._model.start()
        self._http.start()

    def wait(self) -> None:
        """Returns when HTTP has ended, which it does of itself only if it crashed."""
        self._http.join()

    def stop(self) -> None:
        """End HTTP; an answer that is being made goes on until its page's absence is noticed."""
        self._server.should_exit = self._server.force_exit = True
        self._http.join(_ENDS_WITHIN_S)

    def _run(self) -> None:
        self._server.run([self._listener])
