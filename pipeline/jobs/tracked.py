"""The MLflow run of a step without curves: its inputs, counts and duration."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from numbers import Real
from typing import Any

from pipeline.errors import UserError
from pipeline.jobs.logged_values import flatten
from pipeline.jobs.step import Builder, StepContext, StepResult
from pipeline.jobs.tracking import start_run
from pipeline.storage.credentials import without_credentials


def tracked(builder: Builder) -> Builder:
    """A builder that also writes an MLflow run of the step.

    The run is written once the artifact is finished. If MLflow fails, stderr says so and the step succeeds.
    """

    def build(context: StepContext) -> StepResult:
        result = builder(context)

        def afterwards() -> None:
            ended = time.time()  # opening MLflow for the first time takes seconds
            if result.afterwards is not None:
                result.afterwards()
            _telling(lambda: _write(context, result, ended), context.spec.name)

        return replace(result, afterwards=afterwards)

    return build


def _write(context: StepContext, result: StepResult, ended: float) -> None:
    run = start_run(
        context.plan, context.spec.name, context.fingerprint, resume=False, started_at=context.started_at
    )
    run.ended_at = ended
    with run:
        run.log_params(context.spec.identity)
        for name, made in context.inputs.items():
            run.log_dataset(name, made.record.digest, made.location.uri, context="input")
        run.set_tag("digest", result.digest)
        run.set_tag("artifact", context.out.uri)
        run.log_metrics(counts(result.summary), step=0)


def counts(summary: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a summary under dotted names, as MLflow takes them."""
    numbers = {
        "".join(c if c.isalnum() or c in "_-. /" else "_" for c in name): float(value)
        for name, value in flatten(summary).items()
        if isinstance(value, Real) and not isinstance(value, bool)
    }
    return dict(sorted(numbers.items()))


def _telling(write: Callable[[], None], step: str) -> None:
    try:
        write()
    except UserError as error:
        print(f"Note: {step} is made, but has no run in MLflow. {error}", file=sys.stderr, flush=True)
    except Exception as error:
        text = without_credentials(str(error))[:300]
        print(
            f"Note: {step} is made, but its run in MLflow is incomplete ({type(error).__name__}: {text}).",
            file=sys.stderr,
            flush=True,
        )
