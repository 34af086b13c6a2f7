"""What stands in the pages of the docs: their files and code blocks."""

from __future__ import annotations

import re
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]


def blocks(page: str, kind: str) -> list[str]:
    """The code blocks of one kind (``bash``, ``json``) of a page, such as ``docs/own-data.md``."""
    text = (REPO / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def commands(page: str) -> list[str]:
    """The lines of its ``bash`` blocks; a line that ends in a backslash goes on in the next."""
    return [
        line
        for block in blocks(page, "bash")
        for line in block.replace("\\\n", " ").splitlines()
        if line.strip() and not line.startswith("#")
    ]
