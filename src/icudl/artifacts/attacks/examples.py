"""The adversarial examples of an attack."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import polars as pl

from icudl.artifacts.base import Schema, check_schema
from icudl.artifacts.files.codecs import read_json, table_file, variables_from_json, variables_to_json, write_json
from icudl.artifacts.files.stored import Question, Table, TableFiles, answer, write_table
from icudl.variables import Variable

ATTACKED_SCHEMA: Schema = {
    "stay_id": pl.Int64,
    "label": pl.Int8,  # 1 for death
    "member": pl.String,  # text of the Member that was attacked: one that was not fitted on the stay
    "split": pl.String,  # "out-of-fold" or "test"
    "length": pl.Int16,  # hours of the sequence
    "status": pl.String,  # an AttackStatus value
    "probability_before": pl.Float64,  # of death, for the unchanged stay
    "first_iteration": pl.Int32,  # that found the first example; null where none was found
    "best_iteration": pl.Int32,  # that found the best example
    "first_probability": pl.Float64,  # of death, by the verification's own forward pass
    "best_probability": pl.Float64,
    "first_l0": pl.Int32,  # changed cells
    "first_l1": pl.Float64,  # unit coordinates, as all distances
    "first_l2": pl.Float64,
    "first_linf": pl.Float64,
    "best_l0": pl.Int32,
    "best_l1": pl.Float64,
    "best_l2": pl.Float64,
    "best_linf": pl.Float64,
}
PERTURBATIONS_SCHEMA: Schema = {
    "stay_id": pl.Int64,
    "example": pl.String,  # "first" or "best"
    "hour": pl.Int16,
    "variable": pl.UInt8,  # index into the variables of the same artifact
    "before": pl.Float32,  # unit coordinates: 0 and 1 are the winsor limits of the variable
    "change": pl.Float32,  # unit coordinates, never 0
    "before_clinical": pl.Float32,  # in the variable's unit
    "after_clinical": pl.Float32,
}


class AttackStatus(enum.StrEnum):
    """The outcome of an attack on one stay."""

    SUCCESS = "success"
    FAILED = "failed"  # attacked, never flipped
    MISCLASSIFIED = "misclassified"  # not attacked: the model is wrong already
    NOTHING_TO_CHANGE = "nothing_to_change"  # no cell of the stay may be attacked
    INVALID_OUTPUT = "invalid_output"  # the model gave NaN for the unchanged stay


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class AttackResult:
    """The adversarial examples that an attack found, verified again by an independent forward pass.

    A result that was read leaves its tables in their files until they are asked for.

    Attributes:
        stays: One row per stay considered (``ATTACKED_SCHEMA``).
        perturbations: One row per changed cell of each example (``PERTURBATIONS_SCHEMA``).
        curves: Further tables by name (budget curves, sweep, entry errors, noise); empty for most attacks.
        variables: F variables.
        n_hours: Length T of the window.
        threat_model: Name of the threat model.
        options: Options that the attack used.
    """

    stays: Table = Table()  # noqa: RUF009 - a descriptor
    perturbations: Table = Table()  # noqa: RUF009
    curves: Mapping[str, pl.DataFrame]
    variables: tuple[Variable, ...]
    n_hours: int
    threat_model: str
    options: Mapping[str, Any]

    def ask(self, name: str, question: Question) -> pl.DataFrame:
        """Put a question to ``"stays"`` or ``"perturbations"`` without reading the whole table.

        Raises:
            StoreError: The file of the table cannot be read.
        """
        return answer(vars(self)[name], question)

    def write(self, folder: Path) -> None:
        """Write the tables as Parquet and the rest as JSON."""
        for name, schema in (("stays", ATTACKED_SCHEMA), ("perturbations", PERTURBATIONS_SCHEMA)):
            table = vars(self)[name]
            if isinstance(table, pl.DataFrame):
                table = check_schema(name, table, schema)
            write_table(folder / f"{name}.parquet", table)
        curves = self.curves.files if isinstance(self.curves, TableFiles) else self.curves
        for name, curve in curves.items():
            write_table(folder / f"curve-{name}.parquet", curve)
        meta = {
            "variables": variables_to_json(self.variables),
            "n_hours": self.n_hours,
            "threat_model": self.threat_model,
            "options": dict(self.options),
            "curves": sorted(self.curves),
        }
        write_json(folder / "attack.json", meta)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the files of ``write``; the tables stay in their files."""
        meta = read_json(folder / "attack.json")
        return cls(
            stays=table_file(folder / "stays.parquet", ATTACKED_SCHEMA),
            perturbations=table_file(folder / "perturbations.parquet", PERTURBATIONS_SCHEMA),
            curves=TableFiles({name: table_file(folder / f"curve-{name}.parquet") for name in meta["curves"]}),
            variables=variables_from_json(meta["variables"]),
            n_hours=meta["n_hours"],
            threat_model=meta["threat_model"],
            options=meta["options"],
        )
