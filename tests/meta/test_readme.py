"""The README tells the truth: CI runs its test command, its configurations load, its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from icudl.config.load import load_config
from icudl.config.packaged import DEFAULT, QUICK, packaged_study

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)


def test_the_two_commands_come_first() -> None:
    assert BLOCKS[0].strip() == "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/icudl demo"
    assert BLOCKS[1].strip() == "scripts/test"


def test_ci_runs_the_readme_test_command() -> None:
    script = (REPOSITORY / ".ci" / "run").read_text("utf-8").strip().splitlines()
    assert script[-1] == f"exec {BLOCKS[1].strip()} --all"
    assert "--all" in README


@pytest.mark.parametrize("path", sorted((REPOSITORY / "configs").glob("*.toml")), ids=lambda path: path.name)
def test_reference_configurations_load(path: Path) -> None:
    load_config(path)


def test_the_demo_runs_studies_that_come_with_the_package() -> None:
    assert {packaged_study(name).name for name in (DEFAULT, QUICK)} == {"default.toml", "smoke.toml"}
    for name in (DEFAULT, QUICK):
        config = load_config(packaged_study(name))
        assert {data.source.name for data in config.data.values()} == {"synthetic"}
        assert len(config.models) == 2
        assert {attack.attack.threat_model for attack in config.attacks.values()} == {"measured"}


GENERATED = {
    REPOSITORY / "docs" / path
    for path in re.findall(
        r'^    "([\w/]+\.md)":',
        (REPOSITORY / "scripts" / "documentation" / "generated_pages.py").read_text("utf-8"),
        re.M,
    )
}
"""Pages that the build of the site writes; the build checks the links between them."""


def test_links_inside_the_repository_lead_somewhere() -> None:
    for page in [
        REPOSITORY / "README.md",
        REPOSITORY / "CONTRIBUTING.md",
        *sorted((REPOSITORY / "docs").rglob("*.md")),
    ]:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text("utf-8")):
            if "://" not in target:
                found = (page.parent / target).resolve()
                assert found.exists() or found in GENERATED, f"{page.relative_to(REPOSITORY)} links to {target}"


def test_the_python_example_uses_the_public_names() -> None:
    import icudl

    for name in re.findall(r"icudl\.(\w+)", "".join(re.findall(r"```python\n(.*?)```", README, re.DOTALL))):
        assert name in icudl.__all__
        assert getattr(icudl, name)


def test_public_names_are_sorted_and_exist() -> None:
    import icudl

    assert sorted(icudl.__all__) == list(icudl.__all__)
    assert all(hasattr(icudl, name) for name in icudl.__all__)
    with pytest.raises(AttributeError):
        _ = icudl.nothing
