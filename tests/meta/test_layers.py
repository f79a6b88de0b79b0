"""The architecture as a test: a module imports from its own layer or a lower one, and nothing is pickled."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "icudl"

LAYERS = {
    "icudl": 0,
    "icudl.errors": 0,
    "icudl.options": 0,
    "icudl.variables": 0,
    "icudl.artifacts": 1,
    "icudl.execution": 1,
    "icudl.plugins": 1,
    "icudl.sources": 2,
    "icudl.preprocessing": 2,
    "icudl.models": 2,
    "icudl.training": 2,
    "icudl.search": 2,
    "icudl.attacks": 2,
    "icudl.analysis": 2,
    "icudl.report": 2,
    "icudl.config.schema": 3,
    "icudl.interop": 3,
    "icudl.testing": 3,
    "icudl.stages": 4,
    "icudl.config": 5,
    "icudl.store": 5,
    "icudl.pipeline": 6,
    "icudl.cli": 7,
}

MODULES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer_of(module: str) -> int:
    while module not in LAYERS:
        module, dot, _ = module.rpartition(".")
        assert dot, f"a module has no layer: {module}"
    return LAYERS[module]


def runtime_imports(tree: ast.AST) -> set[str]:
    """Modules of this package that a module imports, those for type checkers only left out."""
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in guarded:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("icudl"):
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names if alias.name.startswith("icudl"))
    return found


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_one_way(path: Path) -> None:
    own = layer_of(name_of(path))
    tree = ast.parse(path.read_text("utf-8"))
    higher = {module for module in runtime_imports(tree) if layer_of(module) > own}
    assert not higher, f"{name_of(path)} (layer {own}) imports from above: {sorted(higher)}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nothing_is_pickled_and_no_code_is_evaluated(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not re.search(
        r"\b(import pickle|from pickle|cloudpickle|joblib\.dump|torch\.(load|save)\(|allow_pickle=True)", text
    )
    assert not re.search(r"\b(eval|exec)\(|shell=True|os\.system", text.replace(".eval()", ""))


def test_no_module_is_named_for_nothing() -> None:
    forbidden = {"utils", "helpers", "common", "misc", "util", "helper"}
    assert not [path for path in MODULES if path.stem in forbidden]


def test_the_search_for_upward_imports_finds_one() -> None:
    tree = ast.parse("from icudl.cli.app import app\nif TYPE_CHECKING:\n    from icudl.pipeline.run import Pipeline\n")
    assert runtime_imports(tree) == {"icudl.cli.app"}
    assert layer_of("icudl.cli.app") > layer_of("icudl.attacks.methods.greedy")
