"""The errors that a user can act on."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Final, Self

_SHOWN: Final = 50

_UNREAD: Final = frozenset(
    getattr(errno, name)
    for name in (
        *("EACCES", "EPERM", "EIO", "ESTALE", "ETIMEDOUT", "EMFILE", "ENFILE", "ENOMEM", "ENODEV"),
        *("ENOTCONN", "ECONNRESET", "ECONNREFUSED", "ECONNABORTED", "EHOSTDOWN", "EHOSTUNREACH"),
        *("ENETDOWN", "ENETUNREACH", "EREMOTEIO", "ENOLINK"),
    )
    if hasattr(errno, name)  # not every system has all of them
)


class UserError(Exception):
    """Something in a plan, a file or the environment is wrong; the message says where and how to mend it.

    Commands print it as one paragraph without a stack trace and exit with code 2. It is not a ValueError: an
    ``except ValueError`` around reading a file is about the file's content, and must not catch the error
    that the file could not be read.
    """

    def __init__(self, where: str, problem: str, fix: str = "") -> None:
        self.where, self.problem, self.fix = where, problem, fix
        super().__init__(f"{where}: {problem}" + (f" {fix}" if fix else ""))

    def __reduce__(self) -> tuple[type[UserError], tuple[str, str, str]]:
        # Ray pickles errors between processes; the default way loses the three arguments.
        return type(self), (self.where, self.problem, self.fix)


class StorageError(UserError):
    """Storage could not be read or written, so nothing is known about its content.

    It does not mean that a file is missing or damaged, and must never lead to advice to delete one.
    """

    @staticmethod
    def is_unreadable(error: BaseException) -> bool:
        """Whether an error means that the system could not read a file; OSErrors also report bad content."""
        return isinstance(error, OSError) and error.errno in _UNREAD

    @classmethod
    def of(cls, where: str, error: OSError) -> Self:
        """The error for a local file that the operating system cannot read."""
        return cls(
            where,
            f"cannot be read ({error.strerror or error}).",
            "Check its permissions and its disk, then run the same command again.",
        )


class MissingFileError(UserError):
    """A file that a dataset names is not there: it was removed, or its storage is away for a moment."""


def is_failed_read(error: BaseException) -> bool:
    """Whether an error of reading a sample says nothing about the sample, only that it could not be read.

    A file that is there and has the wrong content raises other errors (ValueError, UserError).
    """
    return isinstance(error, StorageError | MissingFileError | OSError)


def combined_error(where: str, errors: Sequence[UserError]) -> UserError:
    """Several errors as one, with a line for each. ``where`` is the place of all, such as the plan file."""
    if len(errors) == 1:
        return errors[0]
    prefix = f"{where}, "
    lines = [f"  {str(error).removeprefix(prefix)}" for error in errors[:_SHOWN]]
    if len(errors) > _SHOWN:
        lines.append(f"  and {len(errors) - _SHOWN} more")
    return UserError(where, "\n".join([f"{len(errors)} problems:", *lines]))
