"""Which steps a plan has, in what order, and which of them still have to run: pure decisions, no I/O."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pipeline.artifacts.record import ArtifactRecord
from pipeline.errors import UserError
from pipeline.plan.data import SourceConfig
from pipeline.plan.identity import identity, in_corpora, inputs
from pipeline.plan.plan import Plan
from pipeline.plan.suggest import suggest
from pipeline.records.version import SCHEMA_VERSION


class Kind(StrEnum):
    """What a step does; the key of its builder."""

    CORPORA = "corpora"
    PREPARE = "prepare"
    INIT = "init"
    STAGE = "stage"
    EVALUATE = "evaluate"
    REPORT = "report"


MODULES = {
    Kind.CORPORA: "datasets_prep",
    Kind.PREPARE: "datasets_prep",
    Kind.INIT: "training",
    Kind.STAGE: "training",
    Kind.EVALUATE: "evaluation",
    Kind.REPORT: "evaluation",
}

# Raised by hand when changed code of a kind gives another result for the same settings. Hashing the code
# itself would throw away weeks of work for a changed comment.
REVISION = dict.fromkeys(Kind, 1) | {
    Kind.CORPORA: 3,
    Kind.PREPARE: 5,
    Kind.INIT: 3,
    Kind.STAGE: 3,
    Kind.EVALUATE: 9,
    Kind.REPORT: 7,
}


@dataclass(frozen=True, kw_only=True)
class StepSpec:
    """One step of a plan.

    ``needs`` are names of earlier steps. ``subject`` is the stage's name, or the checkpoint as the plan
    writes it. ``checkpoint`` is the step, or the location of the artifact, whose weights the step starts
    from or scores. ``identity`` holds exactly the settings that affect the result.
    """

    name: str
    kind: Kind
    module: str
    needs: tuple[str, ...] = ()
    identity: Mapping[str, Any] = field(default_factory=dict)
    subject: str = ""
    checkpoint: str = ""

    @property
    def external_checkpoint(self) -> str:
        """Location of a checkpoint that another plan made; empty if there is none."""
        return self.checkpoint if "/" in self.checkpoint else ""


class State(StrEnum):
    """Whether a step has to run."""

    DONE = "done"
    TODO = "todo"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What to do about one step, and why."""

    spec: StepSpec
    fingerprint: str
    state: State
    reason: str


def steps(plan: Plan) -> tuple[StepSpec, ...]:
    """Every step of the plan, in an order in which they can run.

    Raises UserError for two steps of one name, and for baked frames that the plan's model does not read.
    """
    _refuse_other_frames(plan)
    out: list[StepSpec] = []

    def add(kind: Kind, name: str, needs: Sequence[str], parts: Mapping[str, Any], **more: str) -> None:
        if any(s.name == name for s in out):
            raise UserError(
                "plan",
                f"two of its steps are called {name}.",
                "Give the stage a name that no other step has.",
            )
        needs = tuple(dict.fromkeys(n for n in needs if "/" not in n))
        identity_ = _identity(kind, parts)
        out.append(
            StepSpec(name=name, kind=kind, module=MODULES[kind], needs=needs, identity=identity_, **more)
        )

    seed, size = {"seed": plan.seed}, {"model": plan.model.resolved if plan.model else None}
    if plan.demo:
        add(Kind.CORPORA, "corpora", (), {"demo": plan.demo})
    made_of: dict[str, Any] = {"data": plan.data, "schema_version": SCHEMA_VERSION, **seed}
    add(Kind.PREPARE, "prepare", ("corpora",) if plan.demo else (), made_of)
    scored = plan.evaluation.checkpoints if plan.evaluation else ()
    if "init" in (*(s.start_from for s in plan.stages), *scored):
        on: tuple[str, ...] = () if plan.model_section.tokenizer.path else ("prepare",)
        made_of = {
            "tokenizer": plan.model_section.tokenizer,
            "weights": plan.model_section.weights,
            **size,
            **seed,
        }
        add(Kind.INIT, "init", on, made_of)
    for stage in plan.stages:
        add(
            Kind.STAGE,
            stage.name,
            ("prepare", stage.start_from),
            {"stage": stage, **size, **seed},
            subject=stage.name,
            checkpoint=stage.start_from,
        )
    if plan.evaluation:
        made_of = {"evaluation": plan.evaluation, **seed}
        for text in scored:
            more = {"subject": text, "checkpoint": text}
            add(Kind.EVALUATE, evaluate_name(text), ("prepare", text), made_of, **more)
        needs = ("prepare", *(s.name for s in plan.stages), *map(evaluate_name, scored))
        add(Kind.REPORT, "report", needs, {"name": plan.name, **made_of})
    return tuple(out)


def evaluate_name(checkpoint: str) -> str:
    """Name of the step that scores a checkpoint; one outside the plan gets a short hash of its location."""
    if "/" not in checkpoint:
        return f"evaluate-{checkpoint}"
    last = re.sub(r"[^a-z0-9_-]+", "-", checkpoint.rstrip("/").rpartition("/")[2].lower())[:32].strip("-")
    return f"evaluate-{last}-{hashlib.sha256(checkpoint.encode()).hexdigest()[:8]}"


