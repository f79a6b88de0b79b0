"""The reference of artifacts: types, files and schemas, from ``icudl.artifacts`` and the stages."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from pathlib import Path

import polars as pl

from icudl import artifacts
from icudl.analysis import susceptibility
from icudl.artifacts import Artifact
from icudl.config.load import load_config
from icudl.pipeline.graph import build_graph
from icudl.pipeline.stages import STAGES
from icudl.store.manifest import FORMAT, Manifest

INTRODUCTION = """# Artifacts

Every result is a folder `runs/STAGE/ID/` with the files below and `manifest.json`. Tables are Parquet, arrays and
weights safetensors, the rest JSON: any tool opens them, and reading them runs no code. Made from `icudl.artifacts`.

A stage runs once for each data set, model and attack that it concerns. The manifest keeps the name of the result
(`train/lstm`, `attack/lstm/fewest/elsewhere`); commands take this name in place of the id.

Manifests have format {format}. Version 0.1.0 wrote format 1: this version refuses it with an error that names 0.1.0.

| stage | made by | type | made from |
| --- | --- | --- | --- |
"""

EVERYTHING = (
    "data.elsewhere.source=synthetic",
    "data.elsewhere.role=external",
    "tune_model.trials=1",
    "tune_attack.trials=1",
)
"""Settings that give every stage a node."""

FILE = re.compile(r'folder / (f?)"([^"]+)"|folder\) / (f?)"([^"]+)"|folder / "checkpoints"')


def render() -> str:
    """Return the page."""
    kinds = list(dict.fromkeys(stage.artifact for stage in STAGES.values()))
    rows = [
        f"| `{stage.name}` | `icudl {stage.verb}` | [{stage.artifact.__name__}](#{stage.artifact.__name__.lower()}) "
        f"| {_inputs(stage.name)} |"
        for stage in STAGES.values()
    ]
    parts = [INTRODUCTION.replace("{format}", str(FORMAT)) + "\n".join(rows) + "\n"]
    parts += [
        f"## {kind.__name__}\n\n{_documentation(kind)}\n\nFiles: {', '.join(_files(kind))}.\n"
        for kind in [*kinds, artifacts.Checkpoint]
    ]
    parts.append("## Tables of a SusceptibilityResult\n\n" + _definitions(susceptibility.__doc__ or ""))
    parts.append("## Schemas\n")
    parts += [_schema(name) for name in vars(artifacts) if name.endswith("_SCHEMA")]
    parts.append(f"## manifest.json\n\n{_documentation(Manifest)}\n")
    return "\n".join(parts)


def _inputs(stage: str) -> str:
    """What a stage reads in a study that has every kind of node."""
    study = load_config(None, ["data.main.source=synthetic", *EVERYTHING])
    reads = [node.upstream for node in build_graph(study).values() if node.key.stage == stage]
    stages = dict.fromkeys(key.stage for upstream in reads for key in upstream.values())
    return ", ".join(f"`{name}`" for name in stages) or "the source"


def _documentation(kind: type) -> str:
    """The docstring with its attributes as a table."""
    text, _, attributes = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")
    entries = re.split(r"\n(?=\S)", textwrap.dedent(attributes)) if attributes else []
    rows = [
        "| `{}` | {} |".format(*(" ".join(part.split()) for part in entry.split(":", 1)))
        for entry in entries
        if entry.strip()
    ]
    table = ["", "| attribute | meaning |", "| --- | --- |", *(row.replace("``", "`") for row in rows)] if rows else []
    return "\n".join([text.strip().replace("``", "`"), *table])


def _files(kind: type[Artifact] | type[artifacts.Checkpoint]) -> list[str]:
    """The names that ``write`` joins to its folder; what stands in braces depends on the artifact."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind.write)))
    names = [
        ast.unparse(node.right).removeprefix("f")[1:-1].replace("self.", "")
        for node in ast.walk(tree)
        if isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Div)
        and isinstance(node.right, ast.Constant | ast.JoinedStr)
    ]
    return [f"`{name}`" for name in dict.fromkeys(names)]


def _definitions(text: str) -> str:
    """Turn a docstring's definition list (term, indented text) into a Markdown list."""
    body = text.partition("\n\n")[2].replace("``", "`")
    return re.sub(r"\n {4}(?=\S)", "\n  ", re.sub(r"(?m)^(`\w+`.*)$(?=\n {4})", r"* **\1**<br>", body)) + "\n"


def _schema(name: str) -> str:
    """One schema as a table; the comment behind a column in the code is its meaning."""
    source = "\n".join(path.read_text("utf-8") for path in Path(inspect.getfile(artifacts)).parent.glob("*.py"))
    block = re.search(rf"^{name}: Schema = \{{(.*?)\}}$", source, re.MULTILINE | re.DOTALL)
    comments = dict(re.findall(r'"(\w+)": [^#\n]*?,\s*#\s*(.*)', block.group(1) if block else ""))
    schema: dict[str, pl.DataType] = dict(getattr(artifacts, name))
    rows = [f"| `{column}` | {dtype} | {comments.get(column, '')} |" for column, dtype in schema.items()]
    return "\n".join([f"### {name}\n", "| column | type | meaning |", "| --- | --- | --- |", *rows, ""])
