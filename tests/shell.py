"""``ufvideo`` in a shell, as a reader of the docs types it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.integration.mini import environment


def shell(
    folder: Path, command: str, timeout_s: float, *program: str, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``command`` in ``folder`` or ``cwd``; ``folder`` holds the ``ufvideo`` that the shell finds.

    ``program`` is the shell with the options before the command; default: ``bash -c``.
    """
    script = folder / "bin" / "ufvideo"
    script.parent.mkdir(exist_ok=True)
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m pipeline "$@"\n')
    script.chmod(0o755)
    return subprocess.run(
        [*(program or ("bash", "-c")), command],
        cwd=cwd or folder,
        env=environment(PATH=f"{script.parent}:{os.environ['PATH']}"),
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
