"""Which column of a table is what: as stated, or guessed from its header and said."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from icudl.errors import ConfigError, SourceError, suggestion

STAY_ID: tuple[str, ...] = (
    "stay_id", "icustay_id", "icu_stay_id", "stay", "patientunitstayid", "encounter_id", "case_id", "visit_id",
    "record_id",
)  # fmt: skip

STAY_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "stay_id": STAY_ID,
    "patient_id": ("patient_id", "subject_id", "person_id", "patient", "subject", "person", "pid", "mrn"),
    "admission_id": ("admission_id", "hadm_id", "hospital_admission_id"),
    "age": ("age", "age_years", "admission_age", "age_at_admission", "anchor_age"),
    "sex": ("sex", "gender"),
    "died": (
        "died", "death", "dead", "deceased", "expired", "mortality", "hospital_death", "hospital_mortality",
        "in_hospital_death", "in_hospital_mortality", "hospital_expire_flag",
    ),
    "stay_hours": ("stay_hours", "los_hours", "icu_hours", "length_of_stay_hours", "hours"),
    "stay_days": ("stay_days", "los_days", "icu_days", "length_of_stay_days"),
    "in_time": ("in_time", "intime", "icu_intime", "icu_admission_time", "admission_time", "admit_time"),
    "out_time": ("out_time", "outtime", "icu_outtime", "icu_discharge_time", "discharge_time"),
    "death_time": ("death_time", "deathtime", "time_of_death"),
    "death_hours": ("death_hours", "death_hour", "hours_to_death"),
    "icu_type": ("icu_type", "first_careunit", "careunit", "unit_type"),
    "height_cm": ("height_cm", "height"),
    "weight_kg": ("weight_kg", "weight", "admission_weight"),
    # Only as stated: an "outcome" may be anything.
    "outcome": (),
    "source_set": ("source_set", "site", "center", "centre", "hospital", "hospital_id"),
}  # fmt: skip
"""What a table of stays may tell, and the headers by which each is known, the surest first."""

VALUE_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "stay_id": STAY_ID,
    "time": (
        "time", "charttime", "measurement_time", "observation_time", "timestamp", "datetime", "hours", "hour",
        "minutes", "minute", "offset",
    ),
    "name": ("name", "variable", "item", "parameter", "label", "analyte", "measurement", "test"),
    "value": ("value", "valuenum", "value_numeric", "numeric_value", "result"),
    "unit": ("unit", "units", "valueuom", "uom"),
}  # fmt: skip
"""What a table of measurements may tell, and the headers by which each is known, the surest first."""


def normal(text: str) -> str:
    """Return the letters and digits of a text in lower case: how headers and names are compared."""
    return re.sub(r"[\W_]+", "", text.casefold())


@dataclasses.dataclass(frozen=True)
class Columns:
    """The columns of a table.

    Attributes:
        headers: Header of each role that was found, as it is written.
        guessed: Roles whose header is neither stated nor the role's own name.
    """

    headers: Mapping[str, str]
    guessed: tuple[str, ...]

    def require(self, roles: Sequence[str], key: str, table: str, present: Sequence[str]) -> None:
        """Check that roles have a column.

        Raises:
            SourceError: One has none.
        """
        for role in roles:
            if role not in self.headers:
                raise SourceError(
                    f"{table} has no column that is known as {role}. Its columns: {', '.join(present)}. "
                    f'Name it: source.{key} = {{ {role} = "..." }}.'
                )


Stated = Mapping[str, tuple[str, ...]]
"""Headers of each role, as the configuration states them."""


def checked(key: str, stated: Mapping[str, Any], known: Mapping[str, Any], *, several: bool = False) -> Stated:
    """Return columns as the configuration states them.

    Args:
        key: Name of the option that states them, for messages.
        stated: A header for each role, or a list of them.
        known: The roles.
        several: Whether a role may have a list of headers.

    Raises:
        ConfigError: A role is unknown, or a header is no text.
    """
    headers: dict[str, tuple[str, ...]] = {}
    for role, header in stated.items():
        if role not in known:
            raise ConfigError(
                f"source.{key} names {role!r}.{suggestion(role, known)} Known: {', '.join(known)}. Write the role "
                f'first, then the header of your column: {{ {next(iter(known))} = "..." }}.'
            )
        given = header if several and isinstance(header, list | tuple) and header else [header]
        for one in given:
            if not isinstance(one, str) or not one.strip():
                raise ConfigError(f"source.{key}.{role} = {header!r}. Give the header of the column as text.")
        headers[role] = tuple(one.strip() for one in given)
    return headers


def found(
    present: Sequence[str],
    stated: Stated,
    known: Mapping[str, tuple[str, ...]],
    key: str,
    table: str,
    *,
    is_alone: bool = True,
) -> Columns:
    """Return the columns of a table.

    Args:
        present: Its headers.
        stated: Headers by role, from the configuration; of several headers a table has one.
        known: Headers by which a role is known, the surest first.
        key: Name of the option that states them, for messages.
        table: Name of the file, for messages.
        is_alone: Whether all stated columns must be of this table; else ``require_met`` looks at all tables.

    Raises:
        SourceError: A stated header does not exist, or two columns have the same name or the same role.
    """
    by_name: dict[str, str] = {}
    for header in present:
        if by_name.setdefault(header.casefold(), header) != header or list(present).count(header) > 1:
            raise SourceError(
                f"{table} has two columns {header!r}. Which of them is meant cannot be told: rename or remove one."
            )
    if is_alone:
        require_met(stated, {table: list(present)}, key)
    headers: dict[str, str] = {}
    for role, names in stated.items():
        met = [by_name[name.casefold()] for name in names if name.casefold() in by_name]
        if len(met) > 1:
            raise SourceError(
                f"{table} has the columns {' and '.join(map(repr, met))}, and source.{key}.{role} names both. Name one "
                "column of each table."
            )
        if met:
            headers[role] = met[0]
    free = {normal(header): header for header in reversed(present) if header not in headers.values()}
    guessed = []
    for role, names in known.items():
        guess = next((normal(name) for name in names if normal(name) in free), None)
        if role not in headers and guess is not None:
            headers[role] = free.pop(guess)
            if guess != normal(role):
                guessed.append(role)
    return Columns(headers, tuple(guessed))


def require_met(stated: Stated, tables: Mapping[str, list[str]], key: str) -> None:
    """Check that each stated header is in one of the tables.

    Args:
        stated: Headers by role, from the configuration.
        tables: Headers of each table.
        key: Name of the option that states them, for the message.

    Raises:
        SourceError: No table has one.
    """
    present = [header for headers in tables.values() for header in headers]
    folded = {header.casefold() for header in present}
    for role, names in stated.items():
        for name in names:
            if name.casefold() not in folded:
                have, its = ("has", "Its") if len(tables) == 1 else ("have", "Their")
                raise SourceError(
                    f"{' and '.join(tables)} {have} no column {name!r}, which source.{key}.{role} names."
                    f"{suggestion(name, present)} {its} columns: {'; '.join(map(', '.join, tables.values()))}."
                )
