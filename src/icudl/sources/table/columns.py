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


def checked(key: str, stated: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, str]:
    """Return columns as the configuration states them.

    Raises:
        ConfigError: A role is unknown, or a header is no text.
    """
    for role, header in stated.items():
        if role not in known:
            raise ConfigError(
                f"source.{key} names {role!r}.{suggestion(role, known)} Known: {', '.join(known)}. Write the role "
                f'first, then the header of your column: {{ {next(iter(known))} = "..." }}.'
            )
        if not isinstance(header, str) or not header.strip():
            raise ConfigError(f"source.{key}.{role} = {header!r}. Give the header of the column as text.")
    return {role: header.strip() for role, header in stated.items()}


def found(
    present: Sequence[str], stated: Mapping[str, str], known: Mapping[str, tuple[str, ...]], key: str, table: str
) -> Columns:
    """Return the columns of a table.

    Args:
        present: Its headers.
        stated: Headers by role, from the configuration.
        known: Headers by which a role is known, the surest first.
        key: Name of the option that states them, for messages.
        table: Name of the file, for messages.

    Raises:
        SourceError: A stated header does not exist, or two columns have the same name.
    """
    by_name: dict[str, str] = {}
    for header in present:
        if by_name.setdefault(header.casefold(), header) != header or list(present).count(header) > 1:
            raise SourceError(
                f"{table} has two columns {header!r}. Which of them is meant cannot be told: rename or remove one."
            )
    headers: dict[str, str] = {}
    for role, header in stated.items():
        if header.casefold() not in by_name:
            raise SourceError(
                f"{table} has no column {header!r}, which source.{key}.{role} names."
                f"{suggestion(header, present)} Its columns: {', '.join(present)}."
            )
        headers[role] = by_name[header.casefold()]
    free = {normal(header): header for header in reversed(present) if header not in headers.values()}
    guessed = []
    for role, names in known.items():
        guess = next((normal(name) for name in names if normal(name) in free), None)
        if role not in headers and guess is not None:
            headers[role] = free.pop(guess)
            if guess != normal(role):
                guessed.append(role)
    return Columns(headers, tuple(guessed))
