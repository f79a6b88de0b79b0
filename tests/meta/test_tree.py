"""The folders say what lies where: no module is named for nothing, and ``tests/unit`` mirrors ``src/icudl``."""

from __future__ import annotations

from importlib import import_module
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


def test_every_name_that_a_package_exports_is_there() -> None:
    """Names that are imported on first use are strings until then, which no type checker follows."""
    packages = [
        ".".join(("icudl", *path.parent.relative_to(PACKAGE).parts)) for path in sorted(PACKAGE.rglob("__init__.py"))
    ]
    exported = [(name, word) for name in packages for word in getattr(import_module(name), "__all__", [])]
    assert len(exported) > 100
    for package, word in exported:
        assert getattr(import_module(package), word) is not None
