"""One step: its context, and the skeleton that ``python -m datasets_prep|training|evaluation`` share."""

from __future__ import annotations

import argparse
import math
import os
import shutil
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from pipeline import progress
from pipeline.artifacts.checkpoint import outside_artifact
from pipeline.artifacts.fingerprint import code_version
from pipeline.artifacts.record import (
    RECORD_NAME,
    Artifact,
    ArtifactRecord,
    commit_artifact,
    now,
)
from pipeline.artifacts.steps import State, StepSpec
from pipeline.artifacts.survey import PlanStatus, survey, with_records
from pipeline.canonical import digest, plain
from pipeline.errors import UserError
from pipeline.jobs import claim
from pipeline.jobs.guard import guarded
from pipeline.jobs.sending import tracked_plan
from pipeline.jobs.system_metrics import system_metrics
from pipeline.jobs.tracked import log_end, log_start
from pipeline.jobs.tracking import Parent, Run, start_run
from pipeline.plan.identity import CORPORA, in_corpora
from pipeline.plan.load import load_plan
from pipeline.plan.plan import Plan
from pipeline.records.version import SCHEMA_VERSION
from pipeline.storage.location import Location


@dataclass(frozen=True)
class StepResult:
    """What a builder returns: the digest of its result, and counts for the record.

    ``afterwards`` runs once the record is written; then files for resuming can be deleted.
    """

    digest: str
    summary: dict[str, Any]
    afterwards: Callable[[], None] | None = None


@dataclass(frozen=True)
class StepContext:
    """The arguments of a builder.

    ``out`` is the artifact's folder and may hold files of a killed attempt; a builder has to be
    idempotent. ``inputs`` are the artifacts of ``spec.needs`` by step name. ``scratch`` is a local folder
    that is deleted afterwards. ``checkpoint`` is the artifact to start from or to score, None for a model
    that no plan made (``spec.external_checkpoint``).
    """

    plan: Plan
    spec: StepSpec
    fingerprint: str
    out: Location
    inputs: Mapping[str, Artifact]
    seed: int
    scratch: Path
    corpora: Location | None
    checkpoint: Artifact | None = None
    plan_run: Parent | None = None  # the plan's MLflow run
    started_at: float = field(default_factory=time.time)  # seconds since 1970, for the step's MLflow run

    @cached_property
    def tracker(self) -> Run:
        """This step's MLflow run. ``build`` begins and ends it; builders add to it."""
        return start_run(
            self.plan,
            self.spec.name,
            self.fingerprint,
            inputs=digest({name: made.record.digest for name, made in self.inputs.items()})[:16],
            parent=self.plan_run,
            started_at=self.started_at,
        )

    def resolve(self, path_text: str) -> Location:
        """A path of the plan: ``${corpora}`` is the demo corpora, others start at the working folder."""
        if not in_corpora(path_text):
            return Location.parse(path_text, self.plan.storage.local_cache)
        if self.corpora is None:
            raise UserError(
                path_text,
                "there are no demo corpora in this plan.",
                "Add a demo section, or name a real path.",
            )
        return self.corpora.join(path_text.removeprefix(CORPORA).lstrip("/"))


_LOOK_EVERY_S = 0.5
_SAY_EVERY_S = 30.0

Builder = Callable[[StepContext], StepResult]


def make_context(plan: Plan, step_name: str, plan_status: PlanStatus | None = None) -> StepContext:
    """The context of one step of a plan, for the command line and for tests.

    Raises UserError for an unknown step, and for an input artifact that does not exist.
    """
    plan_status = plan_status or survey(plan)
    spec = plan_status.spec(step_name)
    inputs = {}
    for name in spec.needs:
        found = plan_status.artifacts[name]
        if found is None:
            raise UserError(
                step_name,
                f"needs {name}, which has not been made yet "
                f"({plan_status.folder(name).uri} holds no record).",
                f"Make it first: python -m {plan_status.spec(name).module} --plan PLAN --step {name}, "
                "or everything: ufvideo run PLAN.",
            )
        inputs[name] = found
    checkpoint = inputs.get(spec.checkpoint)
    if spec.external_checkpoint:
        checkpoint = outside_artifact(spec.external_checkpoint, plan.storage.local_cache)
    scratch = _new_scratch(step_name)
    context = StepContext(
        plan=plan,
        spec=spec,
        fingerprint=plan_status.fingerprints[step_name],
        out=plan_status.folder(step_name),
        inputs=inputs,
        seed=plan.seed,
        scratch=scratch,
        corpora=inputs["corpora"].location if "corpora" in inputs else _made_corpora(plan_status),
        checkpoint=checkpoint,
        plan_run=Parent.of(plan, plan_status.fingerprints),
    )
    weakref.finalize(context, shutil.rmtree, scratch, ignore_errors=True)
    return context


