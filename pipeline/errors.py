"""The errors that a user can act on."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Final, Self

_SHOWN: Final = 50

_UNREAD: Final = frozenset(
    getattr(errno, name)
    for name in ("EACCES", "EPERM", "EIO", "ESTALE", "ETIMEDOUT", "ENOTCONN", "EMFILE", "ENFILE", "ENOMEM")
)


class UserError(Exception):
    """Something in a plan, a file or a set-up is wrong, and the message says where and how to mend it.

    Commands print it as one paragraph without a stack trace and exit with code 2. It is not a ValueError: an
    ``except ValueError`` around the reading of a file is for what stands in the file, and must let pass that
    the file could not be read.
    """

    def __init__(self, where: str, problem: str, fix: str = "") -> None:
        self.where, self.problem, self.fix = where, problem, fix
        super().__init__(f"{where}: {problem}" + (f" {fix}" if fix else ""))

    def __reduce__(self) -> tuple[type[UserError], tuple[str, str, str]]:
        # Ray pickles errors that cross process borders; three arguments do not survive the default way.
        return type(self), (self.where, self.problem, self.fix)


class StorageError(UserError):
    """Storage could not be read or written, so nothing is known of what lies there.

    Nobody may conclude from it that a file is missing or damaged, let alone advise to delete one.
    """

    @staticmethod
    def is_meant_by(error: BaseException) -> bool:
        """Whether the system could not read a file. What is not a file of its kind has OSErrors, too."""
        return isinstance(error, OSError) and error.errno in _UNREAD

    @classmethod
    def of(cls, where: str, error: OSError) -> Self:
        """For what the operating system says of a local file."""
        return cls(
            where,
            f"cannot be read ({error.strerror or error}).",
            "Check its rights and the disk that it lies on, then run the same command again.",
        )


def together(where: str, errors: Sequence[UserError]) -> UserError:
    """Several mistakes as one error, a line for each. ``where`` they all are, such as the plan file."""
    if len(errors) == 1:
        return errors[0]
    prefix = f"{where}, "
    lines = [f"  {str(error).removeprefix(prefix)}" for error in errors[:_SHOWN]]
    if len(errors) > _SHOWN:
        lines.append(f"  and {len(errors) - _SHOWN} more")
    return UserError(where, "\n".join([f"{len(errors)} problems:", *lines]))
