"""Run programs that use other libraries one after the other in a process that cannot import this project."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_RUN = """
import contextlib, io, json, sys, traceback
sys.modules["pipeline"] = None
programs, variables = map(json.loads, sys.argv[1:])
printed = {}
for name, program in programs.items():
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            exec(program, dict(variables))
        except Exception:
            traceback.print_exc(file=out)
    printed[name] = out.getvalue()
print(json.dumps(printed))
"""


def printed_by(programs: Mapping[str, str], folder: Path, **variables: str) -> dict[str, str]:
    """Output of each program by name, with its traceback if it fails; ``folder`` is the working directory."""
    command = [sys.executable, "-c", _RUN, json.dumps(programs), json.dumps(variables)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found