def build(context: StepContext, builder: Builder, plan_status: PlanStatus | None = None) -> Artifact:
    """Run a builder and write the record last. The scratch folder is always deleted.

    Its MLflow run lasts as long, and ends as it ends.
    """
    plan_status = plan_status or survey(context.plan)
    started_at = time.monotonic()
    with system_metrics(context.tracker) as run:
        log_start(run, context.spec, context.inputs, context.checkpoint)
        context.out.mkdir()
        context.out.sweep()
        (context.out / RECORD_NAME).delete()  # without its record the artifact does not count as finished
        try:
            result = builder(context)
        finally:
            shutil.rmtree(context.scratch, ignore_errors=True)
        record = ArtifactRecord(
            step=context.spec.name,
            kind=context.spec.kind,
            fingerprint=context.fingerprint,
            digest=result.digest,
            schema_version=SCHEMA_VERSION,
            code=code_version(),
            inputs={n: a.ref for n, a in context.inputs.items()}
            | dict(plan_status.inputs[context.spec.name]),
            places=dict(plan_status.places[context.spec.name]),
            config=dict(context.spec.identity),
            plan=plain(context.plan),
            summary=result.summary,
            created=now(),
            seconds=round(time.monotonic() - started_at, 3),
        )
        made = commit_artifact(context.out, record)
        if result.afterwards is not None:
            result.afterwards()
        log_end(run, context.spec, made)
    return made


def run_step(module: str, builders: Mapping[str, Builder], argv: list[str] | None = None) -> int:
    """The command line of one module. Returns the exit code: 0, 1 for a crash, 2 for a user's mistake."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}", description=f"Run the steps of a plan that belong to {module}."
    )
    parser.add_argument("--plan", required=True, help="the plan file (YAML)")
    parser.add_argument(
        "--step",
        action="append",
        default=[],
        metavar="NAME",
        help="one step; default: all of this module that are not made yet",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="A.B=C", help="change one value of the plan"
    )
    parser.add_argument("--check", action="store_true", help="print what would be done, and do nothing")
    parser.add_argument("--force", action="store_true", help="make the step again even if it is there")
    options = parser.parse_args(argv)
    return guarded(lambda: _run(module, builders, options))


def _run(module: str, builders: Mapping[str, Builder], options: argparse.Namespace) -> int:
    plan = load_plan(options.plan, options.set)
    plan_status = survey(plan)
    for name in options.step:
        if plan_status.spec(name).module != module:
            raise UserError(
                f"--step {name}",
                "belongs to another module.",
                f"Run python -m {plan_status.spec(name).module} instead.",
            )
    own = [
        s for s in plan_status.specs if s.module == module and (not options.step or s.name in options.step)
    ]
    forced = frozenset(s.name for s in own) if options.force else frozenset()
    decisions = {d.spec.name: d for d in plan_status.decide(forced)}
    for spec in own:
        decision = decisions[spec.name]
        if options.check or decision.state is State.DONE:
            print(
                f"{spec.name}: {decision.state} ({decision.reason}) {plan_status.folder(spec.name).uri}",
                flush=True,
            )
    if options.check:
        return 0
    if all(decisions[spec.name].state is State.DONE for spec in own):
        return 0
    with tracked_plan(plan, plan_status, partial(print, flush=True)):
        for spec in own:
            if decisions[spec.name].state is State.DONE:
                continue
            assert spec.kind in builders, (
                f"{module} has no builder for {spec.kind}, only for {', '.join(builders)}"
            )
            progress.announce(spec.name, "start")
            with _claimed(plan_status.folder(spec.name), spec.name, f"python -m {module}"):
                # An earlier step, or the previous holder of the claim, may have made something, and an
                # outside input of this step may have changed.
                plan_status = survey(plan) if plan_status.inputs[spec.name] else with_records(plan_status)
                made = plan_status.artifacts[spec.name]
                state = {d.spec.name: d.state for d in plan_status.decide(forced)}[spec.name]
                if made is not None and state is State.DONE:
                    print(f"{spec.name}: was made meanwhile, {made.location.uri}", flush=True)
                else:
                    made = build(make_context(plan, spec.name, plan_status), builders[spec.kind], plan_status)
                    print(
                        f"{spec.name}: made in {made.record.seconds:.1f} s, digest {made.record.digest[:12]} "
                        f"{made.location.uri}",
                        flush=True,
                    )
            progress.announce(spec.name, "done", made.record.digest)
    return 0


@contextmanager
def _claimed(folder: Location, step: str, command: str) -> Iterator[None]:
    """Claim the artifact for this process; wait for any process that is writing it."""
    printed_at = -math.inf
    while (own := claim.take(folder, claim.STEP, command)) is None:
        if time.monotonic() - printed_at >= _SAY_EVERY_S and (holder := claim.holder(folder, claim.STEP)):
            print(f"{step}: is being made by {holder}; waiting until that ends", flush=True)
            printed_at = time.monotonic()
        time.sleep(_LOOK_EVERY_S)
    try:
        yield
    finally:
        own.release()


def _made_corpora(plan_status: PlanStatus) -> Location | None:
    found = plan_status.artifacts.get("corpora")
    return found.location if found else None


def _new_scratch(step_name: str) -> Path:
    """A temporary folder named after this process, so that those of killed processes can be deleted."""
    home = Path(tempfile.gettempdir()) / f"ufvideo-{os.getuid()}"
    home.mkdir(mode=0o700, exist_ok=True)
    for old in home.iterdir():
        pid = old.name.partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists() and Path("/proc").is_dir():
            shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-{step_name}-", dir=home))
