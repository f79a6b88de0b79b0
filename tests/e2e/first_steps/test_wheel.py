"""The wheel, built and installed outside the repository, does what the working copy does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
MEANT = ("src", "tests", "docs", "scripts", "configs", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with wheel and sdist, built from a copy without what git ignores."""
    copy, out = tmp_path_factory.mktemp("copy") / "source", tmp_path_factory.mktemp("dist")
    copy.mkdir()
    for name in MEANT:
        path = REPOSITORY / name
        if path.is_dir():
            shutil.copytree(path, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, copy / name)
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--directory", str(out)], cwd=copy, check=True, timeout=120
    )
    return out


def test_the_wheel_holds_the_package_and_nothing_else(built: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"icudl"}
    wanted = {
        str(path.relative_to(REPOSITORY / "src"))
        for path in (REPOSITORY / "src" / "icudl").rglob("*")
        if path.is_file() and path.suffix not in {".pyc", ".so"}
    }
    assert wanted <= set(names), "data files are missing from the wheel"
    assert "icudl/py.typed" in names


def test_the_sdist_can_build_the_wheel_and_run_the_tests(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = archive.getnames()
    tops = {name.split("/")[1] for name in names if "/" in name}
    assert {"src", "tests", "pyproject.toml", "README.md", "LICENSE"} <= tops
    assert not {".venv", "runs", "site"} & tops


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment that holds the wheel; what it depends on comes from the tests' environment."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index",
         "--disable-pip-version-check", str(next(built.glob("*.whl")))],
        check=True, timeout=120,
    )  # fmt: skip
    packages = next((folder / "lib").glob("python*")) / "site-packages"
    # Only the dependencies: the working copy's own .pth file is not read from a folder that is added this way.
    (packages / "dependencies.pth").write_text(next(path for path in sys.path if path.endswith("site-packages")) + "\n")
    return python


@pytest.mark.slow  # an environment of its own
def test_what_is_imported_is_the_wheel(installed: Path, tmp_path: Path) -> None:
    code = "import icudl, icudl.cli.app; print(icudl.__file__)"
    done = subprocess.run([installed, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert str(installed.parents[1]) in done.stdout
    script = installed.parent / "icudl"
    assert "icudl demo" in subprocess.run([script], cwd=tmp_path, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_the_end_to_end_tests_pass_on_the_wheel(installed: Path, tmp_path: Path) -> None:
    """The tests are copied away from the repository, so that nothing of it can be imported by accident."""
    shutil.copytree(REPOSITORY / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    chosen = ["results/test_results.py", "first_steps/test_user_mistakes.py"]
    done = subprocess.run(
        [installed, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider",
         *(f"tests/e2e/{name}" for name in chosen)],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": ""}, capture_output=True, text=True, timeout=2400, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout
