"""Questions wait in order for the one model; a question that nobody waits for is dropped."""

from __future__ import annotations

import threading
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from evaluation.predict.answer import Answer
from evaluation.predict.question import Question
from evaluation.serve.limits import RequestError
from pipeline.errors import UserError


class State(StrEnum):
    """Where a question is."""

    QUEUED = "queued"
    DECODING = "decoding"
    ANSWERING = "answering"
    SEGMENTING = "segmenting"
    ANSWERED = "answered"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Where a question is: how many are ``before`` it, how many of ``total`` frames are segmented."""

    state: State = State.QUEUED
    before: int = 0
    done: int = 0
    total: int = 0
    answer: Answer | None = None
    error: UserError | None = None

    @property
    def final(self) -> bool:
        """True once nothing more comes."""
        return self.state in (State.ANSWERED, State.FAILED)


class Dropped(Exception):
    """Nobody waits for the answer any more."""


@dataclass(eq=False)
class Job:
    """A question in the queue. ``on_change`` is called from the worker's thread."""

    question: Question
    on_change: Callable[[], object]
    progress: Progress = Progress()
    dropped: threading.Event = field(default_factory=threading.Event)

    def set(self, progress: Progress) -> None:
        """Raises Dropped if nobody waits for it any more."""
        if self.dropped.is_set():
            raise Dropped
        self.progress = progress
        self.on_change()


Answering = Callable[[Question, Callable[[int], object], Callable[[], object]], Answer]
"""``Checkpoint.answer``"""


class QuestionQueue:
    """Thread-safe; ``work`` runs in one thread. ``most``: how many questions may wait."""

    def __init__(self, answer: Answering, most: int) -> None:
        self._answer, self._most = answer, most
        self._waiting: deque[Job] = deque()
        self._current: Job | None = None
        self._change = threading.Condition()

    def put(self, question: Question, on_change: Callable[[], object]) -> Job:
        """Raises RequestError when the queue is full."""
        with self._change:
            if len(self._waiting) >= self._most:
                raise RequestError(
                    429,
                    "the queue",
                    f"is full: {self._most} questions are waiting.",
                    "Ask again in a while.",
                )
            job = Job(question, on_change)
            self._waiting.append(job)
            self._number()
            self._change.notify()
        return job

    def drop(self, job: Job) -> None:
        """Nobody waits for a question any more. One that is being answered ends at the next frame."""
        with self._change:
            job.dropped.set()
            if job in self._waiting:
                self._waiting.remove(job)
                self._number()

    def work(self) -> None:
        """Answer questions for ever, one at a time. An answer that fails ends its question alone."""
        while True:
            with self._change:
                while not self._waiting:
                    self._change.wait()
                job = self._current = self._waiting.popleft()
                self._number()
            try:
                self._one(job)
            except Dropped:
                pass
            finally:
                with self._change:
                    self._current = None
                    self._number()

    def _one(self, job: Job) -> None:
        total = len(job.question.frames)
        try:
            job.set(Progress(state=State.DECODING))
            answer = self._answer(
                job.question,
                lambda done: job.set(Progress(state=State.SEGMENTING, done=done, total=total)),
                lambda: job.set(Progress(state=State.ANSWERING)),
            )
            job.set(Progress(state=State.ANSWERED, answer=answer))
        except Dropped:
            raise
        except UserError as error:
            job.set(Progress(state=State.FAILED, error=error))
        except Exception as error:
            traceback.print_exc()
            what = " ".join(str(error).split())[:200] or type(error).__name__
            failed = UserError("the model", f"failed ({what}).", "The server's terminal shows more.")
            job.set(Progress(state=State.FAILED, error=failed))

    def _number(self) -> None:
        """Tell every waiting question how many are before it."""
        for before, job in enumerate(self._waiting, 1 if self._current else 0):
            if job.progress.before != before:
                job.progress = replace(job.progress, before=before)
                job.on_change()
