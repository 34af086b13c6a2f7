"""Which parts of a plan identify an artifact, which do not, and what a new field changes."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from datasets_prep.reuse import source_identity
from pipeline.artifacts.rebuild import plan_of
from pipeline.artifacts.record import RECORD_NAME, load_artifact
from pipeline.artifacts.steps import Kind, steps
from pipeline.artifacts.survey import fingerprints
from pipeline.plan.base import Config
from pipeline.plan.data import PrepConfig
from pipeline.plan.identity import SHARDS, Bears, bears_on, identity, input_fields
from pipeline.plan.load import load_plan
from pipeline.plan.model import ModelConfig
from pipeline.plan.plan import Plan
from pipeline.storage.location import Location

REPO = Path(__file__).resolve().parents[2]
SHIPPED = sorted((REPO / "plans").glob("*.yaml"))
ALL_FOR = (*Kind, SHARDS)


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from models_in(argument)


def sections() -> set[type[BaseModel]]:
    """Every class of a section that a plan can hold, with those of the model that it resolves to."""
    found: set[type[BaseModel]] = set()
    queue: list[type[BaseModel]] = [Plan, ModelConfig]
    while queue:
        section = queue.pop()
        if section not in found:
            found.add(section)
            queue += [m for field in section.model_fields.values() for m in models_in(field.annotation)]
    return found


def parts_of(value: Any) -> Iterator[BaseModel]:
    """Every section of a plan, with those of the model that it resolves to."""
    if isinstance(value, BaseModel):
        yield value
        yield from (part for name in type(value).model_fields for part in parts_of(getattr(value, name)))
        if isinstance(value, Plan) and value.model is not None:
            yield from parts_of(value.model.resolved)
    elif isinstance(value, dict):
        yield from (part for item in value.values() for part in parts_of(item))
    elif isinstance(value, list | tuple):
        yield from (part for item in value for part in parts_of(item))


def test_every_section_is_a_config():
    assert len(sections()) > 20
    assert all(issubclass(section, Config) for section in sections())


# Every class of a plan inherits from pipeline.plan.base, so a field that is added there is added to all.
GROWN = """
    import sys
    from pipeline.plan import base

    def grown(parent):
        body = {"__annotations__": {"a_new_option": int}, "a_new_option": 0, "__module__": base.__name__}
        return type(parent.__name__, (parent,), body)

    base.Config, base.RuntimeConfig = grown(base.Config), grown(base.RuntimeConfig)
    sys.path.insert(0, "tests/pipeline")
    import test_identity as here

    assert all("a_new_option" in section.model_fields for section in here.sections())
    here.print_identities()
