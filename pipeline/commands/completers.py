"""What a shell completes: files of plans, folders, names of steps and of benchmarks.

The names come from the plan that was typed and from what is installed, so they are looked up at each TAB.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

ENV = "_ARGCOMPLETE"
"""argcomplete's shell functions set this variable for the call that asks for completions."""
Completer = Callable[..., Iterable[str]]


def completed(action: argparse.Action, completer: Completer) -> None:
    """Complete an argument's value with ``completer``; argcomplete finds it as an attribute."""
    action.completer = completer  # type: ignore[attr-defined]


def typed_words() -> list[str]:
    """The words after ``ufvideo`` that are typed already, up to the cursor."""
    return os.environ.get("COMP_LINE", "").split()[1:]


def print_completions(parser: argparse.ArgumentParser) -> None:
    """Answer the shell, and leave."""
    import argcomplete

    argcomplete.autocomplete(parser, always_complete_options=False)


def plan_files(prefix: str, **more: Any) -> Iterable[str]:
    """YAML files, and folders on the way to them."""
    from argcomplete.completers import FilesCompleter

    return FilesCompleter(("yaml", "yml"))(prefix, **more)


def folders(prefix: str, **more: Any) -> Iterable[str]:
    """Folders, such as those of artifacts."""
    from argcomplete.completers import DirectoriesCompleter

    return DirectoriesCompleter()(prefix, **more)


def step_names(prefix: str, *, parsed_args: argparse.Namespace, **more: Any) -> Iterable[str]:
    """The steps of the plan that stands before the cursor; none if it is not valid."""
    from pipeline.artifacts.steps import steps
    from pipeline.errors import UserError
    from pipeline.plan.load import load_plan

    if not getattr(parsed_args, "plan", None):
        return ()
    with suppress(UserError):
        return [spec.name for spec in steps(load_plan(parsed_args.plan, parsed_args.set or []))]
    return ()


def benchmarks_with_truth(prefix: str, **more: Any) -> Iterable[str]:
    """The benchmark families that can be scored with the truth in their own annotations."""
    from pipeline.plan.benchmarks import FAMILIES

    return [name for name in FAMILIES.names() if getattr(FAMILIES[name], "formats", ())]


def nothing(prefix: str, **more: Any) -> Iterable[str]:
    """Free text, which no list has."""
    return ()
