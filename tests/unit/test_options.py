from __future__ import annotations

import dataclasses
from typing import ClassVar

import pytest

from icudl.config.document import options_by_table
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


def test_every_option_is_documented_and_its_default_is_legal() -> None:
    undocumented = []
    for table, plugins in options_by_table().items():
        for name, options in plugins.items():
            options()
            fields = dataclasses.fields(options)
            undocumented += [
                f"{table} {name}: {field.name}" for field in fields if not field.metadata["doc"].strip().endswith(".")
            ]
            undocumented += [] if options.__doc__ else [f"{table} {name}"]
    assert not undocumented


def test_values_at_a_place_in_the_configuration_are_called_by_it() -> None:
    with pytest.raises(ConfigError, match=r"models\.lstm\.rate = 2"):
        Sample.checked("models.lstm", {"rate": 2.0})
    assert Sample.checked("models.lstm", {"rate": 1.0}) == Sample(rate=1.0)
