"""The steps of a plan, what identifies them, and which have to be made."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from pipeline.artifacts.fingerprint import CodeVersion
from pipeline.artifacts.record import ArtifactRecord, InputRef
from pipeline.artifacts.steps import (
    MODULES,
    Kind,
    State,
    decide,
    evaluate_name,
    steps,
)
from pipeline.artifacts.survey import fingerprints, survey
from pipeline.canonical import canonical, digest
from pipeline.errors import UserError
from pipeline.plan.load import load_plan
from pipeline.plan.plan import Plan
from pipeline.storage import hashing
from pipeline.storage.hashing import content_sha256, file_sha256, files_sha256
from pipeline.storage.location import Location


def fingerprints_of(plan: Plan) -> dict[str, str]:
    return fingerprints(steps(plan), {})


def changed(plan_file: Path, *sets: str) -> set[str]:
    """Names of the steps whose fingerprint differs when values are set."""
    before, after = (
        fingerprints_of(load_plan(str(plan_file))),
        fingerprints_of(load_plan(str(plan_file), sets)),
    )
    return {name for name in after if before.get(name) != after[name]}


def test_steps_come_after_the_steps_that_they_need(plan_file: Path):
    specs = steps(load_plan(str(plan_file)))
    assert [s.name for s in specs] == [
        "corpora", "prepare", "init", "stage1", "stage2", "evaluate-init", "evaluate-stage2", "report"
    ]  # fmt: skip
    needs = {s.name: s.needs for s in specs}
    assert needs["stage1"] == ("prepare", "init")
    assert needs["stage2"] == ("prepare", "stage1")
    assert needs["evaluate-stage2"] == ("prepare", "stage2")
    assert needs["report"] == ("prepare", "stage1", "stage2", "evaluate-init", "evaluate-stage2")
    assert all(s.module == MODULES[s.kind] for s in specs)
    seen: set[str] = set()
    for spec in specs:
        assert set(spec.needs) <= seen
        seen.add(spec.name)


def test_a_plan_without_stages_or_evaluation_has_fewer_steps(plan_file: Path):
    plan = load_plan(str(plan_file), ["stages=[]", "evaluation=null"])
    assert [s.name for s in steps(plan)] == ["corpora", "prepare"]
    plan = load_plan(str(plan_file), ["stages=[]", "evaluation.checkpoints=[runs/a/stage2/0123]"])
    assert [s.kind for s in steps(plan)] == [Kind.CORPORA, Kind.PREPARE, Kind.EVALUATE, Kind.REPORT]
    spec = steps(plan)[2]
    assert spec.external_checkpoint == "runs/a/stage2/0123"
    assert spec.needs == ("prepare",)
    assert spec.name == evaluate_name("runs/a/stage2/0123")
    assert spec.name.startswith("evaluate-0123-")


def test_a_stage_cannot_take_the_name_of_a_step(plan_file: Path):
    with pytest.raises(UserError, match="called prepare"):
        steps(load_plan(str(plan_file), ["stages.0.name=prepare", "stages.1.start_from=prepare"]))


@pytest.mark.parametrize(
    "setting",
    [
        "storage.root=/elsewhere",
        "ray.num_cpus=1",
        "tracking.uri=http://host:5000",
        "stages.0.layout.workers=1",
        "stages.0.layout.micro_batch=1",
        "stages.0.layout.zero_stage=1",
        "evaluation.actors=3",
        "evaluation.batch_size=2",
        "evaluation.torch_threads=1",
    ],
)
def test_settings_of_where_and_how_fast_change_no_fingerprint(plan_file: Path, setting: str):
    assert changed(plan_file, setting) == set()


@pytest.mark.parametrize(
    ("setting", "first", "kept"),
    [
        ("seed=1", "prepare", {"corpora"}),
        ("demo.train_videos=5", "corpora", set()),
        ("data.min_frames=3", "prepare", {"corpora"}),
        ("data.sources.0.annotations=${corpora}/other.json", "prepare", {"corpora"}),
        ("stages.0.steps=5", "stage1", {"corpora", "prepare", "init", "evaluate-init"}),
        ("stages.0.layout.precision=fp32", "stage1", {"corpora", "prepare", "init", "evaluate-init"}),
        ("stages.1.optimizer.lr=1", "stage2", {"corpora", "prepare", "init", "stage1", "evaluate-init"}),
        ("model.tokenizer.vocab_size=700", "init", {"corpora", "prepare"}),
        ("evaluation.max_new_tokens=9", "evaluate-init", {"corpora", "prepare", "init", "stage1", "stage2"}),
        ("evaluation.report_samples=9", "report", None),
    ],
)
def test_settings_of_the_result_change_its_fingerprint_and_those_that_depend_on_it(
    plan_file: Path, setting: str, first: str, kept: set[str] | None
):
    every = set(fingerprints_of(load_plan(str(plan_file))))
    expected = {"report"} if kept is None else every - kept
    found = changed(plan_file, setting)
    assert found == expected
    assert first in found


def test_fingerprints_depend_on_the_content_of_inputs(plan_file: Path):
    specs = steps(load_plan(str(plan_file)))
    plain, other = fingerprints(specs, {}), fingerprints(specs, {"prepare": {"annotations": "abc"}})
    assert plain["corpora"] == other["corpora"]
    assert all(plain[n] != other[n] for n in ("prepare", "init", "stage1", "report"))


def test_the_schema_of_the_shards_is_part_of_the_identity(plan_file: Path, monkeypatch: pytest.MonkeyPatch):
    before = fingerprints_of(load_plan(str(plan_file)))
    monkeypatch.setattr("pipeline.artifacts.steps.SCHEMA_VERSION", 10**6)
    after = fingerprints_of(load_plan(str(plan_file)))
    assert before["corpora"] == after["corpora"]
    assert all(before[name] != after[name] for name in before if name != "corpora")


CODE = CodeVersion(package="0", source_digest="0" * 64)


def record(name: str, fingerprint: str, made: str, inputs: dict[str, str]) -> ArtifactRecord:
    refs = {n: InputRef(uri="", fingerprint="", digest=d) for n, d in inputs.items()}
    return ArtifactRecord(
        step=name, kind="x", fingerprint=fingerprint, digest=made, schema_version=1, code=CODE, inputs=refs,
        config={}, summary={}, created="2026-01-01T00:00:00Z", seconds=1,
    )  # fmt: skip


def test_decisions_name_the_reason_to_make_a_step(plan_file: Path):
    specs = steps(load_plan(str(plan_file)))
    names = fingerprints(specs, {})
    found = {
        s.name: record(s.name, names[s.name], f"d-{s.name}", {n: f"d-{n}" for n in s.needs}) for s in specs
    }

    def todo(
        found: Mapping[str, ArtifactRecord | None], forced: frozenset[str] = frozenset()
    ) -> dict[str, str]:
        return {d.spec.name: d.reason for d in decide(specs, names, found, forced) if d.state is State.TODO}

    assert todo({}) == dict.fromkeys(names, "not made yet")
    assert todo(found) == {}
    assert todo({**found, "stage1": None}) == {"stage1": "not made yet"}
    assert todo(found, forced=frozenset({"init"})) == {"init": "asked for again"}
    rebuilt = {**found, "init": record("init", names["init"], "different", {"prepare": "d-prepare"})}
    assert todo(rebuilt) == {
        "stage1": "made from another build of init",
        "evaluate-init": "made from another build of init",
    }
    wrong = {**found, "report": record("report", "another fingerprint", "x", {})}
    assert todo(wrong) == {"report": "its folder holds something else"}


def test_annotations_outside_the_corpora_are_hashed(plan_file: Path, tmp_path: Path):
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "a.json").write_text("[1]")
    (notes / "clip.mp4").write_bytes(b"video")
    sets = [f"data.sources.0.annotations={notes}"]

    def prepare() -> str:
        return survey(load_plan(str(plan_file), sets)).fingerprints["prepare"]

    first = prepare()
    assert prepare() == first
    (notes / "clip.mp4").write_bytes(b"another video, whose digest is in the shards")
    assert prepare() == first
    (notes / "a.json").write_text("[2]")
    assert prepare() != first
    os.rename(notes, tmp_path / "moved")
    with pytest.raises(UserError, match=r"data.sources\[talk\].annotations.*does not exist"):
        prepare()
    (tmp_path / "moved/a.json").write_text("[1]")
    sets = [f"data.sources.0.annotations={tmp_path / 'moved'}"]
    assert prepare() == first, "the path of an input must not be part of the identity"


def test_a_checkpoint_of_another_plan_must_be_a_finished_artifact(plan_file: Path, tmp_path: Path):
    with pytest.raises(UserError, match="not a finished checkpoint artifact"):
        survey(load_plan(str(plan_file), [f"stages.0.start_from={tmp_path}/nothing"]))


def test_the_canonical_form_is_sorted_and_exact():
    assert canonical({"b": 1.5, "a": [Kind.INIT, (1, None)]}) == b'{"a":["init",[1,null]],"b":1.5}'
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest(1.0) != digest(1)
    assert digest({3, 1, 2}) == digest({2, 3, 1})
    with pytest.raises(ValueError, match="Out of range"):
        canonical(float("nan"))
    with pytest.raises(TypeError):
        canonical(object())


def test_file_digests_are_cached_by_stat_key(tmp_path: Path):
    place = Location.parse(tmp_path / "x")
    place.write_text("one")
    old = 1_700_000_000
    os.utime(place.local_path, (old, old))
    cache = tmp_path / "cache"
    first = file_sha256(place, cache)
    assert first == "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    place.local_path.write_text("two")
    os.utime(place.local_path, (old, old))
    assert file_sha256(place, cache) == first, "with the same size and time the cached digest must be used"
    os.utime(place.local_path, (old, old + 1))
    assert file_sha256(place, cache) != first


def test_the_digest_of_a_file_written_just_now_is_not_cached(tmp_path: Path):
    place = Location.parse(tmp_path / "x")
    place.write_text("one")
    file_sha256(place, tmp_path / "cache")
    assert not list(tmp_path.glob("cache/**/*"))


def test_digests_of_a_folder_of_small_files_are_cached_in_one_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Fails if each file has its own cache entry on disk, or if an unchanged file is read again."""
    folder, cache = Location.parse(tmp_path / "set"), tmp_path / "cache"
    for n in range(20):
        place = folder / f"{n // 5}/{n}.json"
        place.write_text(str(n))
        os.utime(place.uri, (1, 1))
    (folder.local_path / "back\\slash.json").write_text(
        "a name that is allowed in a folder, but not in a plan"
    )
    os.utime(folder.local_path / "back\\slash.json", (1, 1))
    first = files_sha256(folder, folder.files(), cache)
    assert first == [content_sha256(f) for f in folder.list(recursive=True)]
    assert len([p for p in cache.rglob("*") if p.is_file()]) == 1
    (folder / "0/3.json").write_text("changed")
    os.utime((folder / "0/3.json").uri, (2, 2))
    read: list[str] = []

    really = hashing._small_local_file

    def counted(path: str, size: int) -> tuple[str, bool] | None:
        read.append(path)
        return really(path, size)

    monkeypatch.setattr(hashing, "_small_local_file", counted)
    files = folder.files()
    assert [a == b for a, b in zip(files_sha256(folder, files, cache), first, strict=True)].count(False) == 1
    assert read == [(folder / "0/3.json").uri]


