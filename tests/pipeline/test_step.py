"""run_step, contexts and records, with trivial but real builders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline import progress
from pipeline.artifacts.fingerprint import code_version
from pipeline.artifacts.notices import missing_media
from pipeline.artifacts.record import load_artifact, without_credentials
from pipeline.artifacts.steps import State
from pipeline.artifacts.survey import survey
from pipeline.commands.cli import main
from pipeline.errors import UserError
from pipeline.jobs.step import StepContext, StepResult, build, make_context, run_step
from pipeline.plan.load import load_plan
from pipeline.storage.location import Location


def write(context: StepContext) -> StepResult:
    (context.out / "data.txt").write_text(context.spec.name)
    (context.scratch / "temp").write_text("")
    return StepResult(context.spec.name, {"files": 1})


def run(plan: Path, *arguments: str, module: str = "datasets_prep", builder=write) -> int:
    builders = dict.fromkeys(("corpora", "prepare", "init", "stage", "evaluate", "report"), builder)
    return run_step(module, builders, ["--plan", str(plan), *arguments])


def test_a_step_is_made_once_and_again_only_by_force(plan_file: Path, capsys: pytest.CaptureFixture[str]):
    assert run(plan_file) == 0
    plan_status = survey(load_plan(str(plan_file)))
    made = plan_status.artifacts["prepare"]
    assert made is not None
    assert made.location.uri == f"{plan_status.root.uri}/prepare/{plan_status.fingerprints['prepare'][:12]}"
    assert made.record.digest == "prepare"
    assert made.record.summary == {"files": 1}
    assert made.record.inputs["corpora"].digest == "corpora"
    assert made.record.code == code_version()
    assert made.record.config["seed"] == 42
    assert "prepare: made in" in capsys.readouterr().out
    before = (made.location / "record.json").stat_key()
    assert run(plan_file) == 0
    assert "prepare: done" in capsys.readouterr().out
    assert (made.location / "record.json").stat_key() == before
    assert run(plan_file, "--step", "prepare", "--force") == 0
    assert (made.location / "record.json").stat_key() != before


def test_check_writes_nothing(plan_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run(plan_file, "--check") == 0
    assert "corpora: todo (not made yet)" in capsys.readouterr().out
    assert not (tmp_path / "store").exists()


def test_the_error_for_a_missing_input_names_the_command_that_makes_it(
    plan_file: Path, capsys: pytest.CaptureFixture[str]
):
    assert run(plan_file, "--step", "prepare") == 2
    text = capsys.readouterr().err
    assert text.startswith("error: prepare: needs corpora")
    assert "python -m datasets_prep --plan PLAN --step corpora" in text
    assert text.count("\n") == 1


def test_steps_of_other_modules_and_unknown_steps_are_refused(
    plan_file: Path, capsys: pytest.CaptureFixture[str]
):
    assert run(plan_file, "--step", "stage1") == 2
    assert "Run python -m training instead" in capsys.readouterr().err
    assert run(plan_file, "--step", "stage9") == 2
    assert "Did you mean stage" in capsys.readouterr().err


def test_a_failed_builder_leaves_no_record_and_no_scratch(
    plan_file: Path, capsys: pytest.CaptureFixture[str]
):
    seen: list[StepContext] = []

    def fail(context: StepContext) -> StepResult:
        seen.append(context)
        write(context)
        raise RuntimeError("broken on purpose")

    def mistake(context: StepContext) -> StepResult:
        try:
            raise UserError("file.json", "is wrong.", "Mend it.")
        except UserError as error:
            raise RuntimeError("as Ray wraps it") from error

    assert run(plan_file, "--step", "corpora", builder=fail) == 1
    assert "Traceback" in capsys.readouterr().err
    assert not seen[0].scratch.exists()
    assert (seen[0].out / "data.txt").exists()
    assert load_artifact(seen[0].out) is None
    assert run(plan_file, "--step", "corpora", builder=mistake) == 2
    assert capsys.readouterr().err == "error: file.json: is wrong. Mend it.\n"
    assert run(plan_file, "--step", "corpora") == 0


def test_temporary_files_of_a_killed_writer_are_removed_at_the_next_start(plan_file: Path):
    context = make_context(load_plan(str(plan_file)), "corpora")
    out = context.out.local_path
    left = out / "deep" / ".tmp-x"
    left.mkdir(parents=True)
    beside = out.with_name(f".tmp-{out.name}-abc_12d3")  # the name that put_dir gives its copy
    beside.mkdir()
    others = out.with_name(f".tmp-{out.name}-b-abc_12d3"), out.with_name(".tmp-other-abc_12d3")
    for other in others:
        other.mkdir()
    (left / ".tmp-y").write_text("half")
    (left.parent / ".tmp-z").write_text("half")
    build(context, write)
    assert [p.name for p in left.parent.iterdir()] == []
    assert not beside.exists()
    assert all(other.exists() for other in others), "copies of other folders may still be in progress"
    assert sorted(p.name for p in context.out.local_path.iterdir()) == ["data.txt", "deep", "record.json"]


def test_forcing_a_step_removes_the_old_record_first(plan_file: Path):
    def fail(context: StepContext) -> StepResult:
        raise RuntimeError("broken on purpose")

    assert run(plan_file, "--step", "corpora") == 0
    assert run(plan_file, "--step", "corpora", "--force", builder=fail) == 1
    assert survey(load_plan(str(plan_file))).artifacts["corpora"] is None


def prepared(context: StepContext) -> StepResult:
    counts = {"talk": {"rejects": {"media_missing": 3}}, "choice": {"rejects": {"media_missing": 1}}}
    return StepResult(context.spec.name, {"sources": counts if context.spec.name == "prepare" else {}})


def test_sources_whose_media_folders_changed_are_prepared_again(plan_file: Path, tmp_path: Path):
    def todo(*sets: str) -> dict[str, str]:
        decisions = survey(load_plan(str(plan_file), sets)).decide()
        return {d.spec.name: d.reason for d in decisions if d.state is State.TODO}

    old, new = (f"data.sources.0.media=[{tmp_path}/{name}]" for name in ("old", "new"))
    for module in ("datasets_prep", "training", "evaluation"):
        assert run(plan_file, "--set", old, module=module, builder=prepared) == 0
    assert todo(old) == {}
    assert todo(new) == {"prepare": "media folders changed: talk"}
    assert run(plan_file, "--set", new) == 0
    assert todo(new) == {}, "the dataset is the same, so the steps after it are up to date"
    assert (
        survey(load_plan(str(plan_file), [old])).fingerprints
        == survey(load_plan(str(plan_file), [new])).fingerprints
    )

    (tmp_path / "store").rename(tmp_path / "elsewhere")
    assert todo(new, f"storage.root={tmp_path}/elsewhere") == {"prepare": "media folders changed: choice"}, (
        "the videos of the corpora moved with the root"
    )


def test_records_rejected_for_missing_videos_are_reported(
    plan_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    sets = [f"data.sources.0.media=[{tmp_path}/videos]"]
    plan = load_plan(str(plan_file), sets)
    assert missing_media(plan, survey(plan), survey(plan).decide()) == []
    assert run(plan_file, "--set", sets[0], builder=prepared) == 0
    plan_status = survey(plan)
    (note,) = missing_media(plan, plan_status, plan_status.decide())
    assert "3 records" in note
    assert "talk 3" in note
    assert "--force-step prepare" in note
    assert "choice" not in note, "its videos are those of the demo"
    assert missing_media(plan, plan_status, plan_status.decide(frozenset({"prepare"}))) == [], (
        "a step that is made again needs no note"
    )
    for module in ("training", "evaluation"):
        assert run(plan_file, "--set", sets[0], module=module, builder=prepared) == 0
    for command in ("status", "run"):
        capsys.readouterr()
        assert main([command, str(plan_file), "--set", sets[0]]) == 0
        assert note in capsys.readouterr().out.splitlines()


def test_a_context_resolves_inputs_and_paths(plan_file: Path, tmp_path: Path):
    plan = load_plan(str(plan_file))
    build(make_context(plan, "corpora"), write)
    context = make_context(plan, "prepare")
    assert context.corpora == context.inputs["corpora"].location
    assert context.resolve("${corpora}/a/b.json") == context.corpora / "a/b.json"
    assert context.resolve("x/y").uri == str(Path.cwd() / "x/y")
    assert context.resolve("$HOME/x").uri == str(Path.cwd() / "$HOME/x")
    with pytest.raises(UserError, match="leaves this folder"):
        context.resolve("${corpora}/../x")
    build(context, write)
    build(make_context(plan, "init"), write)
    assert make_context(plan, "stage1").checkpoint == make_context(plan, "stage1").inputs["init"]


def test_a_stage_may_start_from_a_checkpoint_of_another_plan(plan_file: Path):
    plan = load_plan(str(plan_file))

    def write_model(context: StepContext) -> StepResult:
        config = {"model": plan.model.resolved.model_dump(mode="json")}
        (context.out / "model/config.json").write_text(json.dumps(config))
        return write(context)

    for name in ("corpora", "prepare", "init"):
        build(make_context(plan, name), write_model)
    place = survey(plan).folder("init").uri
    other = load_plan(str(plan_file), [f"stages.0.start_from={place}", "storage.root=" + plan.storage.root])
    context = make_context(other, "stage1")
    assert "init" not in context.inputs
    assert context.checkpoint is not None
    assert context.checkpoint.record.step == "init"
    assert build(context, write).record.inputs["checkpoint"].digest == "init"


def test_artifacts_may_be_on_s3(plan_file: Path, s3_bucket: str):
    plan = load_plan(str(plan_file), [f"storage.root={s3_bucket}/runs"])
    for name in ("corpora", "prepare"):
        build(make_context(plan, name), write)
    assert run(plan_file, "--set", f"storage.root={s3_bucket}/runs", "--check") == 0
    found = survey(plan).artifacts["prepare"]
    assert found is not None
    assert found.location.uri.startswith(s3_bucket)


def test_records_that_cannot_be_read_are_an_error(tmp_path: Path):
    place = Location.parse(tmp_path)
    assert load_artifact(place) is None
    (tmp_path / "record.json").write_text("{")
    with pytest.raises(UserError, match="not an artifact record"):
        load_artifact(place)
    (tmp_path / "record.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(UserError, match="format 99, this code reads format 1"):
        load_artifact(place)
    (tmp_path / "record.json").write_text(json.dumps({"format": 1, "step": "x"}))
    with pytest.raises(UserError, match="has a bad field"):
        load_artifact(place)


def test_credentials_are_removed_from_uris():
    assert without_credentials("https://me:hush@host/x?X-Amz-Signature=1") == "https://host/x"
    assert without_credentials("/data/what?.json") == "/data/what?.json"


def test_progress_in_json_is_rate_limited_and_parsed_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv(progress.PROGRESS_ENV, "json")
    with progress.track("train", 1000) as part:
        for _ in range(1000):
            part.advance(loss=0.5)
    progress.announce("stage1", "done", "abc")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 5, "progress is not rate-limited"
    messages = [progress.parse(line) for line in lines]
    assert messages[-2] == {
        "title": "train",
        "done": 1000,
        "total": 1000,
        "fields": {"loss": 0.5},
        "end": True,
    }
    assert messages[-1] == {"step": "stage1", "state": "done", "digest": "abc"}
    assert progress.parse("(Worker pid=3) " + lines[0]) == messages[0], "Ray's prefix must be ignored"
    assert progress.parse("@@progress {broken") is None
    assert progress.parse("just text") is None


def test_progress_in_a_pipe_is_rate_limited(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.delenv(progress.PROGRESS_ENV, raising=False)
    with progress.track("read", None) as part:
        for _ in range(500):
            part.advance()
    assert len(capsys.readouterr().out.splitlines()) <= 2