"""


def print_identities() -> None:
    """Print the identities of the steps and sources of every shipped plan, one per line."""
    for path in SHIPPED:
        plan = load_plan(str(path))
        for name, fingerprint in fingerprints(steps(plan), {}).items():
            print(path.name, name, fingerprint)
        for source in plan.data.sources:
            print(path.name, source.name, source_identity(source, plan.data, plan.seed, "a", "m"))


def test_a_new_field_at_its_default_changes_no_identity(capsys: pytest.CaptureFixture[str]):
    print_identities()
    before = capsys.readouterr().out
    command = [sys.executable, "-c", textwrap.dedent(GROWN)]
    after = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=120)
    assert after.returncode == 0, after.stderr
    assert after.stdout == before


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_fields_that_a_plan_leaves_out_are_in_no_identity(path: Path):
    """Catches a default that a validator changes, and that would then be part of the identity."""
    for part in parts_of(load_plan(str(path))):
        for kind in ALL_FOR:
            form = identity(part, kind)
            optional = {n for n, f in type(part).model_fields.items() if not f.is_required()}
            assert not set(form) & (optional - part.model_fields_set), (type(part).__name__, kind)


def test_a_default_written_out_is_the_same_as_one_left_out(plan_file: Path):
    written = ["data.min_frames=2", "stages.0.optimizer={lr: 0.00002, clip: 1}", "stages.1.lora=null"]
    written += ["demo.max_seconds=20", "model.overrides.loss={ce: 1}", "model.tokenizer={vocab_size: 600}"]
    before, after = (fingerprints(steps(load_plan(str(plan_file), sets)), {}) for sets in ([], written))
    assert before == after


def test_a_section_at_its_defaults_differs_from_a_missing_section(plan_file: Path):
    def stage(setting: str) -> Any:
        return next(s for s in steps(load_plan(str(plan_file), [setting])) if s.name == "stage1").identity

    assert "lora" not in stage("stages.0.lora=null")["stage"]
    assert stage("stages.0.lora={}")["stage"]["lora"] == {}
    assert stage("stages.0.lora={rank: 8}") == stage("stages.0.lora={}")
    assert stage("stages.0.lora={rank: 9}")["stage"]["lora"] == {"rank": 9}


def test_the_identity_holds_paths_only_within_the_corpora(plan_file: Path):
    def source(*sets: str) -> Any:
        plan = load_plan(str(plan_file), [f"data.sources.0.{item}" for item in sets])
        return identity(plan.data.sources[0], Kind.PREPARE)

    inside = source("annotations=${corpora}/other.json")
    assert inside["annotations"] == "${corpora}/other.json"
    assert inside != source("annotations=${corpora}/another.json")
    assert source("annotations=/a.json") == source("annotations=s3://b/c.json") != source()
    mevis = "format=meta_expressions"
    assert source(mevis, "masks=/a.json") == source(mevis, "masks=/b.json") != source(mevis), (
        "only whether masks are given counts"
    )
    assert source("media=[/a]") == source("media=[/b,/c]")
    assert source("media=[/a, '${corpora}/x']")["media"] == ["${corpora}/x"]


def test_two_files_of_the_corpora_are_two_sources(plan_file: Path):
    """Catches shards of another file of the same corpora that are reused because all else is the same."""
    first, other = (
        load_plan(str(plan_file), [f"data.sources.0.annotations=${{corpora}}/{name}.json"]).data
        for name in ("talk", "other")
    )

    def name_of(data: PrepConfig) -> str:
        return source_identity(data.sources[0], data, 42, "a", "m")

    assert name_of(first) != name_of(other)
    doubled = first.sources[:1] + first.sources
    assert name_of(first) == name_of(first.model_copy(update={"sources": doubled})), (
        "another source must not change it"
    )
    assert name_of(first) == name_of(first.model_copy(update={"max_reject_share": 0.5}))
    assert name_of(first) != name_of(first.model_copy(update={"min_frames": 5}))


def test_fields_bear_only_on_kinds_that_exist():
    marks = {
        (section.__name__, name, kind)
        for section in sections()
        for name, field in section.model_fields.items()
        for mark in field.metadata
        if isinstance(mark, Bears)
        for kind in mark.on
    }
    assert marks
    assert {kind for _, _, kind in marks} <= set(ALL_FOR)


def test_only_the_precision_of_a_layout_is_part_of_the_identity():
    from pipeline.plan.layout import LayoutConfig

    fields = LayoutConfig.model_fields
    assert {n for n, f in fields.items() if bears_on(LayoutConfig, f, Kind.STAGE)} == {"precision"}


def test_the_inputs_of_a_source_are_its_annotations_masks_and_lists():
    from pipeline.plan.data import SourceConfig

    assert input_fields(SourceConfig) == ("annotations", "masks", "keep_videos", "drop_videos")


@pytest.mark.parametrize("name", ["prepare", "init", "one"])
def test_a_record_that_holds_every_default_is_still_read(name: str, tmp_path: Path):
    """Written by a version whose identities held every default. Catches artifacts that become unreadable."""
    folder = Location.parse(tmp_path / name)
    text = (Path(__file__).parent / "records" / f"{name}.json").read_text()
    (folder / RECORD_NAME).write_text(text)
    made = load_artifact(folder)
    assert made is not None
    assert made.record.config["seed"] == 42
    plan = Plan.model_validate(made.record.plan)
    assert {spec.name for spec in steps(plan)} >= {"prepare", "init", "one", "report"}
    if name == "prepare":
        assert plan_of(made, Location.parse(tmp_path / "again")).data == plan.data
    else:
        other = plan.model_copy(
            update={"stages": (plan.stages[0].model_copy(update={"start_from": folder.uri}),)}
        )
        spec = next(s for s in steps(other) if s.name == "one")
        assert spec.external_checkpoint == folder.uri
