"""Benchmarks whose truth is hidden, as far as a plan and its files show before anything is prepared."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.errors import StorageError
from pipeline.plan.benchmarks import FAMILIES
from pipeline.plan.data import SourceConfig
from pipeline.plan.identity import in_corpora
from pipeline.plan.plan import Plan
from pipeline.plan.section_errors import Problem
from pipeline.records.sample import Task
from pipeline.storage.location import Location


def hides_truth(plan: Plan, source: SourceConfig) -> bool:
    """Whether a source names no truth although its format keeps the truth in a separate file."""
    row = source.row
    if not row.truth_in or getattr(source, row.truth_in) is not None:
        return False
    if not row.masks_beside or source.annotations.endswith(".json"):
        return True
    if in_corpora(source.annotations):  # a folder that is not written yet
        return False
    try:
        folder = Location.parse(source.annotations, plan.storage.local_cache)
        return not (folder.is_dir() and (folder / row.masks_beside).exists())
    except StorageError:  # reported where inputs are looked for
        return True


def hidden_entries(plan: Plan) -> dict[str, int]:
    """The entries of the evaluation whose truth is hidden, with their places in the list."""
    if plan.evaluation is None:
        return {}
    hidden = {source.name for source in plan.data.sources if hides_truth(plan, source)}
    return {b.entry: i for i, b in enumerate(plan.evaluation.benchmarks) if b.source in hidden}


def hidden_problems(plan: Plan) -> Iterator[Problem]:
    """Entries that can neither be scored nor submitted."""
    for i in hidden_entries(plan).values():
        assert plan.evaluation is not None
        bench = plan.evaluation.benchmarks[i]
        family = FAMILIES[bench.family]
        if Task.SEGMENT in family.accepts and not family.submits:
            text = (
                f"{bench.source} has no masks, so {bench.family} cannot score it, and no server takes "
                "its answers. Set masks of the source, or leave the benchmark out."
            )
            yield Problem(("evaluation", "benchmarks", i), text)


def hidden_lines(plan: Plan) -> Iterator[str]:
    """A line on each entry that is not scored here."""
    for entry, i in hidden_entries(plan).items():
        assert plan.evaluation is not None
        bench = plan.evaluation.benchmarks[i]
        if FAMILIES[bench.family].submits:
            then = (
                f"a trial of {bench.limit}, no submission is written"
                if bench.limit
                else f"its answers are written as submissions/{entry}.zip of each evaluation"
            )
            yield f"{entry}: its truth is hidden, so it is not scored here; {then}."