def test_digests_of_small_and_large_files_and_of_those_that_change_are_those_of_their_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Small local files are read in a way of their own; one that has grown since its listing is not cut."""
    monkeypatch.setattr(hashing, "_BLOCK", 8)
    folder = Location.parse(tmp_path / "set")
    for name, text in (("empty", ""), ("small", "1234567"), ("block", "12345678"), ("large", "x" * 30)):
        (folder / name).write_text(text)
    files = folder.files()
    (folder / "small").write_text("123456789 and more")
    found = files_sha256(folder, files, tmp_path / "cache")
    assert found == [hashlib.sha256((folder.local_path / name).read_bytes()).hexdigest() for name, _ in files]
    (folder / "small").delete()
    with pytest.raises(FileNotFoundError):
        files_sha256(folder, files, tmp_path / "other")


def test_the_identity_of_every_step_can_be_written_as_json(plan_file: Path):
    for spec in steps(load_plan(str(plan_file))):
        json.dumps(spec.identity)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["stages.0.train=[]"], "stages.0.train"),
        (["stages.0.train=[language,connector,language]"], "train names language twice"),
        (["stages.0.train=[sam_decoder,mask_decoder]"], "train names sam_decoder twice"),
        (
            ["stages.0.train=[language]", "stages.0.optimizer.part_lr={connector: 1.0e-4}"],
            "optimizer.part_lr has a rate for connector, which train leaves out",
        ),
        (
            ["stages.0.optimizer.part_lr={sam_decoder: 1.0e-4, mask_decoder: 1.0e-3}"],
            "sam_decoder and mask_decoder are one part",
        ),
    ],
)
def test_contradictory_parts_and_learning_rates_are_refused(
    plan_file: Path, settings: list[str], message: str
):
    """Catches a stage that trains nothing, a rate that is not used, and one of two rates that is dropped."""
    with pytest.raises(UserError, match=re.escape(message)):
        load_plan(str(plan_file), settings)


def test_both_names_of_the_mask_decoder_give_the_same_fingerprint(plan_file: Path):
    """Catches a stage that is trained again because its plan now uses the part's other name."""
    before, now = (
        fingerprints_of(
            load_plan(str(plan_file), [f"stages.0.train=[{n}]", f"stages.0.optimizer.part_lr={{{n}: 1}}"])
        )
        for n in ("mask_decoder", "sam_decoder")
    )
    assert before == now


