"""The outcome of a shard: the status of its stays, and the examples that an independent forward pass confirms."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy
import torch
from torch import Tensor

from icudl.artifacts import AttackStatus
from icudl.attacks.base import Perturbation, make_attack
from icudl.attacks.options import AttackOptions
from icudl.attacks.target.verification import CheckedTarget, Model, Scores, Verified, score, verify
from icudl.files import write_atomically

STATUSES = tuple(AttackStatus)
"""Order of the status codes in ``StayColumns``."""

Column = npt.NDArray[Any]
Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Columns:
    """Arrays of equal length, one for each field."""

    def arrays(self) -> dict[str, Column]:
        """Return the arrays by name, in the order of the fields."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def where(self, chosen: npt.NDArray[np.bool_]) -> Self:
        """Return the entries that are ``chosen``."""
        return type(self)(**{name: array[chosen] for name, array in self.arrays().items()})

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the entries of all parts, one part after the other."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class StayColumns(Columns):
    """One entry for each of B stays; NaN, and -1 in iterations, where a stay has no example.

    Attributes:
        row: (B,) position of the stay in its data set.
        status: (B,) int8 index into ``STATUSES``.
        probability_before: (B,) risk of the unchanged stay.
        first_probability: (B,) risk after the change of the first example.
        first_l0: (B,) changed cells.
        first_l1: (B,) distance in unit coordinates, as are the next two.
        first_l2: (B,).
        first_linf: (B,).
        first_iteration: (B,) iteration of discovery.
        best_probability: (B,) risk after the change of the best example; the fields below are those of this example.
        best_l0: (B,).
        best_l1: (B,).
        best_l2: (B,).
        best_linf: (B,).
        best_iteration: (B,).
    """

    row: Int64s
    status: npt.NDArray[np.int8]
    probability_before: Float64s
    first_probability: Float64s
    first_l0: Float64s
    first_l1: Float64s
    first_l2: Float64s
    first_linf: Float64s
    first_iteration: Int64s
    best_probability: Float64s
    best_l0: Float64s
    best_l1: Float64s
    best_l2: Float64s
    best_linf: Float64s
    best_iteration: Int64s


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class CellColumns(Columns):
    """One entry for each changed cell of an example.

    Attributes:
        row: (n,) position of the stay in its data set.
        example: (n,) 0 for the first example, 1 for the best.
        hour: (n,).
        variable: (n,) position among the variables.
        before: (n,) unit coordinate of the unchanged cell.
        change: (n,) in unit coordinates.
        before_clinical: (n,) value of the unchanged cell in its own unit.
        after_clinical: (n,) changed value.
    """

    row: Int64s
    example: npt.NDArray[np.int8]
    hour: npt.NDArray[np.int16]
    variable: npt.NDArray[np.uint8]
    before: npt.NDArray[np.float32]
    change: npt.NDArray[np.float32]
    before_clinical: npt.NDArray[np.float32]
    after_clinical: npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, eq=False)
class FurtherTable:
    """A further table that an attack adds to its examples.

    Attributes:
        row: (n,) position of each entry's stay in its data set.
        columns: (n,) arrays by the names that the attack gave them.
    """

    row: Int64s
    columns: Mapping[str, Column]

    def where(self, chosen: npt.NDArray[np.bool_]) -> FurtherTable:
        """Return the entries that are ``chosen``."""
        return FurtherTable(self.row[chosen], {name: array[chosen] for name, array in self.columns.items()})

    @classmethod
    def joined(cls, parts: Sequence[FurtherTable]) -> FurtherTable:
        """Return the entries of all parts; the columns stand in the order in which they first come up."""
        names = dict.fromkeys(name for part in parts for name in part.columns)
        columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in names}
        return cls(np.concatenate([part.row for part in parts]), columns)


@dataclasses.dataclass(frozen=True, eq=False)
class ShardOutcome:
    """The outcome of a shard.

    Attributes:
        stays: One entry for each stay.
        cells: One entry for each changed cell.
        tables: Further tables of the attack by name.
    """

    stays: StayColumns
    cells: CellColumns
    tables: Mapping[str, FurtherTable]

    @classmethod
    def joined(cls, parts: Sequence[ShardOutcome]) -> ShardOutcome:
        """Return the entries of all shards together."""
        names = dict.fromkeys(name for part in parts for name in part.tables)
        return cls(
            stays=StayColumns.joined([part.stays for part in parts]),
            cells=CellColumns.joined([part.cells for part in parts]),
            tables={
                name: FurtherTable.joined([part.tables[name] for part in parts if name in part.tables])
                for name in names
            },
        )

    def of_stays(self, rows: Int64s) -> ShardOutcome:
        """Return the entries that belong to the stays at ``rows``."""
        return ShardOutcome(
            stays=self.stays.where(np.isin(self.stays.row, rows)),
            cells=self.cells.where(np.isin(self.cells.row, rows)),
            tables={name: table.where(np.isin(table.row, rows)) for name, table in self.tables.items()},
        )

    def with_risks(self, risk_of: Callable[[Float64s], Float64s]) -> ShardOutcome:
        """Return the outcome with ``risk_of`` applied to the risks of all stays, before and after their changes."""
        stays = self.stays
        return dataclasses.replace(
            self,
            stays=dataclasses.replace(
                stays,
                probability_before=risk_of(stays.probability_before),
                first_probability=risk_of(stays.first_probability),
                best_probability=risk_of(stays.best_probability),
            ),
        )

    def write(self, path: Path) -> None:
        """Write the outcome to a file; the file appears whole or not at all."""
        arrays = {f"stays.{name}": array for name, array in self.stays.arrays().items()}
        arrays |= {f"cells.{name}": array for name, array in self.cells.arrays().items()}
        for number, table in enumerate(self.tables.values()):
            arrays[f"row.{number}"] = table.row
            arrays |= {f"table.{number}.{place}": array for place, array in enumerate(table.columns.values())}
        # A column cut out of a matrix would be written in the order of memory, not in that of the array.
        whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        # The format sorts its arrays, so the order of tables and columns is kept beside them.
        names = {"tables": json.dumps([[name, list(table.columns)] for name, table in self.tables.items()])}
        write_atomically(path, lambda partial: safetensors.numpy.save_file(whole, partial, metadata=names))

    @classmethod
    def read(cls, path: Path) -> ShardOutcome:
        """Read the file of ``write``."""
        with safetensors.safe_open(path, framework="numpy") as file:
            names: list[tuple[str, list[str]]] = json.loads(file.metadata()["tables"])
            stays, cells = (
                {field.name: file.get_tensor(f"{kind}.{field.name}") for field in dataclasses.fields(columns)}
                for kind, columns in (("stays", StayColumns), ("cells", CellColumns))
            )
            tables = {
                name: FurtherTable(
                    file.get_tensor(f"row.{number}"),
                    {column: file.get_tensor(f"table.{number}.{place}") for place, column in enumerate(columns)},
                )
                for number, (name, columns) in enumerate(names)
            }
        return cls(StayColumns(**stays), CellColumns(**cells), tables)


