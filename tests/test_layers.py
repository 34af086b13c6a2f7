"""The layers: who may import whom, no torch below the steps that need it, no circles."""

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
    "evaluation": {"evaluation", "pipeline", "training"},
}


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules(root: Path) -> dict[str, Path]:
    return {module_name(p, root): p for package in PACKAGES for p in sorted((root / package).rglob("*.py"))}


def imports(path: Path, *, top_level: bool = False) -> Iterator[str]:
    """Every imported name of a file; with ``top_level`` only what is imported when the file is."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    nodes = list(_run_at_import(tree)) if top_level else list(ast.walk(tree))
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _run_at_import(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from _run_at_import(child)


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
            if package in ("pipeline", "datasets_prep") and top in TORCH:
                faults.append(f"{name} imports {target}; no torch below training")
    return faults


def circles(root: Path) -> list[str]:
    known = modules(root)
    graph: dict[str, set[str]] = {}
    for name, path in known.items():
        found = set()
        for target in imports(path, top_level=True):
            while target and target not in known:
                target = target.rpartition(".")[0]
            # `from package import module` runs the package's __init__, but is no circle with it.
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


def test_layers_hold():
    assert layer_faults(REPO) == []


def test_no_module_circles():
    assert circles(REPO) == []


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


def test_a_circle_is_found(tmp_path: Path):
    (tmp_path / "pipeline").mkdir()
    for name, other in (("a", "b"), ("b", "c"), ("c", "a")):
        (tmp_path / "pipeline" / f"{name}.py").write_text(f"from pipeline.{other} import x")
    assert circles(tmp_path) == ["pipeline.a -> pipeline.b -> pipeline.c -> pipeline.a"]
