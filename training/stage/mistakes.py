"""Ends a training at once where trying again cannot help."""

from __future__ import annotations

from typing import Any

from ray.train import UserCallback

from pipeline.errors import StorageError
from pipeline.jobs.guard import user_error_in


class EndAtMistakes(UserCallback):
    """Ray Train restarts the workers after any exception. An error of the user's would only come again.

    Storage that does not respond may be back at the next try, so it is not such an error.
    """

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Runs in Ray Train's controller, which does not try again if a callback raises."""
        for _, error in sorted(worker_exceptions.items()):
            mistake = user_error_in(error)
            if mistake is not None and not isinstance(mistake, StorageError):
                raise mistake