FLASH = "model.overrides.attention=flash_attention_2"


def test_evaluation_on_a_gpu_and_on_a_cpu_have_different_fingerprints(plan_file: Path):
    """Catches scores of bfloat16 and of float32 under one identity."""
    assert changed(plan_file, "evaluation.use_gpu=false") == {"evaluate-init", "evaluate-stage2", "report"}


@pytest.mark.parametrize("field", ["use_gpu: false", "precision: fp32"])
def test_flash_attention_is_refused_for_a_stage_that_cannot_run_it(plan_file: Path, field: str):
    """Catches a plan that passes the check and fails on its workers."""
    load_plan(str(plan_file), [FLASH])
    setting = "stages.1.layout." + field.replace(": ", "=")
    load_plan(str(plan_file), ["model.overrides.attention=auto", setting])
    with pytest.raises(UserError, match=f"stage stage2 has layout.{field}; choose auto"):
        load_plan(str(plan_file), [FLASH, setting])


QWEN = ["model.tokenizer.path=/tokenizer", "model.weights.language=/qwen2"]
ADAPTERS = "={train_embeddings: false}"


@pytest.mark.parametrize(
    ("settings", "refused"),
    [
        ([*QWEN, "stages.0.lora" + ADAPTERS], "stage1"),
        (["model.tokenizer.path=/t", "model.weights.videorefer=/v", "stages.0.lora" + ADAPTERS], "stage1"),
        # An earlier stage trains the whole language model, or the embeddings with the adapters.
        ([*QWEN, "stages.1.lora" + ADAPTERS], None),
        ([*QWEN, "stages.0.lora={}", "stages.1.lora" + ADAPTERS], None),
        # The earlier stage leaves the embeddings as init made them.
        ([*QWEN, "stages.0.train=[connector]", "stages.1.lora" + ADAPTERS], "stage2"),
        ([*QWEN, "stages.0.train=[connector]", "stages.1.lora={}"], None),
        # New rows that differ, or that are part of the weights.
        (["stages.0.lora" + ADAPTERS], None),
        ([*QWEN, "model.tokenizer.new_rows=random", "stages.0.lora" + ADAPTERS], None),
        (["model.tokenizer.path=/t", "model.weights.whole=/w", "stages.0.lora" + ADAPTERS], None),
        ([*QWEN, "model.weights.whole=/w", "stages.0.lora" + ADAPTERS], "stage1"),
        ([*QWEN, "stages.0.start_from=/made/before", "stages.0.lora" + ADAPTERS], None),
    ],
)
def test_adapters_without_embeddings_are_refused_where_all_new_tokens_are_the_same(
    plan_file: Path, settings: list[str], refused: str | None
):
    """Catches [SEG], <region> and time tokens that no stage of the plan can learn to distinguish."""
    if refused is None:
        load_plan(str(plan_file), settings)
        return
    with pytest.raises(UserError, match=rf"{refused} has lora.*set lora.train_embeddings: true in {refused}"):
        load_plan(str(plan_file), settings)
