"""The layers and rooms: which may import which, no torch below the steps that need it, no import cycles.

Every import counts: at the top of a file, in a function, and for type checking only.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
PACKAGES = ("pipeline", "datasets_prep", "training", "evaluation")
TORCH = {"torch", "deepspeed", "transformers", "accelerate", "safetensors"}
MAY_IMPORT = {
    "pipeline": {"pipeline"},
    "datasets_prep": {"datasets_prep", "pipeline"},
    "training": {"training", "pipeline"},
    "evaluation": {"evaluation", "pipeline", "training", "datasets_prep"},
}
# The rooms of `pipeline`, from the ground up. Each may import the modules beside the rooms (errors, progress
# and the like), itself, and the rooms named here; the order of the rows is that of the floors.
ROOMS: dict[str, set[str]] = {
    "storage": set(),
    "records": {"storage"},
    "times": {"records"},
    "media": {"storage", "records", "times"},
    "page": {"records", "times", "media"},
    "plan": {"storage", "records", "times", "media"},
    "estimate": {"plan"},
    "dataset": {"storage", "records", "times", "media", "plan"},
    "artifacts": {"storage", "records", "times", "media", "plan", "dataset"},
    "jobs": {"storage", "records", "plan", "dataset", "artifacts"},
    "commands": {"storage", "records", "times", "media", "plan", "dataset", "artifacts", "jobs", "estimate"},
}


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules(root: Path) -> dict[str, Path]:
    return {module_name(p, root): p for package in PACKAGES for p in sorted((root / package).rglob("*.py"))}


def imports(path: Path) -> Iterator[str]:
    """Every imported name of a file, wherever in the file the import is."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer_faults(root: Path) -> list[str]:
    faults = []
    for name, path in modules(root).items():
        package = name.partition(".")[0]
        for target in imports(path):
            top = target.partition(".")[0]
            if top in PACKAGES and top not in MAY_IMPORT[package]:
                faults.append(f"{name} imports {target}")
            inside = target == "training.model" or target.startswith("training.model.")
            if package == "evaluation" and top == "training" and not inside:
                faults.append(f"{name} imports {target}; evaluation's only door is training.model")
            truth = target == "datasets_prep.truth" or target.startswith("datasets_prep.truth.")
            if package == "evaluation" and top == "datasets_prep" and not truth:
                faults.append(f"{name} imports {target}; evaluation's only door is datasets_prep.truth")
            if package in ("pipeline", "datasets_prep") and top in TORCH:
                faults.append(f"{name} imports {target}; no torch below training")
    return faults


def room_faults(root: Path) -> list[str]:
    faults = []
    known = modules(root)
    for name, path in known.items():
        room = _room(name, known)
        if name.partition(".")[0] != "pipeline" or room == "__main__":
            continue
        for target in imports(path):
            other = _room(target, known)
            if target.startswith("pipeline.") and other not in {"", room, *ROOMS.get(room, set())}:
                faults.append(f"{name} imports {target}")
    return faults


def _room(target: str, known: dict[str, Path]) -> str:
    """The room of a module or of a name in one; empty for a module beside the rooms."""
    parts = target.split(".")
    if len(parts) < 2 or parts[1] in ROOMS or parts[1] == "__main__":
        return parts[1] if len(parts) > 1 else ""
    place = known.get(f"{parts[0]}.{parts[1]}")
    return parts[1] if place is not None and place.name == "__init__.py" else ""


def import_cycles(root: Path) -> list[str]:
    known = modules(root)
    graph: dict[str, set[str]] = {}
    for name, path in known.items():
        found = set()
        for target in imports(path):
            while target and target not in known:
                target = target.rpartition(".")[0]
            # `from package import module` runs the package's __init__, but is not a cycle with it.
            if target and target != name and not (name + ".").startswith(target + "."):
                found.add(target)
        graph[name] = found
    faults, state = [], dict.fromkeys(graph, 0)

    def visit(name: str, trail: list[str]) -> None:
        state[name] = 1
        for target in sorted(graph[name]):
            if state[target] == 1:
                loop = [*trail, name]
                faults.append(" -> ".join([*loop[loop.index(target) :], target]))
            elif state[target] == 0:
                visit(target, [*trail, name])
        state[name] = 2

    for name in graph:
        if state[name] == 0:
            visit(name, [])
    return faults


