"""``docs/commands.md``: every command with its arguments, made from the parsers.

``python -m pipeline.commands.reference`` prints the page, ``--write`` writes it.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from pipeline.commands.cli import COMMANDS, parser_of
from pipeline.plan.reference import print_or_write

PAGE = Path(__file__).resolve().parents[2] / "docs" / "commands.md"
COMMAND = "python -m pipeline.commands.reference --write"
_WIDTH = 90
_HEAD = f"""# Every command

Made by `{COMMAND}` from `pipeline/commands/`; do not edit it.

`ufvideo COMMAND --help` prints the same. The exit code is 0, 1 for a failure, 2 for a mistake of yours, and
128 plus its number for a signal. `ufvideo --version` prints version, commit and digest of the code.
[Completion](start.md#completion) makes a shell offer all of this at TAB.
"""


def page() -> str:
    """The whole page as Markdown."""
    return "\n".join([_HEAD, *(line for name in COMMANDS for line in _command(name))]) + "\n"


def _command(name: str) -> Iterator[str]:
    parser = parser_of(name)
    yield from (f"## `ufvideo {name}`", "", COMMANDS[name], "", "```text", usage(parser), "```", "")
    yield from ("| Argument | Meaning |", "|---|---|")
    for action in parser._actions:  # argparse has no public list of them
        if not isinstance(action, argparse._HelpAction):
            yield f"| {_code(_typed(action))} | {_escaped(_meaning(parser, action))} |"
    yield ""
    if parser.epilog:
        yield from ("```text", parser.epilog.rstrip(), "```", "")


def usage(parser: argparse.ArgumentParser) -> str:
    """``ufvideo run PLAN [--check]``: argparse's own lines depend on the terminal's width.

    Options come last, for one that takes several values would take what follows as well.
    """
    words = []
    for action in sorted(parser._actions, key=lambda a: bool(a.option_strings)):
        if not isinstance(action, argparse._HelpAction):
            words.append(_typed(action) if action.required else f"[{_typed(action)}]")
    lines = textwrap.wrap(" ".join(words), _WIDTH, break_long_words=False, break_on_hyphens=False)
    return f"{parser.prog} " + "\n    ".join(lines)


def _typed(action: argparse.Action) -> str:
    """An argument as it is typed: ``--until STEP``."""
    value = "" if action.nargs == 0 else action.metavar or f"{{{','.join(map(str, action.choices or ()))}}}"
    return " ".join(filter(None, (*action.option_strings, str(value), "..." if action.nargs == "+" else "")))


def _meaning(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """The help, with its blanks filled in as argparse does."""
    return parser._get_formatter()._expand_help(action)


def _escaped(text: str) -> str:
    return text.replace("<", "&lt;").replace("|", "&#124;")  # a backslash would be shown in code


def _code(text: str) -> str:
    return f"<code>{_escaped(text)}</code>" if "|" in text else f"`{text}`"


def main(argv: list[str] | None = None) -> int:
    """Print the page, or write it."""
    return print_or_write(page, PAGE, "python -m pipeline.commands.reference", __doc__, argv)


if __name__ == "__main__":
    sys.exit(main())
