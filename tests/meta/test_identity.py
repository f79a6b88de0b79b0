"""An option that can change a result changes the identity of the results that depend on it, and of no others.

In the original, options were lost on their way through nested objects (defect 10); here each one is tried.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from icudl.config.schema import TABLES, Config
from icudl.pipeline.graph import NODES
from icudl.pipeline.run import Pipeline

BASE = Config(
    tune_model=dataclasses.replace(Config().tune_model, trials=1),
    tune_attack=dataclasses.replace(Config().tune_attack, trials=1),
)


def other(field: dataclasses.Field[Any], value: Any) -> Any:
    """Return another legal value of the same type."""
    choices = field.metadata.get("choices")
    if choices and isinstance(value, tuple):
        return tuple(choices) if value != tuple(choices) else tuple(choices[:1])
    if choices:
        return next(choice for choice in choices if choice != value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        low, high = field.metadata.get("low"), field.metadata.get("high")
        if high is None or value + 1 <= high:
            return value + 1
        return type(value)((value + (high if value < high else low)) / 2)
    if isinstance(value, str):
        return value + "x"
    if isinstance(value, tuple):
        return (*value, "age_years") if "age_years" not in value else ()
    return {**value, "x.y": {"choices": [1]}} if not value else {}


def options() -> Iterator[tuple[str, str]]:
    for table, kind in TABLES.items():
        for field in dataclasses.fields(kind):
            if (table, field.name) not in {("source", "name"), ("model", "name"), ("attack", "name")}:
                yield table, field.name


def ids(config: Config) -> dict[str, str]:
    pipeline = Pipeline(config, "unused")
    plan = {}
    for node in pipeline.nodes():
        upstream = {name: plan[name].id for name in node.upstream}
        plan[node.name] = pipeline._identity(node, upstream)
    return {name: identity.id for name, identity in plan.items()}


def downstream(table: str) -> set[str]:
    """Nodes whose result depends on a table."""
    if table == "run":
        return set(NODES)
    found = {name for name, node in NODES.items() if table in node.tables}
    while True:
        more = {name for name, node in NODES.items() if found & set(node.upstream)} | found
        if more == found:
            return found
        found = more


@pytest.fixture(autouse=True)
def no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """The source is not asked: what stands for its data is the same throughout."""
    from icudl.sources.base import SourceFingerprint

    monkeypatch.setattr(Pipeline, "fingerprint", lambda _self: SourceFingerprint(digest="same", details={}))


@pytest.mark.parametrize(("table", "key"), [pytest.param(*case, id=".".join(case)) for case in options()])
def test_an_option_changes_what_depends_on_it_and_nothing_else(table: str, key: str) -> None:
    current = getattr(BASE, table)
    field = next(field for field in dataclasses.fields(current) if field.name == key)
    values = dataclasses.replace(current, **{key: other(field, getattr(current, key))})
    changed = dataclasses.replace(BASE, **{table: values})
    before, after = ids(BASE), ids(changed)
    differing = {name for name in before if before[name] != after[name]}
    if field.metadata["identity"] and table != "execution":
        assert differing == downstream(table)
    else:
        assert not differing
