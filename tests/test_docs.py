"""The site of the docs is built without dead links; every command in it is one."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.commands import reference
from pipeline.commands.cli import COMMANDS, parser_of
from tests.pages import REPO, commands

PAGES = [*sorted(str(p.relative_to(REPO)) for p in (REPO / "docs").rglob("*.md")), "README.md"]
# What a page loads by itself. Links that a reader may follow are others.
LOADED = re.compile(
    r"<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)=[\"']?((?:https?:)?//[^\"' >]+)"
)


def build(folder: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """``make docs`` without its environment."""
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(out)],
        cwd=folder,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_site_is_built_and_loads_nothing_from_other_hosts(tmp_path: Path):
    done = build(REPO, tmp_path / "site")
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > len(list((REPO / "docs").rglob("*.md")))  # and 404.html
    for page in pages:
        assert not LOADED.findall(page.read_text(encoding="utf-8")), page.name
    styles = "".join(p.read_text(encoding="utf-8") for p in (tmp_path / "site").rglob("*.css"))
    assert not re.search(r"(?:url\(|@import )[\"']?(?:https?:)?//", styles)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("[x](no-such-page.md)", "no-such-page.md"),
        ("[x](start.md#no-such-part)", "no-such-part"),
        ("![x](images/no-such-picture.png)", "no-such-picture.png"),
    ],
)
def test_a_dead_link_is_an_error(tmp_path: Path, line: str, told: str):
    shutil.copytree(REPO / "docs", tmp_path / "docs")
    shutil.copy(REPO / "mkdocs.yml", tmp_path)
    with open(tmp_path / "docs" / "index.md", "a", encoding="utf-8") as page:
        page.write(f"\n{line}\n")
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode == 1
    assert told in done.stderr


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_beside_the_docs_lead_somewhere(page: str):
    text = (REPO / page).read_text(encoding="utf-8")
    linked = [link for link in re.findall(r"\]\(([^)\s#]+)", text) if not link.startswith("http")]
    assert linked
    assert [link for link in linked if not (REPO / link).exists()] == []


def test_the_page_of_commands_is_current():
    assert reference.PAGE.read_text(encoding="utf-8") == reference.page(), f"run {reference.COMMAND}"


def arguments_of(line: str) -> list[str] | None:
    """The words after ``ufvideo``, with variables as they are typed; None for another program."""
    words = shlex.split(line, comments=True)
    return words[1:] if words and words[0] == "ufvideo" else None


@pytest.mark.parametrize("page", [p for p in PAGES if any(map(arguments_of, commands(p)))])
def test_the_commands_of_a_page_are_commands(page: str):
    for line in commands(page):
        words = arguments_of(line)
        if not words or words == ["--version"]:
            continue
        assert words[0] in COMMANDS, line
        options = parser_of(words[0]).parse_args(words[1:])  # argparse leaves with its own message
        plan = getattr(options, "plan", None)
        if plan and plan.startswith("plans/") and plan != "plans/mine.yaml":
            assert (REPO / plan).exists(), line
