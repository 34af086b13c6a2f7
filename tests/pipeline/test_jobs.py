"""Ray jobs on a real embedded cluster: output, exit codes, stopping, whole runs and killed runs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.artifacts.survey import survey
from pipeline.errors import UserError
from pipeline.jobs import runner
from pipeline.jobs.display import choose_display
from pipeline.jobs.other_run import RunClaims
from pipeline.jobs.server import (
    JobServer,
    _client,
    find_live_job,
    follow_job,
    job_info,
    job_output,
    job_server,
    submit_job,
    wait_for_job,
)
from pipeline.plan.load import load_plan
from pipeline.plan.runtime import RayConfig

REPO = Path(__file__).resolve().parents[2]
WAIT_S = 240.0  # a bound for a busy machine; nothing needs that long

# Modules in place of the real steps: the working directory comes first for `python -m`. They are trivial, but
# go through run_step. The file `do` makes one step fail or wait.
STEPS = """\
import hashlib, sys, time
from pathlib import Path
import pipeline
from pipeline.errors import UserError
from pipeline.progress import track
from pipeline.jobs.step import StepResult, run_step

# Registries still find their rows in the package of the same name.
__path__ = [str(Path(pipeline.__file__).parents[1] / Path(__file__).stem)]

def make(context):
    (context.out / "data.txt").write_text(context.spec.name)
    if context.spec.name == "report":
        (context.out / "table.txt").write_text("| the table |\\n")
        (context.out / "index.html").write_text("<p>page</p>")
    print("hello from", context.spec.name, flush=True)
    step, _, what = (Path("do").read_text() if Path("do").exists() else "").partition(" ")
    with track("work", 3) as part:
        for i in range(3):
            part.advance(loss=1.0)
            if step == context.spec.name and what == "crash":
                raise RuntimeError("broken on purpose")
            if step == context.spec.name and what == "mistake":
                raise UserError("file.json", "is wrong: broken on purpose.", "Mend it.")
            while step == context.spec.name and what == "wait":
                time.sleep(0.1)
    made = [a.record.digest for a in context.inputs.values()]
    return StepResult(hashlib.sha256(repr([context.spec.name, made]).encode()).hexdigest(), {"n": 3})

KINDS = ("corpora", "prepare", "init", "stage", "evaluate", "report")
if __name__ == "__main__":
    sys.exit(run_step(Path(__file__).stem, dict.fromkeys(KINDS, make)))
"""


OTHER = """
import ray
ray.init(address="local", num_cpus=1, object_store_memory=100 * 2**20, include_dashboard=False)
print(ray.get_runtime_context().gcs_address, flush=True)
input()
"""
JOINS = """
import os, ray
from pipeline.jobs import cluster
from pipeline.plan.runtime import RayConfig
with cluster.connect(RayConfig()):
    print('joined', ray.get_runtime_context().gcs_address, os.environ['RAY_ADDRESS'])
with cluster.connect(RayConfig(dashboard='http://127.0.0.1:9'), jobs=True) as found:
    print('at', found.jobs_url)
