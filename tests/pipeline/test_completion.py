"""What TAB offers, asked in real shells."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.commands.cli import COMMANDS
from pipeline.commands.completion import LOAD
from tests.shell import shell

REPO = Path(__file__).resolve().parents[2]
PLAN = "plans/demo.yaml"
STAGES = ["stage1", "stage2"]

# Each prints, on one line, what the shell would offer for a typed line. Bash and zsh call the function that
# TAB calls, with the variables that they set for it; fish has a command for it.
PROGRAMS = {
    "bash": (
        "source <(ufvideo completion bash)\n"
        "complete -p ufvideo >&2\n"
        'offered() { COMP_LINE="$1"; COMP_POINT=${#1}; COMP_TYPE=9; COMPREPLY=()\n'
        '_python_argcomplete ufvideo; echo "${COMPREPLY[*]}"; }\n'
    ),
    "zsh": (
        "autoload -Uz compinit; compinit -u -D; source <(ufvideo completion zsh)\n"
        "print -u2 $_comps[ufvideo]\n"
        "_describe() { print -r -- ${${(@P)2}%%:*} }\n"
        'offered() { BUFFER="$1"; CURSOR=${#1}; words=(${=1}); _python_argcomplete }\n'
    ),
    "fish": (
        "ufvideo completion fish | source\n"
        "function offered; echo (complete -C $argv[1] | string split -f 1 \\t); end\n"
    ),
}
WITHOUT_SETTINGS = {
    "bash": ("bash", "--norc", "-c"),
    "zsh": ("zsh", "-fc"),
    "fish": ("fish", "--no-config", "-c"),
}


def offered(folder: Path, name: str, *lines: str) -> list[list[str]]:
    """What the shell offers for each of the typed lines."""
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    script = PROGRAMS[name] + "".join(f"offered '{line}'\n" for line in lines)
    done = shell(folder, script, 60, *WITHOUT_SETTINGS[name], cwd=REPO)
    assert done.returncode == 0, done.stderr
    found = [line.split() for line in done.stdout.splitlines()]
    assert len(found) == len(lines), (done.stdout, done.stderr)
    return found


@pytest.mark.parametrize("name", LOAD)
def test_a_shell_completes_commands_plans_steps_and_benchmarks(tmp_path: Path, name: str):
    commands, plans, steps, benchmarks = offered(
        tmp_path,
        name,
        "ufvideo re",
        "ufvideo run plans/dem",
        f"ufvideo run {PLAN} --until st",
        "ufvideo score me",
    )
    assert commands == ["rebuild"]
    assert plans == [PLAN]
    assert steps == STAGES
    assert benchmarks == ["mevis"]


def test_bash_completes_the_other_arguments(tmp_path: Path):
    everything, options, choices, folders, mistake, steps = offered(
        tmp_path,
        "bash",
        "ufvideo ",
        "ufvideo run --for",
        "ufvideo score mevis --bare-times ",
        "ufvideo verify pla",
        "ufvideo run no-such-plan.yaml --until st",
        f"ufvideo run {PLAN} --set evaluation=null --force-step ",
    )
    assert everything == list(COMMANDS)
    assert options == ["--force-step"]
    assert choices == ["seconds", "fractions", "percents", "frames"]
    assert folders == ["plans/"]
    assert mistake == []
    assert steps == ["corpora", "prepare", "init", *STAGES]  # of the plan as --set changes it
