"""The one error that a user can act on."""

from __future__ import annotations


class UserError(ValueError):
    """Something in a plan, a file or a set-up is wrong, and the message says where and how to mend it.

    Commands print it as one paragraph without a stack trace and exit with code 2.
    """

    def __init__(self, where: str, problem: str, fix: str = "") -> None:
        self.where, self.problem, self.fix = where, problem, fix
        super().__init__(f"{where}: {problem}" + (f" {fix}" if fix else ""))

    def __reduce__(self) -> tuple[type[UserError], tuple[str, str, str]]:
        # Ray pickles errors that cross process borders; three arguments do not survive the default way.
        return type(self), (self.where, self.problem, self.fix)
