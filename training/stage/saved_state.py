"""Digests of a stage's saved states: a damaged state is found before it is loaded.

Each worker writes the files of its own part, and ``digests-<rank>.json`` beside them. Ray Train merges the
parts of all workers into one folder. The workers that read it may be more or fewer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from training.stage.gathered import of_all_workers

_DIGESTS: Final = "digests-{rank}.json"

Opened = Callable[[], AbstractContextManager[str | Path]]


def seal(folder: Path, rank: int, workers: int) -> None:
    """Write the size and SHA-256 of every file of a worker's part, once all of them are there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    found = {str(path.relative_to(folder)): [path.stat().st_size, _sha256(path)] for path in files}
    text = json.dumps({"workers": workers, "files": found}, indent=1)
    (folder / _DIGESTS.format(rank=rank)).write_text(text + "\n")


def damage(folder: Path, rank: int, workers: int) -> str:
    """What is wrong with one worker's share of a state's parts; empty if nothing is.

    Each of ``workers`` checks every so many parts, whoever wrote them. States of versions that wrote no
    digests are taken as they are.
    """
    faults = (_damage_of_part(folder, part) for part in range(rank, _written_by(folder), workers))
    return next(filter(None, faults), "")


def _written_by(folder: Path) -> int:
    """How many workers wrote a state; 0 if it has no digests."""
    found = sorted(folder.glob(_DIGESTS.format(rank="*")))
    if not found:
        return 0
    try:
        first = json.loads(found[0].read_text())
        return int(first["workers"]) if "workers" in first else len(found)  # of an earlier version
    except (ValueError, TypeError):  # a damaged list, which is told when its part is looked at
        return len(found)


def _damage_of_part(folder: Path, part: int) -> str:
    place = folder / _DIGESTS.format(rank=part)
    if not place.exists():
        return f"{place.name} is missing"
    try:
        listed = json.loads(place.read_text())
        for name, (size, sha256) in listed.get("files", listed).items():
            file = folder / name
            if not file.is_file():
                return f"{name} is missing"
            if file.stat().st_size != size:
                return f"{name} has {file.stat().st_size:,} of {size:,} bytes"
            if _sha256(file) != sha256:
                return f"{name} does not have the content that was written"
    except (ValueError, TypeError, AttributeError):
        return f"{place.name} is not readable"
    return ""


@contextmanager
def newest_whole(
    states: Iterable[tuple[str, Opened]], rank: int, workers: int, say: Callable[[str], None]
) -> Iterator[Path | None]:
    """The first state that is whole for every worker, or None. All workers call it with the same states.

    ``states`` are their names for messages and what opens their folder, the newest first. Worker 0 calls
    ``say`` with each damaged state that is passed over.
    """
    passed = ""
    for name, opened in states:
        with opened() as folder:
            problems = [text for text in of_all_workers(damage(Path(folder), rank, workers)) if text]
            if not problems:
                if passed and rank == 0:
                    say(f"{passed}; going on from {name}")
                yield Path(folder)
                return
        if rank == 0 and passed:
            say(passed)
        passed = f"state {name} is damaged: {problems[0]}"
    if passed and rank == 0:
        say(f"{passed}; no older state is whole, so the stage begins again")
    yield None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
