"""Rules as data: the shipped book, and what a broken one says."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from icudl.errors import ConfigError, SourceError
from icudl.sources import rules
from icudl.sources.base import VariableOptions
from icudl.sources.rules import mimic3_rules, parse
from icudl.variables import CATALOGUE, STUDY_NAMES, STUDY_VARIABLES

MINIMAL = """
[units]
fahrenheit = { offset = 32, divisor = 1.8 }
[variables.tempc]
table = "chartevents"
items = [{ ids = [1], unit = "fahrenheit", gate = { from = 70, to = 120 } }, { ids = [2, 3] }]
"""


def test_every_study_variable_has_rules_and_every_rule_a_variable() -> None:
    named = {rule.variable for rule in mimic3_rules().rules}
    assert set(STUDY_NAMES) <= named <= set(CATALOGUE)


def test_item_ids_of_the_study() -> None:
    items = {}
    for rule in mimic3_rules().rules:
        items.setdefault(rule.variable, []).extend(rule.items)
    assert sorted(items["sysbp"]) == [51, 442, 455, 6701, 220050, 220179]
    assert sorted(items["diasbp"]) == [8368, 8440, 8441, 8555, 220051, 220180]
    assert sorted(items["tempc"]) == [676, 678, 223761, 223762]
    assert sorted(items["resprate"]) == [615, 618, 220210, 224690]
    assert items["potassium"] == [50822]
    assert items["calcium"] == [50808]


def test_table_has_a_row_per_item() -> None:
    table = parse(MINIMAL, "x").table((CATALOGUE["spo2"], CATALOGUE["tempc"]), "chartevents")
    assert table.schema == dict(rules.RULE_COLUMNS)
    assert table.select("item", "variable", "unit_offset", "low", "high").rows() == [
        (1, 1, 32.0, 25.0, 45.0),
        (2, 1, 0.0, 25.0, 45.0),
        (3, 1, 0.0, 25.0, 45.0),
    ]
    assert parse(MINIMAL, "x").table((CATALOGUE["spo2"],), "chartevents").is_empty()
    assert parse(MINIMAL, "x").table((CATALOGUE["tempc"],), "labevents").is_empty()


def test_a_unit_may_be_larger_than_the_canonical_one() -> None:
    rule = parse(MINIMAL.replace("divisor = 1.8", "divisor = 0.25"), "x").rules[0]
    assert (rule.unit.offset, rule.unit.divisor) == (32.0, 0.25)


def test_a_variable_is_read_from_the_tables_of_its_rules() -> None:
    book = parse(MINIMAL, "x")
    assert book.tables_of("tempc") == ("chartevents",)
    assert book.tables_of("spo2") == ()


def test_a_range_may_be_a_single_value() -> None:
    rule = parse(MINIMAL.replace("from = 70, to = 120", "from = 70, to = 70"), "x").rules[0]
    assert rule.gate == rules.Span(low=70, high=70)


def test_digest_follows_the_rules_not_the_comments() -> None:
    assert parse(MINIMAL + "# a remark\n", "x").digest == parse(MINIMAL, "x").digest
    assert parse(MINIMAL.replace("70", "71"), "x").digest != parse(MINIMAL, "x").digest


@given(st.sampled_from(STUDY_VARIABLES), st.data())
def test_amounts_are_exact_to_half_a_millionth(variable, data) -> None:
    value = data.draw(st.floats(variable.low, variable.high))
    frame = pl.DataFrame({"value": [value], "low": [float(variable.low)], "high": [float(variable.high)]})
    amount = frame.select(rules.amount(pl.col("value"))).item()
    assert abs(amount - value * rules.AMOUNT_SCALE) <= 0.5 + 1e-6


@given(st.floats(allow_nan=False), st.sampled_from([678, 676, 211, 220277]))
def test_a_value_is_gated_converted_or_repaired_as_its_rule_says(value, item) -> None:
    table = mimic3_rules().table(STUDY_VARIABLES, "chartevents").filter(pl.col("item") == item)
    row = table.with_columns(value=pl.lit(value, pl.Float64)).select(
        gated=rules.is_gated(),
        converted=rules.is_converted(),
        repaired=rules.is_repaired(),
        canonical=rules.canonical(),
    )
    gated, converted, repaired, canonical = row.row(0)
    fahrenheit = (value - 32.0) / 1.8
    if item == 678:
        assert (gated, converted, repaired) == (not 70 <= value <= 120, True, False)
        assert canonical == fahrenheit
    elif item == 676:
        assert (gated, converted) == (not (10 <= value <= 50 or 70 <= value <= 120), False)
        assert repaired == (70 <= value <= 120)
        assert canonical == (fahrenheit if repaired else value)
    else:
        assert (gated, converted, repaired, canonical) == (False, False, False, value)


@pytest.mark.parametrize(
    ("value", "implausible", "millionths"),
    [
        *[(24.9999, True, 25_000_000), (25.0, False, 25_000_000), (36.6, False, 36_600_000)],
        *[(45.0, False, 45_000_000), (45.0001, True, 45_000_000), (36.0000006, False, 36_000_001)],
    ],
)
def test_the_ends_of_the_plausible_range_are_plausible(value: float, implausible: bool, millionths: int) -> None:
    frame = pl.DataFrame({"value": [value], "low": [25.0], "high": [45.0]})
    found = frame.select(rules.is_implausible(pl.col("value")), amount=rules.amount(pl.col("value")))
    assert found.row(0) == (implausible, millionths)


def test_item_ids_can_be_chosen() -> None:
    book = mimic3_rules().with_items({"potassium": [50822, 50971], "potassium_serum": [12345], "tempc": [678]})
    rows = book.table((CATALOGUE["potassium"], CATALOGUE["potassium_serum"]), "labevents")
    assert rows.select("item", "variable").rows() == [(12345, 1), (50822, 0), (50971, 0)]
    assert book.table((CATALOGUE["tempc"],), "chartevents").select("item", "unit_offset").rows() == [(678, 32.0)]
    assert book.digest != mimic3_rules().digest
    assert mimic3_rules().with_items({}) is mimic3_rules()
    assert set(book.variables) == set(mimic3_rules().variables)


@pytest.mark.parametrize(("unit", "converted"), [((0, 1), False), ((0, 2), True), ((3, 1), True), ((3, 2), True)])
def test_an_offset_or_a_divisor_alone_converts(unit: tuple[int, int], converted: bool) -> None:
    text = MINIMAL.replace("offset = 32, divisor = 1.8", f"offset = {unit[0]}, divisor = {unit[1]}")
    row = parse(text, "x").table((CATALOGUE["tempc"],), "chartevents")[:1].with_columns(value=pl.lit(98.0))
    assert row.select(rules.is_converted()).item() is converted


@pytest.mark.parametrize(("variable", "table"), [("heartrate", "chartevents"), ("potassium", "labevents")])
def test_an_item_that_no_rule_names_is_in_the_table_of_its_variable(variable: str, table: str) -> None:
    book = mimic3_rules().with_items({variable: [987654]})
    assert book.table((CATALOGUE[variable],), table)["item"].to_list() == [987654]


def test_a_book_has_so_many_items_and_no_more() -> None:
    def book(items: int) -> str:
        return MINIMAL.replace("ids = [2, 3]", f"ids = {list(range(2, items + 1))}")

    table = parse(book(rules.MOST_ITEMS), "x").table((CATALOGUE["tempc"],), "chartevents")
    assert table["item"].to_list() == list(range(1, rules.MOST_ITEMS + 1))
    with pytest.raises(SourceError, match="more than 1024 items"):
        parse(book(rules.MOST_ITEMS + 1), "x")


def test_an_item_id_has_31_bits() -> None:
    book = mimic3_rules().with_items({"potassium": [0, 2**31 - 1]})
    assert book.table((CATALOGUE["potassium"],), "labevents")["item"].to_list() == [0, 2**31 - 1]
    for item in (-1, 2**31, True, 1.0):
        with pytest.raises(ConfigError, match="Give a list of item ids"):
            mimic3_rules().with_items({"potassium": [item]})


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ({"potasium": [1]}, "Did you mean 'potassium'?"),
        ({"potassium": []}, "source.items.potassium = []"),
        ({"potassium": ["50822"]}, "Give a list of item ids"),
        ({"potassium": [50971, 50971]}, "names an item twice"),
        ({"potassium": list(range(1100))}, "more than 1024 items"),
    ],
)
def test_item_ids_that_cannot_be(items, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        mimic3_rules().with_items(items)
    assert words in str(caught.value)


def test_an_item_measures_one_of_the_variables_that_are_read() -> None:
    book = mimic3_rules().with_items({"potassium": [50822, 50971]})
    potassium, serum = CATALOGUE["potassium"], CATALOGUE["potassium_serum"]
    book.require_one_variable_an_item((potassium, CATALOGUE["sodium"]))
    with pytest.raises(ConfigError, match=r"Item 50971 measures .* and variables\.use names both"):
        book.require_one_variable_an_item((serum, potassium))


def test_ranges_can_be_chosen() -> None:
    options = VariableOptions(use=("spo2", "potassium"), ranges={"potassium": [2, 9.5]})
    assert [(variable.low, variable.high) for variable in options.chosen()] == [(20, 100), (2.0, 9.5)]
    for ranges in ({"potassium": [9, 2]}, {"potassium": [1]}, {"potassium": "x"}, {"kalium": [1, 2]}):
        with pytest.raises(ConfigError, match=r"potassium|kalium"):
            VariableOptions(ranges=ranges).chosen()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[units]", "[units", "not valid TOML"),
        ("[variables.tempc]", "[variable.tempc]", "unknown key variable. Did you mean 'variables'?"),
        ('"chartevents"', '"chartevent"', "variables.tempc.table = 'chartevent'"),
        ('unit = "fahrenheit"', 'unit = "farenheit"', "Did you mean 'fahrenheit'?"),
        ("divisor = 1.8", "divisor = 0", "units.fahrenheit.divisor = 0"),
        ("divisor = 1.8", 'divisor = "x"', "units.fahrenheit.divisor = 'x' is not a number"),
        ("from = 70, to = 120", "from = 120, to = 70", "Put the smaller number first"),
        ("from = 70, to = 120", "from = 70", "variables.tempc.items.gate.to = None"),
        ("from = 70, to = 120", "from = 70, too = 120", "unknown key variables.tempc.items.gate.too"),
        ("ids = [2, 3]", "ids = [2, 1]", "item 1 is named by tempc and tempc"),
        ("ids = [2, 3]", "ids = []", "variables.tempc.items.ids = []"),
        ("ids = [2, 3]", "items = [2]", "unknown key variables.tempc.items.items"),
    ],
)
def test_a_broken_book_is_refused(old: str, new: str, words: str) -> None:
    assert old in MINIMAL
    with pytest.raises(SourceError) as caught:
        parse(MINIMAL.replace(old, new), "book.toml")
    assert words in str(caught.value)
    assert str(caught.value).startswith("book.toml")
