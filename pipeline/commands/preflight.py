"""Checks before anything starts: everything that cannot work where the plan runs, in one error."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence

from pipeline.artifacts.steps import Decision, Kind, State, StepSpec, steps
from pipeline.commands.cluster_size import size_problems
from pipeline.commands.hidden_truth import hidden_problems
from pipeline.commands.missing_paths import missing_inputs, missing_media
from pipeline.commands.plan_paths import Key, checkpoint_paths, input_paths, media_paths, storage_paths
from pipeline.errors import UserError, combined_error
from pipeline.jobs.cluster import in_job
from pipeline.jobs.mlflow_store import tracking_uri
from pipeline.plan.identity import in_corpora
from pipeline.plan.plan import Plan
from pipeline.plan.section_errors import Problem
from pipeline.storage.hub import is_plain

Where = Callable[[Key], str]
"""Maps a key of the plan to its place for the user: file and line."""


def dotted(key: Key) -> str:
    """A key alone, where there is no plan file."""
    return ".".join(map(str, key))


def preflight(plan: Plan, where: Where = dotted, steps_to_make: Iterable[str] | None = None) -> None:
    """Refuse a plan that cannot work. Raises UserError with all problems.

    ``steps_to_make`` are the names of the steps to make; None: all. What only a finished step
    needs is not checked here: ``refuse_steps`` checks the rest once it is known which steps are finished.
    """
    errors = list(unreachable(plan, where))
    try:
        tracking_uri(plan)
    except UserError as error:
        errors.append(error)
    unread: set[str] = set()
    problems = [*_without_tokenizer(plan), *hidden_problems(plan)]
    if not errors:  # paths that the cluster cannot reach need not exist on this machine
        problems += missing_inputs(plan, unread)
    if problems or errors:
        # Without the inputs nobody knows which steps are finished: all requested ones count as unfinished.
        names = {spec.name for spec in steps(plan)} if steps_to_make is None else set(steps_to_make)
        problems += _step_problems(plan, [s for s in steps(plan) if s.name in names], unread)
    _refuse(plan, problems, where, errors)


def refuse_steps(plan: Plan, decisions: Sequence[Decision], where: Where = dotted) -> None:
    """Refuse unfinished steps that cannot run because videos are missing or the machine is too small."""
    todo = [d.spec for d in decisions if d.state is State.TODO]
    _refuse(plan, list(_step_problems(plan, todo, set())), where, [])


def unreachable(plan: Plan, where: Where = dotted, out: str | None = None) -> Iterator[UserError]:
    """Paths relative to this machine's working folder that a cluster elsewhere would have to use.

    ``out`` is a folder from the command line.
    """
    if not plan.ray.elsewhere or in_job():
        return
    paths = [*storage_paths(plan), *input_paths(plan), *media_paths(plan), *checkpoint_paths(plan)]
    named = [(where(key), text, key[0] in ("model", "evaluation")) for key, text in paths]
    for place, text, model in [*named, *([("--out", out, False)] if out else [])]:
        from_hub = model and is_plain(text)
        if "://" not in text and not os.path.isabs(text) and not in_corpora(text) and not from_hub:
            yield UserError(
                f"{place}: {text}",
                "is relative to this machine's working folder, but the plan runs on a cluster.",
                "Use s3://bucket/prefix, or an absolute path that all its machines share"
                + ("; for a model of the hub hf://org/name." if model else "."),
            )


def refuse_unreachable(plan: Plan, where: Where = dotted, out: str | None = None) -> None:
    """Raise UserError for the paths that ``unreachable`` names."""
    _refuse(plan, [], where, list(unreachable(plan, where, out)))


def _step_problems(plan: Plan, todo: Sequence[StepSpec], unread: set[str]) -> Iterator[Problem]:
    if any(spec.kind is Kind.PREPARE for spec in todo) and not plan.ray.elsewhere:
        yield from missing_media(plan, unread)
    if any(spec.kind is Kind.EVALUATE for spec in todo) and not plan.ray.elsewhere:
        yield from _without_judge_key(plan)
    yield from size_problems(plan, todo)


def _without_judge_key(plan: Plan) -> Iterator[Problem]:
    """A judge whose key is not in the environment of this machine, where the plan runs."""
    judge = plan.evaluation.judge if plan.evaluation else None
    if judge is None or judge.endpoint is None or not judge.key_variable:
        return
    if not os.environ.get(judge.key_variable):
        text = (
            f"names {judge.key_variable}, which is not set in the environment. Set it to the endpoint's key; "
            "for a server that needs none set key_variable: null, and to use only stored judgements "
            "endpoint: null."
        )
        yield Problem(("evaluation", "judge", "key_variable"), text)


def _without_tokenizer(plan: Plan) -> Iterator[Problem]:
    """The rows of a pretrained language model belong to its own tokenizer; a newly trained one cannot fit."""
    if plan.model is None or plan.model.tokenizer.path is not None:
        return
    for key in ("whole", "videorefer", "language"):
        if key in plan.model.weights.paths:
            text = (
                "loads a language model, whose rows are those of its own tokenizer; set "
                "model.tokenizer.path to that tokenizer's folder or hub id."
            )
            yield Problem(("model", "weights", key), text)


def _refuse(plan: Plan, problems: Sequence[Problem], where: Where, errors: list[UserError]) -> None:
    errors += [UserError(where(problem.key), problem.text) for problem in problems]
    if errors:
        raise combined_error(where(()) or f"plan {plan.name}", errors)
