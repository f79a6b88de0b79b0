"""The source runs nothing that it reads, and builds no SQL and no command from text."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = sorted((REPOSITORY / "src" / "icudl").rglob("*.py"))
UNSAFE_MODULES = {
    "pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "shelve",
    "marshal",
    "joblib",
    "yaml",
    "telnetlib",
    "ftplib",
}
UNSAFE_CALLS = {
    "eval", "exec", "compile", "os.system", "os.popen", "subprocess.getoutput", "tempfile.mktemp",
    "torch.load", "torch.save", "pl.read_database_uri", "pd.read_pickle", "pl.DataFrame.deserialize",
}  # fmt: skip
UNPACKING = {"extractall", "extract", "unpack_archive"}
STATEMENTS = {"execute", "executemany", "copy"}
"""Methods of a database connection whose first argument is SQL."""


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def unsafe(tree: ast.AST) -> Iterator[str]:
    """Lines of a module that could run what they read, or hand text to a shell or a database."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (f"{node.lineno}: imports {name}" for name in names if name.partition(".")[0] in UNSAFE_MODULES)
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func)
        if name in UNSAFE_CALLS:
            yield f"{node.lineno}: calls {name}"
        keywords = {keyword.arg: keyword.value for keyword in node.keywords}
        for keyword, value in keywords.items():
            if keyword in {"shell", "allow_pickle"} and not (isinstance(value, ast.Constant) and value.value is False):
                yield f"{node.lineno}: {keyword} is not False"
        method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if method in UNPACKING and name.partition(".")[0] in {"archive", "tar", "shutil", "zipfile", "tarfile"}:
            yield f"{node.lineno}: unpacks an archive"
        if method in STATEMENTS and node.args and built(node.args[0]):
            yield f"{node.lineno}: SQL is built from text"


def built(node: ast.expr) -> bool:
    """Whether an expression puts text together: an f-string, %, + or a method of a string."""
    if isinstance(node, ast.JoinedStr | ast.BinOp):
        return True
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return isinstance(node.func.value, ast.Constant)
    return False


@pytest.fixture(scope="module")
def trees() -> dict[Path, ast.Module]:
    """The syntax tree of every module of the package."""
    return {path.relative_to(REPOSITORY): ast.parse(path.read_text("utf-8")) for path in MODULES}


def test_nothing_that_is_read_is_run(trees: dict[Path, ast.Module]) -> None:
    found = [f"{path}:{line}" for path, tree in trees.items() for line in unsafe(tree)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "import pickle", "from joblib import load", "eval(x)", "torch.load(p)", "np.load(p, allow_pickle=True)",
        "subprocess.run(c, shell=True)", "os.system(c)", "archive.extractall(p)", 'connection.execute(f"DROP {x}")',
        'connection.execute("SELECT " + x)', 'cursor.execute("SELECT %s" % x)', 'connection.execute("a {}".format(x))',
        "import yaml", "subprocess.run(c, shell=flag)",
    ],
)  # fmt: skip
def test_the_search_finds_what_it_is_for(text: str) -> None:
    assert list(unsafe(ast.parse(text)))


def test_sql_text_is_written_in_the_source(trees: dict[Path, ast.Module]) -> None:
    """``sql.SQL`` takes what is written in the module, never a value: values are literals, names identifiers."""
    found = 0
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and dotted(node.func) == "sql.SQL":
                found += 1
                assert isinstance(node.args[0], ast.Constant), f"{path}:{node.lineno}"
    assert found > 10
