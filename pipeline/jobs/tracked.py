"""What the MLflow run of a step holds: its settings, inputs, checkpoint, counts and files."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

from pipeline.artifacts.record import Artifact
from pipeline.artifacts.steps import Kind, StepSpec
from pipeline.jobs.logged_values import flatten, metric_name, plan_params
from pipeline.jobs.tracking import Run
from pipeline.plan.data import Use

_SECTIONS = {
    Kind.CORPORA: ("demo.",),
    Kind.PREPARE: ("data.", "source."),
    Kind.INIT: ("model.",),
    Kind.STAGE: ("model.",),
    Kind.EVALUATE: ("evaluation.",),
    Kind.REPORT: (),
}
"""Keys of the plan that are parameters of each kind of step."""
_NOT_COUNTED = ("benchmarks", "last", "mixture")  # parts of a summary that are curves or metrics already
_SHOWN = (".html", ".json", ".jsonl", ".md", ".tex", ".txt")
_SHOWN_BYTES = 32 * 2**20  # a larger file stays where it is


def log_start(run: Run, spec: StepSpec, inputs: Mapping[str, Artifact], checkpoint: Artifact | None) -> None:
    """Settings, datasets, and the checkpoint that the step starts from or scores."""
    own = f"stages.{spec.subject}."
    wanted = _SECTIONS[spec.kind]
    values = plan_params(run.plan)
    named = {
        k.removeprefix(own): v for k, v in values.items() if spec.kind is Kind.STAGE and k.startswith(own)
    }
    run.log_params(named | {k: v for k, v in values.items() if k.startswith(wanted)})
    context = (
        "evaluation" if spec.kind is Kind.EVALUATE else "training" if spec.kind is Kind.STAGE else "input"
    )
    for name, made in inputs.items():
        if made.record.kind in (Kind.CORPORA, Kind.PREPARE):
            run.log_dataset(name, made.record.digest, made.location.uri, context, _size(made))
        if made.record.kind == Kind.PREPARE and spec.kind in (Kind.STAGE, Kind.EVALUATE):
            for source in _sources(run, spec, made):
                digest = source_digest(made, source)
                run.log_dataset(source, digest, made.location.uri, context, _size(made, source))
    if checkpoint is not None:
        uri = checkpoint.location.uri
        name = spec.checkpoint.rstrip("/").rpartition("/")[2]
        run.log_model(model_name(name), checkpoint.record.digest, uri, output=False)


def log_end(run: Run, spec: StepSpec, made: Artifact) -> None:
    """Counts, files and the checkpoint of a finished artifact."""
    record, uri = made.record, made.location.uri
    run.set_tag("digest", record.digest)
    run.set_tag("artifact", uri)
    run.log_metrics({"seconds": record.seconds, **counts(record.summary)}, step=0)
    if spec.kind in (Kind.INIT, Kind.STAGE):
        tags = {f"ufvideo.input.{name}": ref.digest for name, ref in record.inputs.items()}
        tags |= {"ufvideo.fingerprint": record.fingerprint, "ufvideo.plan": run.plan.name}
        run.log_model(model_name(spec.name), record.digest, uri, output=True, **tags)
    for place, stat in made.location.entries():
        if not stat.is_dir and place.name.endswith(_SHOWN) and stat.size <= _SHOWN_BYTES:
            run.log_file(place)


def counts(summary: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a summary under dotted names."""
    kept = {key: value for key, value in summary.items() if key not in _NOT_COUNTED}
    return {
        name: float(value)
        for name, value in sorted(flatten(kept).items())
        if isinstance(value, Real) and not isinstance(value, bool)
    }


def source_digest(prepared: Artifact, source: str) -> str:
    """The digest of one source's samples, from the manifest; that of the dataset where it has none."""
    entry = prepared.record.summary.get("sources", {}).get(source, {})
    return entry.get("identity") or prepared.record.digest


def model_name(name: str) -> str:
    """The name of a checkpoint in MLflow, which allows no ``/``, ``:`` or ``.`` in it."""
    return metric_name(name).replace("/", "-").replace(".", "-")


def _sources(run: Run, spec: StepSpec, prepared: Artifact) -> list[str]:
    """The sources of a dataset that a step reads."""
    known = prepared.record.summary.get("sources", {})
    if spec.kind is Kind.EVALUATE:
        assert run.plan.evaluation is not None
        wanted = [b.source for b in run.plan.evaluation.benchmarks]
    else:
        stage = next(s for s in run.plan.stages if s.name == spec.subject)
        wanted = list(stage.mixture) or [n for n, entry in known.items() if entry.get("use") == Use.TRAIN]
    return [name for name in dict.fromkeys(wanted) if name in known]


def _size(prepared: Artifact, source: str | None = None) -> dict[str, int]:
    known = prepared.record.summary.get("sources", {})
    chosen = [known[source]] if source else known.values()
    return {"samples": sum(entry.get("kept", 0) for entry in chosen)} if known else {}
