"""The arguments of every command that takes a plan."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING

from pipeline.commands.completers import completed, nothing, plan_files

if TYPE_CHECKING:
    from pipeline.plan.plan import Plan
    from pipeline.plan.runtime import RayConfig


def add_plan(parser: argparse.ArgumentParser) -> None:
    """PLAN and ``--set``."""
    completed(parser.add_argument("plan", metavar="PLAN", help="the plan file (YAML)"), plan_files)
    add_set(parser)


def add_set(parser: argparse.ArgumentParser) -> None:
    """``--set``."""
    action = parser.add_argument(
        "--set", action="append", default=[], metavar="A.B=C", help="change one value of the plan"
    )
    completed(action, nothing)


def typed_plan(options: argparse.Namespace) -> str:
    """``PLAN --set A.B=C``, to be typed again."""
    return shlex.join([options.plan, *(word for item in options.set for word in ("--set", item))])


def cluster_of(plan: Plan) -> RayConfig:
    """The cluster to which the plan's jobs are submitted. Raises UserError if the plan names none."""
    from pipeline.errors import UserError

    if not plan.ray.elsewhere:
        raise UserError(
            "ray",
            "the plan names no cluster, so there are no submitted jobs.",
            "Give a step's name, or set ray.dashboard.",
        )
    return plan.ray
