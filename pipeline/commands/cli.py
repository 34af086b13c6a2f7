"""The ``ufvideo`` command: finds the module of a subcommand, runs it, and returns its exit code."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from pipeline.commands.completers import ENV, print_completions, typed_words

COMMANDS = {
    "new": "Write a plan for your own data, with comments.",
    "run": "Make every step of a plan that is not made yet, and print the result.",
    "check": "Validate a plan and print what would be done.",
    "doctor": "Report what is wrong with a plan's sources, before anything is made.",
    "submit": "Send a whole run to the plan's cluster as one Ray job, and return.",
    "status": "Show the state of a plan's steps, or of a submitted job.",
    "logs": "Print what a submitted job, or a step of `ufvideo run`, has printed.",
    "stop": "Stop a submitted job and the jobs of its steps.",
    "verify": "Hash an artifact again and compare with its record.",
    "rebuild": "Make a dataset again from its own record and compare byte for byte.",
    "score": "Score predictions of any code against a benchmark's own truth.",
    "compare": "Compare two models on the same samples: paired differences with their intervals.",
    "predict": "Ask a checkpoint about one video; print the answer, write its masks and an overlay video.",
    "serve": "Open a page in the browser to ask a checkpoint about videos, with masks over the video.",
    "export": "Write a checkpoint, or a dataset, in a form that other code reads.",
    "completion": "Print what a shell has to read so that TAB completes this command.",
}
"""Every command with its help. Each is a module of this package with ``add_arguments`` and ``act``."""


def main(argv: list[str] | None = None) -> int:
    """Run the command line. Exit code: 0, 1 for a failure, 2 for a user's mistake.

    A signal (Ctrl-C, SIGTERM, a closed terminal) ends it with 128 plus the signal's number.
    """
    if ENV in os.environ:
        print_completions(_parser(typed_words(), strict=False))
        return 0
    typed = sys.argv[1:] if argv is None else argv
    options = _parser(typed).parse_args(typed)
    options.typed = typed
    from pipeline.errors import UserError

    try:
        return options.act(options)
    except UserError as error:
        from pipeline.jobs.guard import print_user_error

        print_user_error(error)
        return 2
    except KeyboardInterrupt as stop:
        with suppress(OSError):  # the terminal may be closed
            print(
                f"\nStopped. What is finished is kept; go on with: ufvideo {' '.join(typed)}",
                file=sys.stderr,
                flush=True,
            )
        from pipeline.jobs.interrupt import Interrupted, leave

        if isinstance(stop, Interrupted):
            leave(stop.exit_code)
        return 130
    except BrokenPipeError:  # `ufvideo … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser(typed: Sequence[str], *, strict: bool = True) -> argparse.ArgumentParser:
    """The parser. Only the module of the typed command is imported, so that help is quick.

    With ``strict``, an unknown command is an error; while it is typed, it may be the start of one.
    """
    parser = argparse.ArgumentParser(
        prog="ufvideo",
        description="From annotated video to scored checkpoints: prepare, train, evaluate, as one plan says.",
    )
    parser.add_argument("--version", action=_Version, help="print version, commit and digest of the code")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    wanted = next((word for word in typed if not word.startswith("-")), None)
    if strict and wanted is not None and wanted not in COMMANDS:
        near = get_close_matches(wanted, COMMANDS, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(COMMANDS)}"
        parser.error(f"{wanted} is not a command; {hint}")
    for name, help_ in COMMANDS.items():
        command = commands.add_parser(name, help=help_, description=help_)
        if name == wanted:
            _fill(command, name)
    return parser


def parser_of(name: str) -> argparse.ArgumentParser:
    """The parser of one command."""
    return _fill(argparse.ArgumentParser(prog=f"ufvideo {name}", description=COMMANDS[name]), name)


def _fill(parser: argparse.ArgumentParser, name: str) -> argparse.ArgumentParser:
    module = import_module(f"pipeline.commands.{name}")
    module.add_arguments(parser)
    parser.set_defaults(act=module.act)
    return parser


class _Version(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str, help: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *rest: Any) -> None:
        from pipeline.artifacts.fingerprint import code_version

        print(f"ufvideo {code_version().short}")
        parser.exit()
