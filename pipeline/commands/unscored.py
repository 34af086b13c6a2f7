"""Numbers that the evaluation of a plan, as it is, will not give: no mistake, but it should be known."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.plan.benchmarks import FAMILIES
from pipeline.plan.plan import Plan


def unscored_lines(plan: Plan) -> Iterator[str]:
    """A line on each entry with numbers that need a judge, or an option of its source, that is not set."""
    if plan.evaluation is None:
        return
    sources = {source.name: source for source in plan.data.sources}
    judge = plan.evaluation.judge
    for bench in plan.evaluation.benchmarks:
        family, source = FAMILIES[bench.family], sources.get(bench.source)
        if family.marks and judge is None:
            names = ", ".join(family.marks)
            yield (
                f'{bench.entry}: without a judge its judged columns ({names}) will say "not judged"; set '
                "evaluation.judge (endpoint, model, key_variable)."
            )
        if source is None:  # the plan is checked elsewhere
            continue
        for option, text in family.advice.items():
            if getattr(source, option) == type(source).model_fields[option].get_default():
                yield f"{bench.entry}: {text}."
