"""Lines of the table that several benchmarks of masks have."""

from __future__ import annotations

from evaluation.metrics.aggregate import AS_PUBLISHED, Metric, Over


def region_metrics(rule: str) -> tuple[Metric, ...]:
    """J, F and their mean, averaged as ``rule`` says."""
    return tuple(Metric(name=name, measure=name, rule=rule) for name in ("J", "F", "J&F"))


def pooled_frames(samples: str = "expressions", categories: tuple[str, ...] = ()) -> Metric:
    """UFVideo's averaging: one mean over the frames of all samples that show their object."""
    return Metric(
        name="J&F, UFVideo's averaging",
        measure="J&F shown",
        over=Over.WEIGHTS,
        categories=categories,
        main=False,
        protocol=AS_PUBLISHED,
        rule=f"frames that show the object alone, those of all {samples} in one mean",
    )