def test_no_import_breaks_the_layers():
    assert layer_faults(REPO) == []


def test_no_import_breaks_the_order_of_rooms():
    """A new room of `pipeline` needs a row in ``ROOMS``."""
    assert room_faults(REPO) == []


def test_the_table_of_rooms_matches_the_source_tree_and_has_no_cycle():
    folders = {p.parent.name for p in (REPO / "pipeline").glob("*/__init__.py")}
    assert folders == set(ROOMS)
    order = list(ROOMS)
    for room, below in ROOMS.items():
        assert below <= set(order[: order.index(room)]), room


def test_the_architecture_page_shows_the_table_of_rooms():
    page = (REPO / "docs" / "architecture.md").read_text(encoding="utf-8")
    for room, below in ROOMS.items():
        row = f"| `{room}` | {', '.join(r for r in ROOMS if r in below) or 'none'} |"
        assert row in page, row


def test_no_modules_import_each_other_in_a_cycle():
    assert import_cycles(REPO) == []


def test_all_four_packages_are_read():
    assert {name.partition(".")[0] for name in modules(REPO)} == set(PACKAGES)


@pytest.mark.parametrize(
    ("package", "line"),
    [
        ("pipeline", "import training.run"),
        ("pipeline", "from datasets_prep import run"),
        ("pipeline", "def f():\n    import torch"),
        ("datasets_prep", "from torch import nn"),
        ("datasets_prep", "import training"),
        ("training", "import evaluation.metrics"),
        ("evaluation", "from training import losses"),
        ("evaluation", "from training.data import order"),
    ],
)
def test_a_forbidden_import_is_found(tmp_path: Path, package: str, line: str):
    (tmp_path / package).mkdir()
    (tmp_path / package / "bad.py").write_text(line)
    assert len(layer_faults(tmp_path)) == 1


def test_allowed_imports_pass(tmp_path: Path):
    (tmp_path / "evaluation").mkdir()
    text = "from training.model.tokens import X\nfrom training import model\nimport pipeline.plan, torch"
    (tmp_path / "evaluation" / "good.py").write_text(text)
    assert layer_faults(tmp_path) == []


def test_an_import_cycle_is_found(tmp_path: Path):
    (tmp_path / "pipeline").mkdir()
    for name, other in (("a", "b"), ("b", "c"), ("c", "a")):
        (tmp_path / "pipeline" / f"{name}.py").write_text(f"from pipeline.{other} import x")
    assert import_cycles(tmp_path) == ["pipeline.a -> pipeline.b -> pipeline.c -> pipeline.a"]


@pytest.mark.parametrize(
    "lines",
    [
        "def f():\n    from pipeline.b import x",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pipeline.b import x",
        "class A:\n    def f(self):\n        import pipeline.b",
    ],
)
def test_a_cycle_through_an_import_in_a_function_or_for_types_is_found(tmp_path: Path, lines: str):
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline" / "a.py").write_text(lines)
    (tmp_path / "pipeline" / "b.py").write_text("from pipeline.a import x")
    assert import_cycles(tmp_path) == ["pipeline.a -> pipeline.b -> pipeline.a"]


@pytest.mark.parametrize(
    ("room", "line", "faults"),
    [
        ("times", "from pipeline.media import video", 1),
        ("plan", "def f():\n    import pipeline.jobs.server", 1),
        ("", "from pipeline.storage.location import Location", 1),
        ("loft", "import pipeline.errors", 0),
        ("loft", "import pipeline.storage.location", 1),
        ("times", "from pipeline import errors", 0),
        ("times", "from pipeline.records.sample import TimeSpan", 0),
    ],
)
def test_imports_from_rooms_that_are_not_allowed_are_found(tmp_path: Path, room: str, line: str, faults: int):
    place = tmp_path / "pipeline" / room
    place.mkdir(parents=True)
    if room:
        (place / "__init__.py").write_text("")
    (place / "x.py").write_text(line)
    assert len(room_faults(tmp_path)) == faults
