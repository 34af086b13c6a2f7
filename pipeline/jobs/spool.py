"""What MLflow is to be told, kept in the storage root until MLflow has it.

Entries are JSON objects: ``run`` is the key of a run, ``do`` says what to write (``tracking.Run`` makes them,
``mlflow_writer`` writes them). They are stored in small files, each written in one act and named by the time,
so that their names give their order. This works on a disk as well as on S3, which cannot append.
"""

from __future__ import annotations

import json
import re
import secrets
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.artifacts.inputs import storage_root
from pipeline.canonical import digest
from pipeline.plan.plan import Plan
from pipeline.storage.credentials import without_credentials
from pipeline.storage.location import Location

Entry = Mapping[str, Any]

WRITE_EVERY_S = 1.0
_LAST_S = 2.0  # for the last write of a run that failed or was stopped
_NAME = re.compile(r"\d{19}-[0-9a-f]{8}\.jsonl")
_REFUSED = "refused"

_naming = threading.Lock()
_last_ns = 0


class Spool:
    """The folder with the entries of one experiment that are not in MLflow yet."""

    def __init__(self, folder: Location) -> None:
        self.folder = folder

    @classmethod
    def of(cls, plan: Plan) -> Spool:
        """The spool of a plan: one for each experiment and server that plans of this storage root name."""
        name = experiment_name(plan)
        where = digest([name, plan.tracking.uri])[:8]
        return cls(storage_root(plan) / f"tracking/{re.sub(r'[^a-zA-Z0-9_-]+', '-', name)[:60]}-{where}")

    def add(self, entries: Sequence[Entry]) -> None:
        """Write entries as one file. Raises OSError, StorageError."""
        text = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)
        (self.folder / _new_name()).write_text(text)

    def files(self) -> list[Location]:
        """The files, in the order in which they were written."""
        return [place for place in self.folder.list(".jsonl") if _NAME.fullmatch(place.name)]

    def refuse(self, entries: Sequence[Entry]) -> Location:
        """Put entries aside that MLflow will never take. Returns where they are."""
        place = self.folder / f"{_REFUSED}/{_new_name()}"
        place.write_text("".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries))
        return place


def experiment_name(plan: Plan) -> str:
    """The MLflow experiment of a plan."""
    return plan.tracking.experiment or plan.name


class Outbox:
    """Entries of one process on their way to the spool: a thread writes them, ``put`` never waits.

    ``first`` opens the run, and is written at once. ``what`` is who writes, for messages.
    """

    def __init__(self, spool: Spool, what: str, first: Entry) -> None:
        self._spool, self._what = spool, what
        self._entries: list[Entry] = [first]
        self._lock = threading.Lock()  # guards the entries
        self._writing = threading.Lock()  # so that none is written twice
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tracking", daemon=True)
        self._thread.start()

    def flush(self) -> None:
        """Write what is there now; what fails stays for the thread."""
        self._write()

    def put(self, entry: Entry) -> None:
        """Add one entry and return at once."""
        with self._lock:
            self._entries.append(entry)

    def close(self, *, hurry: bool = False) -> None:
        """Write what is left. If that fails, a note on stderr says so; with ``hurry`` it may take 2 s."""
        self._stop.set()
        if hurry:
            last = threading.Thread(target=self._write, daemon=True)
            last.start()
            last.join(_LAST_S)
        elif error := self._write():
            print(
                f"Note: {len(self._entries)} entries of {self._what} for MLflow are lost, because "
                f"{self._spool.folder.uri} cannot be written ({type(error).__name__}: "
                f"{without_credentials(str(error))[:200]}).",
                file=sys.stderr,
                flush=True,
            )

    def _write(self) -> Exception | None:
        with self._writing:
            with self._lock:
                entries = list(self._entries)
            if not entries:
                return None
            try:
                self._spool.add(entries)
            except Exception as error:  # an artifact does not fail for its curves
                return error
            with self._lock:
                del self._entries[: len(entries)]
        return None

    def _run(self) -> None:
        self._write()
        while not self._stop.wait(WRITE_EVERY_S):
            self._write()


def _new_name() -> str:
    global _last_ns
    with _naming:
        _last_ns = max(time.time_ns(), _last_ns + 1)
        return f"{_last_ns:019d}-{secrets.token_hex(4)}.jsonl"
