"""The mutator itself, and in full length the share of changes to the science that the tests notice."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from check import PACKAGE, REPOSITORY, TESTS, drawn
from in_place import change, changed_functions, unchanged_functions
from mutants import mutants

SOURCE = '''"""A module."""
def f(a: int = 1, *, b=True) -> float:
    """Return something."""
    if not a < 2 and b:
        raise ValueError(f"{a + 1}")
    return min(a - 1, -a) if a == 3 else zip(a, a, strict=True)
'''


def test_each_mutant_differs_in_one_place_and_the_source_is_left_as_it_was() -> None:
    whole = ast.unparse(ast.parse(SOURCE))
    found = list(mutants(SOURCE))
    texts = [mutant.text for mutant in found]
    assert len(set(texts)) == len(texts)
    assert whole not in texts
    for text in texts:
        changed = [pair for pair in zip(whole.splitlines(), text.splitlines(), strict=True) if pair[0] != pair[1]]
        assert len(changed) == 1
    assert list(mutants(SOURCE)) == found


def test_what_is_changed_and_what_is_not() -> None:
    kinds = {mutant.what for mutant in mutants(SOURCE)}
    assert {"Lt -> LtE", "Eq -> NotEq", "Sub -> Add", "min -> max", "and <-> or", "2 -> 3", "if -> never"} <= kinds
    assert {"Not left out", "USub left out", "condition -> True", "condition -> False", "True -> False"} <= kinds
    assert not any("a + 2" in mutant.text or "strict=False" in mutant.text for mutant in mutants(SOURCE))


def test_statements_of_sql_are_changed_a_word_at_a_time() -> None:
    source = "TEXT = sql.SQL('SELECT * FROM a LEFT JOIN b ON a.x >= b.y AND a.x IS NULL')"
    texts = [ast.literal_eval(mutant.text.removeprefix("TEXT = sql.SQL(")[:-1]) for mutant in mutants(source)]
    assert "SELECT * FROM a JOIN b ON a.x >= b.y AND a.x IS NULL" in texts
    assert "SELECT * FROM a LEFT JOIN b ON a.x >= b.y OR a.x IS NULL" in texts
    assert len(set(texts)) == len(texts) == 4
    assert all(text.startswith("SELECT * FROM a") for text in texts)


@pytest.mark.slow  # It looks through all objects of the process for functions
def test_functions_are_changed_in_place_where_nothing_else_is(tmp_path: Path) -> None:
    source = """import functools
LIMIT = 5
SQUARES = [k * k for k in range(3)]
def plain(a, b=1):
    return [a + k + b for k in range(2)]
@functools.cache
def cached(a):
    return a + 1
class Holder:
    size = 2
    def inner(self, a):
        return (lambda: a * 2)()
"""
    file = str(tmp_path / "module.py")
    right = {"plain": [2, 3], "cached": 2, "inner": 4}

    def results(text: str | None) -> dict[str, object] | None:
        names: dict[str, Any] = {}
        exec(compile(source, file, "exec"), names)
        if text is not None and not change(changed_functions(source, text), file):
            return None
        change(unchanged_functions(text or source), file)  # what they are already
        return {"plain": names["plain"](1), "cached": names["cached"](1), "inner": names["Holder"]().inner(2)}

    assert results(None) == right
    found = {mutant.line: results(mutant.text) for mutant in mutants(source) if mutant.line != 5}
    assert found[2] is found[3] is found[4] is found[10] is None, "run while the module is imported"
    assert found[8] == right | {"cached": 3}
    assert found[12] == right | {"inner": 6}
    others = [results(mutant.text) for mutant in mutants(source) if mutant.line == 5]
    assert len(others) == 3
    assert all(each is not None and each["plain"] != right["plain"] for each in others)


def test_mutants_of_another_seed_are_left_out() -> None:
    modules = ["attacks/distances.py", "training/teacher.py"]

    def texts(found: Any) -> set[tuple[str, int, str, str]]:
        return {(module, each.line, each.what, each.text) for module, some in found.items() for each in some}

    first, other = texts(drawn(modules, 12, 1)), texts(drawn(modules, 12, 2, [1]))
    assert len(first) == len(other) == 12
    assert not first & other
    assert texts(drawn(modules, 12, 2)) & first


def test_every_module_has_mutants_and_tests() -> None:
    missing = [module for module in TESTS if not (PACKAGE / module).is_file()]
    missing += [test for tests in TESTS.values() for test in tests if not (REPOSITORY / "tests" / test).is_file()]
    assert not missing, f"these have moved; adapt TESTS in check.py: {missing}"
    assert not [module for module in TESTS if next(mutants((PACKAGE / module).read_text("utf-8")), None) is None]


@pytest.mark.exhaustive
def test_most_changes_to_the_science_are_noticed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("check.py")), "--sample", "14", "--seed", "1"],
        cwd=tmp_path, capture_output=True, text=True, timeout=7200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert json.loads(done.stdout.splitlines()[-1])["share"] >= 0.93, done.stdout
