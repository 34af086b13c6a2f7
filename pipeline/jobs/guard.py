"""The body of a command of this platform: exit codes, signals, and a user's mistake as one paragraph."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from pipeline.errors import StorageError, UserError
from pipeline.jobs.cluster import interruptible
from pipeline.jobs.interrupt import Interrupted, leave
from pipeline.jobs.owner import die_with_owner


def guarded(act: Callable[[], int]) -> int:
    """Run ``act`` as the body of a command. Exit code: 1 for a crash, 2 for a user's mistake.

    A signal (Ctrl-C, SIGTERM, a closed terminal) ends the process with 128 plus its number.
    """
    die_with_owner()
    try:
        with interruptible():
            return act()
    except Interrupted as stop:
        with suppress(OSError):  # the terminal may be closed
            print("stopped; run the same command to go on", file=sys.stderr, flush=True)
        leave(stop.exit_code)
    except Exception as error:
        if user := user_error_in(error):
            print_user_error(user)
            return 2
        traceback.print_exc()
        return 1


def print_user_error(error: UserError) -> None:
    """One paragraph on stderr, in colour where there is a terminal."""
    if not sys.stderr.isatty():
        print(f"error: {error}", file=sys.stderr, flush=True)
        return
    from rich.console import Console
    from rich.text import Text

    Console(stderr=True).print(
        Text.assemble(
            ("error: ", "bold red"),
            (f"{error.where}: ", "bold"),
            error.problem,
            f" {error.fix}" if error.fix else "",
        )
    )


def user_error_in(error: BaseException) -> UserError | None:
    """The UserError that stopped a worker, taken out of Ray's wrappers; None for any other error."""
    seen: set[int] = set()
    queue: list[Any] = [error]
    while queue:
        item = queue.pop()
        if not isinstance(item, BaseException) or id(item) in seen:
            continue
        seen.add(id(item))
        # Ray's own wrapper is a UserError too, but carries the worker's stack trace as its text.
        if isinstance(item, UserError) and getattr(item, "cause", None) is None:
            kind = StorageError if isinstance(item, StorageError) else UserError
            return kind(item.where, item.problem, item.fix)
        queue += [getattr(item, "cause", None), item.__cause__, item.__context__]
        # Ray Train
        queue.append(getattr(item, "controller_failure", None))
        failures = getattr(item, "worker_failures", None)
        queue += list(failures.values()) if isinstance(failures, Mapping) else []
    return None