def attack_stays(
    model: Model,
    target: CheckedTarget,
    labels: npt.NDArray[np.int8],
    seeds: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
    options: AttackOptions,
) -> ShardOutcome:
    """Attack B stays and verify the examples.

    Args:
        model: The model that ``target`` is bound to.
        target: B stays, bound with the confidence ``options.kappa``.
        labels: (B,) outcomes of the stays.
        seeds: (B,) one seed for each stay.
        rows: (B,) positions of the stays in their data set, which tell them apart in the result.
        options: Of the attack.
    """
    before = score(model, target, target.values)
    status = _status_before(before, labels, target, attack_all=options.attack_misclassified)
    attacked = np.flatnonzero(status == STATUSES.index(AttackStatus.FAILED))
    positions = torch.from_numpy(attacked).to(target.values.device)
    chosen = target.select(positions)
    if len(attacked):
        found = make_attack(options)(chosen, seeds[attacked].tolist())
    else:
        found = Perturbation.nothing(chosen.values)
    first, best = verify(model, chosen, found, options.kappa)
    status[attacked[best.holds]] = STATUSES.index(AttackStatus.SUCCESS)
    stays = StayColumns(
        row=rows,
        status=status,
        probability_before=before.probability,
        **_per_stay("first", first, attacked, len(rows)),
        **_per_stay("best", best, attacked, len(rows)),
    )
    tables = {name: _further_table(table, rows[attacked]) for name, table in found.tables.items()}
    return ShardOutcome(stays, _per_cell((first, best), chosen, rows[attacked]), tables)


def _status_before(
    before: Scores, labels: npt.NDArray[np.int8], target: CheckedTarget, *, attack_all: bool
) -> npt.NDArray[np.int8]:
    """Return (B,) codes: why a stay is not attacked, or FAILED until an example is found."""
    says_death = before.says_death.cpu().numpy()
    invalid = ~torch.isfinite(before.difference).cpu().numpy()
    movable = (target.attackable & (target.lower < target.upper)).flatten(1).any(dim=1).cpu().numpy()
    wrong = (says_death != (labels == 1)) & (not attack_all)
    return np.select(
        [invalid, wrong, ~movable],
        [
            STATUSES.index(AttackStatus.INVALID_OUTPUT),
            STATUSES.index(AttackStatus.MISCLASSIFIED),
            STATUSES.index(AttackStatus.NOTHING_TO_CHANGE),
        ],
        STATUSES.index(AttackStatus.FAILED),
    ).astype(np.int8)


def _per_stay(name: str, example: Verified, attacked: Int64s, n_stays: int) -> dict[str, Any]:
    """Spread the results of the attacked stays over the shard; NaN and -1 where a stay has no example."""
    columns: dict[str, Float64s] = {"probability": example.probability, **example.distances()}
    fields: dict[str, Any] = {}
    for column, values in columns.items():
        spread = np.full(n_stays, np.nan)
        spread[attacked] = np.where(example.holds, values, np.nan)
        fields[f"{name}_{column}"] = spread
    iteration = np.full(n_stays, -1, np.int64)
    iteration[attacked] = example.iteration
    return fields | {f"{name}_iteration": iteration}


def _per_cell(examples: tuple[Verified, Verified], target: CheckedTarget, rows: Int64s) -> CellColumns:
    """Return the changed cells of the first and best examples, with their values in clinical units."""
    unit, known = target.values.cpu().numpy(), target.charted()
    parts: list[CellColumns] = []
    for code, example in enumerate(examples):
        change = example.change.cpu().numpy()
        cell = stay, hour, variable = np.nonzero(change)
        parts.append(
            CellColumns(
                row=rows[stay],
                example=np.full(len(stay), code, np.int8),
                hour=hour.astype(np.int16),
                variable=variable.astype(np.uint8),
                before=unit[cell],
                change=change[cell],
                before_clinical=known[cell].astype(np.float32),
                after_clinical=target.clinical(target.values + example.change)[cell].astype(np.float32),
            )
        )
    return CellColumns.joined(parts)


def _further_table(table: Mapping[str, Tensor], rows: Int64s) -> FurtherTable:
    columns = {name: column.cpu().numpy() for name, column in table.items()}
    return FurtherTable(rows[columns.pop("stay")], columns)
