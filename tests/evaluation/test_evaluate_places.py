"""Which checkpoints an evaluation takes: artifacts, folders in the published layout, models of the hub."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hidden_bench import content, prepared_reader, write_outside_checkpoint, write_sources

from evaluation.answer_store import AnswerStore
from evaluation.asking import entry_items
from evaluation.checkpoint import ScoredCheckpoint
from evaluation.predict.source import find_source
from evaluation.run import answer_settings, evaluate
from evaluation.scores import how_asked
from evaluation.work import units
from evaluation.worker import Setup, Worker
from pipeline.artifacts.inputs import storage_root
from pipeline.artifacts.survey import survey
from pipeline.commands.preflight import preflight
from pipeline.dataset.reader import ShardReader
from pipeline.errors import UserError
from pipeline.jobs.step import StepContext, build, make_context
from pipeline.plan.plan import Plan
from pipeline.storage.location import Location
from tests.pipeline.small_hub import COMMIT, small_hub
from training.export import export


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two benchmarks, ``checkpoint``, an artifact, and ``org/export``, the same in the published layout."""
    folder = tmp_path_factory.mktemp("places")
    write_sources(folder)
    write_outside_checkpoint(folder / "checkpoint")
    export(Location.parse(folder / "checkpoint"), folder / "org" / "export")
    prepared_reader(folder, Plan.model_validate(content(folder)))
    return folder


def plan_of(home: Path, place: str) -> Plan:
    raw = content(home, empty_masks=True)
    raw["evaluation"]["checkpoints"] = [place]
    return Plan.model_validate(raw)


def context_of(plan: Plan) -> StepContext:
    name = next(spec.name for spec in survey(plan).specs if spec.name.startswith("evaluate"))
    return make_context(plan, name)


def answers_of(plan: Plan, checkpoint: ScoredCheckpoint, context: StepContext) -> list[tuple[str, object]]:
    """Lets a worker answer every question in this process; returns (key, prediction) in the order of keys."""
    config, data = plan.evaluation, context.inputs["prepare"].location
    assert config is not None
    reader = ShardReader(data)
    store = AnswerStore.at(storage_root(plan), answer_settings(config, checkpoint.digest, reader))
    setup = Setup(config=config, checkpoint=checkpoint, dataset=data, store=store, seed=plan.seed)
    worker, answers = Worker(setup), []
    for bench in config.benchmarks:
        for unit in units(entry_items(reader, bench, plan.seed)):
            for source, stored in worker.answer(unit).stored.items():
                answers += [(made.key, made) for made in store.read(source, sorted(stored.values()))]
    return sorted(answers, key=lambda pair: pair[0])


@pytest.mark.parametrize("place", ["folder", "hub"])
def test_the_published_layout_is_scored_like_its_checkpoint(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    artifact = plan_of(home, str(home / "checkpoint"))
    known = context_of(artifact)
    expected = answers_of(artifact, ScoredCheckpoint.at(known), known)
    assert len(expected) == 6
    text = str(home / "org" / "export") if place == "folder" else "hf://org/export"
    with small_hub(home, tmp_path / "hub"):
        plan = plan_of(home, text)
        preflight(plan)
        context = context_of(plan)
        checkpoint = ScoredCheckpoint.at(context)
        assert checkpoint.digest == (COMMIT if place == "hub" else find_source(text).digest)
        assert plan.evaluation is not None
        bench = plan.evaluation.benchmarks[0]
        how = [how_asked(bench, plan.evaluation, cp.sizes) for cp in (checkpoint, ScoredCheckpoint.at(known))]
        assert how[0] == how[1] != how_asked(bench, plan.evaluation, None)
        assert answers_of(plan, checkpoint, context) == expected
        made = build(context, evaluate)  # everything is answered: no cluster, no model
    written = json.loads((made.location / "metrics.json").read_bytes())
    assert written["made_from"]["checkpoint"] == checkpoint.digest
    assert made.record.inputs["checkpoint"].uri == text
    assert {entry["samples"] for entry in written["benchmarks"].values()} == {3}


def test_actors_fetch_the_commit_that_the_step_resolved(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if another commit is pushed between the step's start and an actor's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with small_hub(home, tmp_path / "hub"):
        checkpoint = ScoredCheckpoint.at(context_of(plan_of(home, "hf://org/export")))
    assert checkpoint.uri == f"hf://org/export@{COMMIT}"


def test_changed_weights_in_a_folder_change_the_fingerprint_of_its_evaluation(
    home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    export(Location.parse(home / "checkpoint"), folder)
    plan = plan_of(home, str(folder))
    before = survey(plan).fingerprints
    weights = next(folder.glob("*.safetensors"))
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    after = survey(plan).fingerprints
    assert {name for name in after if after[name] != before[name]} == {
        name for name in after if name.startswith(("evaluate", "report"))
    }


def test_a_place_without_a_model_is_refused(home: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "empty", tmp_path / "nowhere"):
        with pytest.raises(UserError, match=r"record.json is not there"):
            preflight(plan_of(home, str(place)))
        with pytest.raises(UserError, match="not a finished checkpoint artifact"):
            survey(plan_of(home, str(place)))
