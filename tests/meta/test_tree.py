"""The folders say what lies where: no module is named for nothing, and ``tests/unit`` mirrors ``src/icudl``."""

from __future__ import annotations

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "src" / "icudl"
UNIT_TESTS = REPOSITORY / "tests" / "unit"


def test_no_module_is_named_for_nothing() -> None:
    forbidden = {"utils", "helpers", "common", "misc", "util", "helper"}
    assert not [path for path in PACKAGE.rglob("*.py") if {path.stem, path.parent.name} & forbidden]


def test_every_folder_of_unit_tests_is_that_of_a_package() -> None:
    folders = {path.parent.relative_to(UNIT_TESTS) for path in UNIT_TESTS.rglob("test_*.py")}
    strays = sorted(str(folder) for folder in folders if not (PACKAGE / folder / "__init__.py").is_file())
    assert not strays, f"no package of src/icudl has the name of these folders of tests/unit: {strays}"
