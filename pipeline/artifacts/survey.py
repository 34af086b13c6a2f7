"""The state of a plan: its steps, their fingerprints, the existing artifacts. Reads, never writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.artifacts.inputs import external_inputs, media_places, storage_root
from pipeline.artifacts.record import Artifact, InputRef, load_artifact
from pipeline.artifacts.steps import REVISION, Decision, StepSpec, decide, folder, steps, unknown_step
from pipeline.canonical import digest
from pipeline.plan.plan import Plan
from pipeline.storage.location import Location


@dataclass(frozen=True)
class PlanStatus:
    """The state of a plan at one moment; mappings are by step name."""

    root: Location
    specs: tuple[StepSpec, ...]
    inputs: Mapping[str, Mapping[str, InputRef]]
    fingerprints: Mapping[str, str]
    artifacts: Mapping[str, Artifact | None]
    places: Mapping[str, Mapping[str, tuple[str, ...]]]

    def spec(self, name: str) -> StepSpec:
        """One step. Raises UserError for a name that the plan does not have."""
        for spec in self.specs:
            if spec.name == name:
                return spec
        raise unknown_step(name, self.specs)

    def folder(self, name: str) -> Location:
        """Where the step's artifact is, or will be."""
        return self.root / folder(name, self.fingerprints[name])

    def decide(self, forced: frozenset[str] = frozenset()) -> tuple[Decision, ...]:
        """What to do about each step."""
        records = {name: artifact.record if artifact else None for name, artifact in self.artifacts.items()}
        return decide(self.specs, self.fingerprints, records, forced, self.places)


def with_records(plan_status: PlanStatus) -> PlanStatus:
    """The status with the records that exist now; its outside inputs are not read again.

    The steps of a plan do not change its outside inputs, and listing and hashing them takes most of a survey.
    """
    artifacts = {name: load_artifact(plan_status.folder(name)) for name in plan_status.fingerprints}
    return replace(plan_status, artifacts=artifacts)


def survey(plan: Plan) -> PlanStatus:
    """Find out the state of a plan. Raises UserError for an outside input that is missing."""
    root = storage_root(plan)
    specs = steps(plan)
    inputs = {s.name: external_inputs(plan, s) for s in specs}
    by_step = fingerprints(
        specs, {name: {k: r.digest for k, r in refs.items()} for name, refs in inputs.items()}
    )
    artifacts = {s.name: load_artifact(root / folder(s.name, by_step[s.name])) for s in specs}
    corpora = root / folder("corpora", by_step["corpora"]) if "corpora" in by_step else root
    places = {s.name: media_places(plan, s, corpora) for s in specs}
    return PlanStatus(root, specs, inputs, by_step, artifacts, places)


def fingerprint(spec: StepSpec, upstream: Mapping[str, str], external: Mapping[str, str]) -> str:
    """SHA-256 of everything that determines a step's result.

    ``upstream`` holds the fingerprint of each step in ``spec.needs``, ``external`` the digest of each input
    that the plan does not make.
    """
    return digest(
        {
            "kind": spec.kind,
            "revision": REVISION[spec.kind],
            "identity": spec.identity,
            "upstream": {name: upstream[name] for name in spec.needs},
            "external": external,
        }
    )


def fingerprints(specs: Sequence[StepSpec], external: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Fingerprint of every step; ``external`` is by step name."""
    out: dict[str, str] = {}
    for spec in specs:
        out[spec.name] = fingerprint(spec, out, external.get(spec.name, {}))
    return out
