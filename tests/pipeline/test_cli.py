"""The command answers at once, and reports an error in one paragraph."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.artifacts.survey import survey
from pipeline.commands.cli import COMMANDS, main
from pipeline.commands.preflight import refuse_unreachable
from pipeline.errors import UserError
from pipeline.jobs.runner import log_path
from pipeline.jobs.step import StepResult, build, make_context
from pipeline.plan.load import load_plan

REPO = Path(__file__).resolve().parents[2]
HEAVY = (
    *("ray", "torch", "mlflow", "transformers", "pandas", "pyarrow", "s3fs", "deepspeed", "av", "scipy"),
    *("numpy", "pycocotools"),
)


Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def here(capsys: pytest.CaptureFixture[str]) -> Command:
    """The command in this process, for what it answers before anything starts."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        try:
            code = main(list(arguments))
        except SystemExit as end:  # argparse's refusals
            code = int(end.code or 0)
        printed = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, printed.out, printed.err)

    return run


def ufvideo(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in its own process; the last line of stderr lists the heavy modules that it loaded."""
    code = (
        "import sys, atexit\n"
        f"heavy = {HEAVY!r}\n"
        "atexit.register(lambda: print('loaded', *[m for m in heavy if m in sys.modules], file=sys.stderr))\n"
        "from pipeline.commands.cli import main\n"
        f"sys.exit(main({list(arguments)!r}))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(REPO)}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=REPO, env=environment, timeout=60
    )


def test_help_loads_no_heavy_module():
    done = ufvideo("--help")
    assert done.returncode == 0
    assert done.stderr == "loaded\n"
    assert all(word in done.stdout for word in ("run", "check", "submit", "status", "logs"))


def test_version_names_the_code():
    from pipeline.artifacts.fingerprint import code_version

    done = ufvideo("--version")
    assert done.returncode == 0
    assert done.stdout == f"ufvideo {code_version().short}\n"


def test_a_misspelt_command_gets_a_suggestion(here: Command):
    done = here("chek", "plan.yaml")
    assert done.returncode == 2
    assert "chek is not a command; did you mean check?" in done.stderr
    assert "there are new, run, check," in here("zzz").stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_loads_no_heavy_module(command: str):
    """Catches a row of the table without its module, and help that loads what only the work needs."""
    done = ufvideo(command, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "loaded\n"
    assert done.stdout.startswith(f"usage: ufvideo {command}")
    assert done.stdout.count("\n") > 5


def test_check_loads_no_heavy_module_and_takes_less_than_two_cpu_seconds(plan_file: Path):
    begun = os.times()
    done = ufvideo("check", str(plan_file))
    ended = os.times()
    seconds = ended.children_user + ended.children_system - begun.children_user - begun.children_system
    assert done.returncode == 0
    assert done.stderr == "loaded\n"
    assert "8 of 8 steps to make" in done.stdout
    assert seconds < 2, "too many CPU seconds (not wall time, because of busy machines)"


@pytest.mark.parametrize(
    ("known", "unknown"), [("format: mvbench", "format: mvbencg"), ("family: mvbench", "family: mvbencg")]
)
def test_rows_of_formats_and_benchmarks_load_no_heavy_module(plan_file: Path, known: str, unknown: str):
    """To suggest a name, all rows of formats or of benchmarks are loaded."""
    plan_file.write_text(plan_file.read_text().replace(known, unknown))
    *message, loaded = ufvideo("check", str(plan_file)).stderr.splitlines()
    assert "Did you mean mvbench" in message[0]
    assert loaded == "loaded"


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_bad_plan_is_one_paragraph_and_exit_code_2(
    here: Command, plan_file: Path, tmp_path: Path, command: str
):
    plan_file.write_text(plan_file.read_text().replace("global_batch: 8", "global_batch: 1", 1))
    done = here(command, str(plan_file))
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert "global_batch 1 is less than workers 2" in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "store").exists(), "something was written"


def test_run_refuses_a_step_that_the_plan_lacks(here: Command, plan_file: Path):
    for option in ("--until", "--force-step"):
        done = here("run", str(plan_file), option, "nothing")
        assert done.returncode == 2
        assert "is not in this plan" in done.stderr


def test_check_stops_at_the_given_step(here: Command, plan_file: Path):
    done = here("run", str(plan_file), "--check", "--until", "init")
    assert done.returncode == 0
    *steps, state, last = done.stdout.splitlines()
    assert [line.split()[1] for line in steps] == ["corpora", "prepare", "init"]
    assert "3 of 3 steps to make" in state
    assert last == f"Next: ufvideo run {plan_file} --until init"


@pytest.mark.parametrize("option", ["--until", "--force-step"])
def test_check_refuses_a_step_that_the_plan_lacks(here: Command, plan_file: Path, option: str):
    done = here("run", str(plan_file), "--check", option, "nothing")
    assert done.returncode == 2
    assert "step nothing: is not in this plan" in done.stderr


CLUSTER = "ray.dashboard=http://127.0.0.1:9"


@pytest.mark.parametrize("command", ["check", "run", "submit"])
def test_a_relative_root_on_a_cluster_is_refused(here: Command, plan_file: Path, command: str):
    done = here(command, str(plan_file), "--set", "storage.root=runs/x", "--set", CLUSTER)
    assert done.returncode == 2
    assert "error: --set storage.root: runs/x: is relative to this machine" in done.stderr


@pytest.mark.parametrize(
    ("item", "where"),
    [
        ("data.sources.0.annotations=data/talk.json", "data.sources.0.annotations"),
        ("data.sources.1.media=[/shared/videos, data/videos]", "data.sources.1.media.1"),
        ("model.weights.vision=weights/siglip", "model.weights.vision"),
        ("model.tokenizer.path=weights/VideoRefer-7B", "model.tokenizer.path"),
        ("stages.0.start_from=runs/other/stage1/0123", "stages.0.start_from"),
        ("evaluation.checkpoints=[init, runs/other/stage1/0123]", "evaluation.checkpoints.1"),
        ("tracking.uri=sqlite:///mlflow.db", "tracking.uri"),
    ],
)
def test_relative_paths_on_a_cluster_are_refused(plan_file: Path, item: str, where: str):
    plan = load_plan(str(plan_file), [item])
    refuse_unreachable(plan)  # an embedded cluster has this machine's folders
    with pytest.raises(UserError, match="relative to this machine") as error:
        refuse_unreachable(load_plan(str(plan_file), [item, CLUSTER]))
    assert error.value.where.startswith(f"{where}: ")
    refuse_unreachable(load_plan(str(plan_file), [CLUSTER]))


@pytest.mark.parametrize("command", ["check", "submit"])
def test_a_tracking_database_that_would_be_lost_is_refused(here: Command, plan_file: Path, command: str):
    sets = ("--set", "storage.root=s3://bucket/runs", "--set", CLUSTER)
    done = here(command, str(plan_file), *sets)
    assert done.returncode == 2
    assert "error: tracking.uri: is not set" in done.stderr


def test_submit_needs_a_cluster(here: Command, plan_file: Path):
    done = here("submit", str(plan_file))
    assert done.returncode == 2
    assert "names no cluster" in done.stderr


def test_a_password_in_the_plan_is_refused(here: Command, plan_file: Path):
    done = here("run", str(plan_file), "--set", "tracking.uri=http://me:hush@host:5000")
    assert done.returncode == 2
    assert "holds credentials" in done.stderr
    assert "hush" not in done.stderr


def test_a_log_is_followed_until_the_step_is_made(plan_file: Path):
    plan_status = survey(plan := load_plan(str(plan_file)))
    log = log_path(plan, plan_status, "corpora")
    log.parent.mkdir(parents=True)
    log.write_text("one\n")
    command = [sys.executable, "-m", "pipeline", "logs", "corpora", str(plan_file), "--follow"]
    environment = os.environ | {"PYTHONPATH": str(REPO)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    assert process.stdout.readline() == "one\n"
    with log.open("a") as file:
        file.write("two\n")
    assert process.stdout.readline() == "two\n", "the log is not followed"
    with log.open("a") as file:
        file.write("three\n")
    build(make_context(plan, "corpora"), lambda context: StepResult("d", {}))
    assert process.communicate(timeout=60)[0] == "three\n"
    assert process.returncode == 0


def test_status_shows_steps_counts_and_the_next_command(here: Command, plan_file: Path):
    done = here("status", str(plan_file))
    assert done.returncode == 0
    head, _, *rows, state, last = done.stdout.splitlines()
    assert head.split() == ["step", "state", "why", "took", "counts", "artifact"]
    assert [row.split()[:2] for row in rows] == [
        [name, "todo"]
        for name in [
            "corpora",
            "prepare",
            "init",
            "stage1",
            "stage2",
            "evaluate-init",
            "evaluate-stage2",
            "report",
        ]
    ]
    place = survey(load_plan(str(plan_file))).folder("evaluate-stage2").uri
    assert rows[6].endswith(place), "the path is shortened"
    assert state == "8 of 8 steps still to make."
    assert last == f"Next: ufvideo run {plan_file}"
    last = here("status", str(plan_file), "--set", "seed=7").stdout.splitlines()[-1]
    assert last.endswith(f"ufvideo run {plan_file} --set seed=7"), "the command lacks the --set of this plan"
    summary = {"sources": {"a": {"kept": 1230, "rejected": 5}, "b": {"kept": 4}}, "text": "x" * 200}
    build(make_context(load_plan(str(plan_file)), "corpora"), lambda context: StepResult("d", {}))
    made = lambda context: StepResult("d", summary)  # noqa: E731
    build(make_context(load_plan(str(plan_file)), "prepare"), made)
    row = here("status", str(plan_file)).stdout.splitlines()[3]
    assert "sources 2, kept 1,234, rejected 5 " in row
    assert row.split()[:2] == ["prepare", "done"]
    done = here("logs", "prepare", str(plan_file))
    assert done.returncode == 2
    assert "has no log here" in done.stderr