def decide(
    specs: Sequence[StepSpec],
    prints: Mapping[str, str],
    found: Mapping[str, ArtifactRecord | None],
    forced: frozenset[str] = frozenset(),
    places: Mapping[str, Mapping[str, tuple[str, ...]]] | None = None,
) -> tuple[Decision, ...]:
    """What to do about each step, from the records that were found under their fingerprints.

    A step is done if its record exists and its inputs still have the content that it was made from. A forced
    step runs again; later ones run again only if its result is different. ``places`` has, by step, the
    present places of inputs whose place is in no fingerprint; if the record of a step has another place, it
    runs again in the same way.
    """
    out = []
    for spec in specs:
        record = found.get(spec.name)
        state, reason = State.TODO, ""
        if record is None:
            reason = "not made yet"
        elif record.fingerprint != prints[spec.name]:
            reason = "its folder holds something else"
        elif spec.name in forced:
            reason = "asked for again"
        else:
            changed = [
                name
                for name in spec.needs
                if (now := found.get(name))
                and name in record.inputs
                and now.digest != record.inputs[name].digest
            ]
            moved = _moved(record.places, (places or {}).get(spec.name, {}))
            if changed:
                reason = f"made from another build of {', '.join(changed)}"
            elif moved:
                reason = f"media folders changed: {', '.join(moved)}"
            elif unreadable := record.summary.get("unreadable"):
                reason = f"the videos of {unreadable} samples could not be read; they are asked again"
            elif unjudged := record.summary.get("unjudged"):
                reason = f"{unjudged} answers are not judged; the judge is asked again"
            else:
                state, reason = State.DONE, f"made {record.created}"
        out.append(Decision(spec=spec, fingerprint=prints[spec.name], state=state, reason=reason))
    return tuple(out)


def unknown_step(name: str, specs: Sequence[StepSpec]) -> UserError:
    """The error for a step name that the plan does not have."""
    names = [spec.name for spec in specs]
    return UserError(f"step {name}", "is not in this plan.", suggest(name, names, "It has"))


def steps_up_to(plan: Plan, until: str | None, forced: Iterable[str] = ()) -> set[str]:
    """Names of the steps to make. Raises UserError for a name that the plan does not have."""
    specs = steps(plan)
    by_name = {spec.name: spec for spec in specs}
    for name in (*forced, *([until] if until else [])):
        if name not in by_name:
            raise unknown_step(name, specs)
    return set(by_name) if until is None else _with_needs(by_name, until)


def up_to(decisions: Sequence[Decision], until: str | None) -> tuple[Decision, ...]:
    """The decisions about one step and everything that it needs; all decisions if ``until`` is None."""
    if until is None:
        return tuple(decisions)
    wanted = _with_needs({d.spec.name: d.spec for d in decisions}, until)
    return tuple(d for d in decisions if d.spec.name in wanted)


def _with_needs(by_name: Mapping[str, StepSpec], name: str) -> set[str]:
    wanted, queue = set(), [name]
    while queue:
        name = queue.pop()
        wanted.add(name)
        queue += by_name[name].needs
    return wanted


def folder(name: str, fingerprint: str) -> str:
    """Folder of a step's artifact below the storage root."""
    return f"{name}/{fingerprint[:12]}"


def _identity(kind: Kind, parts: Mapping[str, Any]) -> dict[str, Any]:
    """The identity of a step: from each of its sections, the settings that affect the result."""
    forms = {name: identity(part, kind) for name, part in parts.items()}
    return {name: form for name, form in forms.items() if form != {}}


def _refuse_other_frames(plan: Plan) -> None:
    """A model of eight frames reads other frames than one of sixteen, so its own have to be baked."""
    if plan.data.bake is None or plan.model is None:
        return
    bake, takes = plan.data.bake, plan.model.resolved.num_frames
    if bake.frames != takes:
        raise UserError(
            "data.bake",
            f"bakes {bake.frames} frames of a video into the shards, but the model of this plan looks at "
            f"{takes} other frames (num_frames of the preset {plan.model.preset} with its overrides).",
            f"Set data.bake.frames: {takes}, or model.overrides.num_frames: {bake.frames}.",
        )


def _moved(made: Mapping[str, tuple[str, ...]], now: Mapping[str, tuple[str, ...]]) -> list[str]:
    return [name for name in now if tuple(made.get(name, ())) != tuple(now[name])]


def media_outside(source: SourceConfig) -> tuple[str, ...]:
    """Media folders of a source outside the demo corpora."""
    return tuple(path for path in source.media if not in_corpora(path))


def outside_paths(source: SourceConfig) -> dict[str, str]:
    """Annotation files or folders of a source outside the demo corpora, by the plan's key."""
    return {key: path for key, path in inputs(source).items() if not in_corpora(path)}