"""


@pytest.fixture(scope="module")
def server(ray_cluster: None) -> Iterator[JobServer]:
    with job_server(RayConfig()) as found:
        yield found


@pytest.fixture
def home(tmp_path: Path, plan_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the plan and the trivial steps."""
    for module in ("datasets_prep", "training", "evaluation"):
        (tmp_path / f"{module}.py").write_text(STEPS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_output_mode_and_exit_code_of_a_job_are_returned(server: JobServer):
    job = submit_job(server, "echo one; sleep 0.5; echo two; echo mode $UFVIDEO_PROGRESS; exit 3")
    lines = list(follow_job(server, job))
    assert [line for line in lines if line in ("one", "two", "mode json")] == ["one", "two", "mode json"]
    outcome = wait_for_job(server, job)
    assert (outcome.ok, outcome.exit_code) == (False, 3)
    assert "two" in job_output(server, job)
    with pytest.raises(UserError, match="does not know it"):
        job_info(server, "raysubmit_none")


def test_a_job_joins_its_own_cluster_and_server_whatever_others_exist(server: JobServer):
    """Catches a job that joins another Ray cluster of this machine, or uses the job server of its plan.

    Ray's job supervisor sets RAY_ADDRESS to any cluster that it finds; here it is set to the wrong one.
    """
    import ray

    other = subprocess.Popen([sys.executable, "-c", OTHER], stdin=-1, stdout=-1, text=True)
    try:
        assert other.stdout is not None
        address, own = other.stdout.readline().strip(), ray.get_runtime_context().gcs_address
        assert address not in ("", own)
        job = submit_job(server, f'RAY_ADDRESS={address} {sys.executable} -c "{JOINS}"')
        assert [line for line in follow_job(server, job) if line.startswith(("joined ", "at "))] == [
            f"joined {own} {own}",
            f"at {server.client.get_address()}",
        ]
    finally:
        other.communicate("\n")


class Tunnel:
    """A TCP relay to the job server that can be cut and reopened, like a tunnel to a cluster."""

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("http://").rpartition(":")
        self.target, self.port = (host, int(port)), 0
        self.pairs: list[socket.socket] = []
        self.up()
        self.url = f"http://127.0.0.1:{self.port}"

    def up(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def cut(self) -> None:
        for end in (self.listener, *self.pairs):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self.pairs.clear()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near = listener.accept()[0]
                far = socket.create_connection(self.target)
                self.pairs += [near, far]
                for a, b in ((near, far), (far, near)):
                    threading.Thread(target=self._relay, args=(a, b), daemon=True).start()

    def _relay(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


COUNTS = "for i in 1 2 3 4 5 6 7 8; do echo line $i; sleep 0.3; done; exit 3"


def test_a_lost_connection_is_reopened_without_lost_or_repeated_lines(
    server: JobServer, monkeypatch: pytest.MonkeyPatch
):
    tunnel = Tunnel(server.client.get_address())
    through = JobServer(_client(tunnel.url), embedded=True)
    job = submit_job(through, COUNTS)
    lines = []
    for line in follow_job(through, job):
        lines += [line] if line.startswith("line ") else []
        if line == "line 2":
            tunnel.cut()
            threading.Timer(3.0, tunnel.up).start()  # the job ends before that
    assert lines == [f"line {i}" for i in range(1, 9)], "lines are lost or repeated"
    assert wait_for_job(through, job).exit_code == 3

    tunnel.cut()
    monkeypatch.setattr("pipeline.jobs.server._LOST_S", 1.0)
    with pytest.raises(UserError, match="has not answered") as error:
        wait_for_job(through, job)
    assert f"ufvideo logs {job} PLAN --follow" in error.value.fix
    assert list(follow_job(through, job)) == []


def test_a_live_job_for_the_same_step_is_followed_and_no_second_one_started(
    server: JobServer, home: Path, plan_file: Path, capsys: pytest.CaptureFixture[str]
):
    plan = load_plan(str(plan_file))
    plan_status = survey(plan)
    group = list(plan_status.decide()[:1])
    root, folder = plan_status.root.uri, f"corpora/{plan_status.fingerprints['corpora'][:12]}"
    command = f"{sys.executable} -m datasets_prep --plan {plan_file} --step corpora"
    gate = "until [ -e go ]; do sleep 0.1; done"
    first = submit_job(
        server, f"cd {home}; {gate}; {command}", {}, {"root": root, "steps": f"{folder} prepare/0123"}
    )
    assert find_live_job(server, root, [folder, "init/0123"]) == first
    assert find_live_job(server, root, ["init/0123"]) is None
    assert find_live_job(server, f"{root}2", [folder]) is None

    threading.Timer(3.0, (home / "go").touch).start()
    elsewhere = JobServer(server.client, embedded=False)
    plan_copy = runner.write_plan(plan, plan_status.root)
    with choose_display(["corpora"], {}) as display:
        job = runner._Job(plan, plan_status, group, plan_copy, display, force=False)
        assert job.run(elsewhere, RunClaims()) == 0
    assert survey(plan).artifacts["corpora"] is not None
    made = [j for j in server.client.list_jobs() if (j.metadata or {}).get("root") == root]
    assert [j.submission_id for j in made] == [first], "a second job was started"
    assert "corpora: done" in capsys.readouterr().out
    assert find_live_job(server, root, [folder]) is None, "the job has ended"


def test_closing_the_iterator_stops_the_job(server: JobServer):
    job = submit_job(server, "echo begun; sleep 600")
    lines = follow_job(server, job)
    assert any(line == "begun" for line in lines)
    lines.close()
    assert wait_for_job(server, job).status == "STOPPED"


@pytest.mark.slow
def test_a_run_fails_resumes_and_skips_finished_steps(
    server: JobServer, home: Path, plan_file: Path, capsys: pytest.CaptureFixture[str]
):
    plan = load_plan(str(plan_file))

    (home / "do").write_text("stage2 mistake")
    with pytest.raises(UserError) as error:
        runner.run(plan, "tiny.yaml")
    assert str(error.value) == "file.json: is wrong: broken on purpose. Mend it."
    found = survey(plan).artifacts
    assert [n for n, a in found.items() if a] == ["corpora", "prepare", "init", "stage1"]
    capsys.readouterr()

    (home / "do").write_text("stage2 crash")
    assert runner.run(plan, "tiny.yaml") == 1
    text = capsys.readouterr()
    assert "RuntimeError: broken on purpose" in text.err
    log = runner.log_path(plan, survey(plan), "stage2")
    assert str(log) in text.err
    assert "RuntimeError: broken on purpose" in log.read_text()
    assert "@@progress" not in log.read_text()
    assert "stage1: started" not in text.out

    (home / "do").unlink()
    assert runner.run(plan, "tiny.yaml") == 0
    text = capsys.readouterr()
    assert "4 of 8 steps to make" in text.out
    assert "work: 3/3  loss 1" in text.out
    assert text.out.endswith("| the table |\n")
    assert f"Page:    {survey(plan).folder('report').uri}/index.html" in text.out
    assert "hello from report" in runner.log_path(plan, survey(plan), "report").read_text()
    assert "work: 3/3  loss 1" in runner.log_path(plan, survey(plan), "report").read_text(), (
        "the log lacks the progress"
    )
    assert survey(plan).artifacts["stage1"] == found["stage1"], "a finished step was made again"

    assert runner.run(plan, "tiny.yaml", forced=["init"]) == 0
    assert "1 of 8 steps to make" in capsys.readouterr().out, (
        "init has the same digest, so the steps after it are up to date"
    )


def test_running_a_finished_plan_imports_no_ray_mlflow_or_torch(home: Path, plan_file: Path):
    """It needs no cluster."""
    for module in ("datasets_prep", "training", "evaluation"):
        command = [sys.executable, "-m", module, "--plan", str(plan_file)]
        subprocess.run(
            command, check=True, cwd=home, env=os.environ | {"PYTHONPATH": str(REPO)}, capture_output=True
        )
    code = (
        "import sys; from pipeline.commands.cli import main; code = main(['run', 'tiny.yaml']);"
        "assert not {'ray', 'mlflow', 'torch'} & set(sys.modules); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=home,
        env=os.environ | {"PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "all 8 steps are done" in done.stdout
    table, following = done.stdout.rsplit("\n\n", 1)
    assert table.endswith("| the table |")
    checkpoint = survey(load_plan(str(plan_file))).folder("stage2").uri
    assert following == f"Next: ufvideo predict {checkpoint} VIDEO QUESTION\n"


def processes_with(mark: str) -> list[int]:
    """Processes with the mark in their environment: the command, Ray's processes, the job and its workers."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if mark.encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def wait_until(condition) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def start_run(home: Path, mark: str) -> subprocess.Popen[bytes]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    environment |= {"PYTHONPATH": str(REPO), "UFVIDEO_TEST_MARK": mark}
    # A test run in the background ignores Ctrl-C, and its children inherit that.
    listens = "import os, signal, sys; signal.signal(2, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    command = [sys.executable, "-c", listens, sys.executable, "-m", "pipeline", "run", "tiny.yaml"]
    with open(home / "out", "wb") as out:
        return subprocess.Popen(command, cwd=home, env=environment, stdout=out, stderr=out)


def reached(home: Path, process: subprocess.Popen[bytes], step: str) -> bool:
    assert process.poll() is None, (home / "out").read_text()
    return bool(list(home.glob(f"store/{step}/*/data.txt")))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_no_process_outlives_a_killed_run_and_finished_steps_are_kept(home: Path):
    mark = uuid.uuid4().hex
    (home / "do").write_text("stage1 wait")
    first = start_run(home, mark)
    wait_until(lambda: reached(home, first, "stage1"))
    assert len(processes_with(mark)) > 4, "the command, Ray and the job must be running"
    first.send_signal(signal.SIGKILL)
    first.wait()
    wait_until(lambda: not processes_with(mark))
    assert not list(home.glob("store/stage1/*/record.json"))

    (home / "do").write_text("stage2 wait")
    second = start_run(home, mark)
    wait_until(lambda: reached(home, second, "stage2"))
    second.send_signal(signal.SIGINT)
    assert second.wait(timeout=WAIT_S) == 130
    text = (home / "out").read_text()
    assert "5 of 8 steps to make" in text, "corpora, prepare and init must be kept"
    assert "Stopped. What is finished is kept; go on with: ufvideo run tiny.yaml" in text
    assert list(home.glob("store/stage1/*/record.json"))
    wait_until(lambda: not processes_with(mark))
