"""Stages whose batch is not divided evenly: no mistake, but it should be known."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.plan.layout import layouts
from pipeline.plan.plan import Plan
from pipeline.plan.training import StageConfig

_OFFERED = 4


def uneven_lines(plan: Plan) -> Iterator[str]:
    """A line on each stage in which some forward passes have fewer samples than others."""
    for stage in plan.stages:
        layout = stage.layout
        if not stage.global_batch % (layout.workers * layout.micro_batch):
            continue
        least, more = divmod(stage.global_batch, layout.workers)
        each = f"{least} or {least + 1}" if more else f"{least}"
        passes = f"{stage.accumulation} pass" + "es" * (stage.accumulation > 1)
        yield (
            f"stage {stage.name}: global_batch {stage.global_batch} is not workers {layout.workers} x "
            f"micro_batch {layout.micro_batch} x a whole number: a worker has {each} samples in {passes}, "
            f"which count by their samples. {_even(stage)}."
        )


def _even(stage: StageConfig) -> str:
    """The layouts closest to a stage's that divide its batch evenly."""
    layout = stage.layout
    if works := layouts(stage.global_batch, layout.workers):
        near = sorted(works, key=lambda pair: abs(pair[0] - layout.micro_batch))[:_OFFERED]
        return "Even with these workers: micro_batch " + ", ".join(str(m) for m, _ in near)
    most = min(stage.global_batch, 4 * layout.workers)
    counts = [w for w in range(1, most + 1) if stage.global_batch % w == 0]
    best = sorted(counts, key=lambda w: abs(w - layout.workers))[:_OFFERED]
    return "Even: workers " + ", ".join(str(w) for w in sorted(best))
