"""A second run of a plan follows the first run, and continues when the first one ends."""

from __future__ import annotations

import queue
import socket
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from pipeline.artifacts.record import Artifact, load_artifact
from pipeline.errors import UserError
from pipeline.jobs import claim
from pipeline.jobs.claim import Claim, Holder
from pipeline.jobs.display import Display
from pipeline.jobs.follower import JobFollower
from pipeline.storage.location import Location

if TYPE_CHECKING:
    from pipeline.jobs.server import JobServer

COMMAND = "ufvideo run"
_LOOK_EVERY_S = 1.0
_SAY_EVERY_S = 30.0


class RunClaims:
    """This run's claims on the artifacts that it makes, held until it ends. A context manager."""

    def __init__(self) -> None:
        self._claims: dict[str, Claim] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for own in self._claims.values():
            own.release()

    def take(self, folder: Location) -> bool:
        """True if this run has the claim on the folder now."""
        if folder.uri not in self._claims:
            own = claim.take(folder, claim.RUN, COMMAND)
            if own is None:
                return False
            self._claims[folder.uri] = own
        return True

    def publish(self, jobs_url: str, job: str) -> None:
        """Write into the claims which job a second run can follow."""
        for own in self._claims.values():
            own.publish(jobs_url, job)


class OtherRun:
    """Shows the progress of another run, which has claimed an artifact, in this run's display."""

    def __init__(self, claims: RunClaims, display: Display) -> None:
        self._claims, self._display = claims, display
        self._holder: Holder | None = None
        self._said = 0.0
        self._lines: queue.SimpleQueue[str | None] | None = None
        self._follower: JobFollower | None = None

    def follow(self, folder: Location, step: str, before: Artifact | None, *, forced: bool) -> None:
        """Wait until the artifact is made, or until the other run has ended and this one has the claim.

        ``before`` is the present artifact, which is to be made again. With ``forced`` the other run's result
        does not count: this run makes it again.
        """
        self._display.start(step)
        while not self._claims.take(folder):
            made = None if forced else load_artifact(folder)
            if made is not None and made != before:
                if self._follower is None or step not in self._follower.done_steps:
                    self._display.finish(step, "done", f"digest {made.record.digest[:12]}, by the other run")
                return
            self._meet(claim.holder(folder, claim.RUN), step)
            self._show()
        self._display.say(f"{step}: the other run has ended; going on here.")

    def _meet(self, holder: Holder | None, step: str) -> None:
        """Report which run this one follows, and read the lines of its job if possible."""
        if holder is None:
            return
        if self._holder is None or self._holder.process != holder.process:
            self._display.say(f"{step}: is being made by {holder}; following it.")
            self._said = time.monotonic()
        elif self._lines is None and time.monotonic() - self._said > _SAY_EVERY_S:
            self._display.say(f"{step}: is still being made by {holder}.")
            self._said = time.monotonic()
        if self._holder is None or self._holder.job != holder.job:
            server = _server_of(holder)
            self._lines, self._follower = None, None
            if server is not None:
                from pipeline.jobs.server import tail_job

                self._lines, self._follower = (
                    tail_job(server, holder.job),
                    JobFollower(self._display, step, None),
                )
        self._holder = holder

    def _show(self) -> None:
        """Show the lines of the next second."""
        until = time.monotonic() + _LOOK_EVERY_S
        while (left := until - time.monotonic()) > 0:
            if self._lines is None or self._follower is None:
                time.sleep(left)
                return
            try:
                line = self._lines.get(timeout=min(left, 0.2))  # short, so that Ctrl-C is noticed
            except queue.Empty:
                continue
            if line is None:
                self._lines = None  # the job has ended, or its server has
                return
            self._follower.take(line)


def _server_of(holder: Holder) -> JobServer | None:
    """The job server of the other run; None if it cannot be reached from here."""
    host = urlsplit(holder.jobs_url).hostname
    if not holder.job or (host in ("127.0.0.1", "localhost") and holder.host != socket.gethostname()):
        return None
    from pipeline.jobs import cluster
    from pipeline.jobs.server import connect

    cluster.prepare_environment(embedded=host in ("127.0.0.1", "localhost"))
    try:
        return connect(holder.jobs_url)
    except UserError:
        return None
