"""Make an artifact again from its own record, and compare."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from pipeline.artifacts.inputs import LINKS
from pipeline.artifacts.record import Artifact
from pipeline.artifacts.steps import Kind
from pipeline.artifacts.survey import PlanStatus, survey
from pipeline.errors import UserError
from pipeline.plan.identity import in_corpora, inputs
from pipeline.plan.plan import Plan
from pipeline.storage.location import Location

REBUILT = (Kind.CORPORA, Kind.PREPARE)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """An artifact and the copy made again. ``differences`` names the shards, or digests, that differ."""

    artifact: Artifact
    again: Artifact
    differences: tuple[str, ...]


def plan_of(artifact: Artifact, into: Location) -> Plan:
    """The plan that made an artifact, with its inputs at their recorded places and its storage in ``into``.

    Raises UserError for a checkpoint or an evaluation, and for a record without a plan.
    """
    record = artifact.record
    if record.kind not in REBUILT:
        raise UserError(
            artifact.location.uri,
            f"is an artifact of kind {record.kind}.",
            "Datasets and demo corpora can be rebuilt; train or score again with `ufvideo run PLAN`.",
        )
    if not record.plan:
        raise UserError(
            artifact.location.uri,
            "has a record that does not hold its plan.",
            "It was made by an older version; run its plan file with another storage.root and compare.",
        )
    try:
        plan = Plan.model_validate(record.plan)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(
            artifact.location.uri,
            f"holds a plan that this version does not read ({where}: {first['msg']}).",
            f"Use the version that made it: {record.code.short}.",
        ) from None
    sources = []
    for source in plan.data.sources:
        moved: dict[str, object] = {}
        for key in inputs(source):
            ref = record.inputs.get(f"data.sources[{source.name}].{key}")
            if ref is not None:
                moved[key] = ref.uri
        media = [p if in_corpora(p) else "" for p in source.media]
        places = record.places.get(source.name, ())
        if len(places) == len(media):
            moved["media"] = tuple(kept or place for kept, place in zip(media, places, strict=True))
        sources.append(source.model_copy(update=moved))
    links = record.places.get(LINKS, plan.data.allow_links_to)
    data = plan.data.model_copy(update={"sources": tuple(sources), "allow_links_to": links})
    storage = plan.storage.model_copy(update={"root": into.uri})
    return plan.model_copy(update={"data": data, "storage": storage})


def check_inputs(artifact: Artifact, plan_status: PlanStatus) -> None:
    """Raise UserError for an input that is not what the artifact was made from."""
    for name, ref in plan_status.inputs[artifact.record.step].items():
        before = artifact.record.inputs.get(name)
        if before is not None and before.digest != ref.digest:
            raise UserError(
                name,
                f"{ref.uri} has changed since {artifact.location.uri} was made "
                f"(digest {before.digest[:12]} then, {ref.digest[:12]} now).",
                "Restore the file that it was made from; another input gives another dataset.",
            )


def compare(artifact: Artifact, plan: Plan) -> Comparison:
    """Compare an artifact with what its plan has made in the new place."""
    again = survey(plan).artifacts[artifact.record.step]
    assert again is not None, "compared before it was made"
    differences: list[str] = []
    if again.record.digest != artifact.record.digest:
        if artifact.record.kind == Kind.PREPARE:
            differences = _shards(artifact.location, again.location)
        differences.append(f"digest {artifact.record.digest[:12]}, made again {again.record.digest[:12]}")
    return Comparison(artifact=artifact, again=again, differences=tuple(differences))


def _shards(one: Location, other: Location) -> list[str]:
    from pipeline.dataset.changes import changed_videos
    from pipeline.dataset.manifest import read_manifest

    before, after = (
        {f.name: f for s in read_manifest(place).shards for f in s.files} for place in (one, other)
    )
    out = [f"{name} was not made again" for name in before if name not in after]
    out += [f"{name} was not there before" for name in after if name not in before]
    for name in before:
        if name in after and before[name].sha256 != after[name].sha256:
            rows = f"{before[name].rows} rows, made again {after[name].rows}"
            out.append(f"{name} differs ({rows})")
    return [*changed_videos(one, other), *sorted(out)]
