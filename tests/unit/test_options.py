from __future__ import annotations

import dataclasses
from typing import ClassVar

import pytest

from icudl.config.schema import TABLES
from icudl.errors import ConfigError
from icudl.options import Options, option


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample(Options):
    table: ClassVar[str] = "sample"
    rate: float = option(0.5, "A rate.", low=0.0, high=1.0)
    kind: str = option("a", "A kind.", choices=("alpha", "a"))
    kinds: tuple[str, ...] = option((), "Kinds.", choices=("alpha", "a"))
    where: str = option("here", "A place.", identity=False)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"rate": 1.5}, ["sample.rate", "1.5", "from 0 to 1"]),
        ({"rate": float("nan")}, ["sample.rate", "nan", "finite"]),
        ({"kind": "alhpa"}, ["sample.kind", "'alhpa'", "Did you mean 'alpha'"]),
        ({"kinds": ("a", "b")}, ["sample.kinds", "'b'"]),
    ],
)
def test_illegal_values_name_key_value_and_expectation(values: dict[str, object], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        Sample(**values)  # type: ignore[arg-type]
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_identity_leaves_out_what_cannot_change_a_result() -> None:
    assert Sample(where="there").to_dict(identity_only=True) == Sample().to_dict(identity_only=True)
    assert "where" in Sample().to_dict()


@pytest.mark.parametrize("table", list(TABLES))
def test_every_option_is_documented_and_its_default_is_legal(table: str) -> None:
    TABLES[table]()
    assert TABLES[table].__doc__
    for field in dataclasses.fields(TABLES[table]):
        assert field.metadata.get("doc", "").strip().endswith("."), f"{table}.{field.name}"
