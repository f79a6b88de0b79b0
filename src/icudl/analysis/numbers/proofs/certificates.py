"""Numbers of proofs: shares of stays and values that are proven, flip or are undecided, by class, variable and hour."""

from __future__ import annotations

import dataclasses

import polars as pl

from icudl.analysis.numbers.attacks.single_attacks import Share
from icudl.artifacts import Certificates, CertificateStatus
from icudl.artifacts.attacks.certificates import WHOLE_RANGE

PROVED = (CertificateStatus.PROVEN, CertificateStatus.FLIPS, CertificateStatus.UNDECIDED)
"""What a stay that was looked at, or one of its values, is found to be."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Proved:
    """The stays of one predicted class, or of both.

    Attributes:
        label: 0 for stays that the model says survive, 1 for deaths, None for both.
        stays: Stays looked at.
        counts: Stays by what is proved of them.
        shares: Their shares with 95 % intervals.
        values: Values of these stays that may be wrong.
        verdicts: Values by what is proved of them.
    """

    label: int | None
    stays: int
    counts: dict[CertificateStatus, int]
    shares: dict[CertificateStatus, Share]
    values: int
    verdicts: dict[CertificateStatus, int]


def looked_at(proofs: Certificates) -> pl.DataFrame:
    """Return the stays of which something was to be proved."""
    return proofs.stays.filter(pl.col("status").is_in([state.value for state in PROVED]))


def proved_by_class(proofs: Certificates) -> tuple[Proved, ...]:
    """Return what is proved of both classes together and of each; a class without stays is left out."""
    stays = looked_at(proofs)
    found = []
    for label in (None, 0, 1):
        group = stays if label is None else stays.filter(label=label)
        if not group.height:
            continue
        counts = {state: group.filter(status=state.value).height for state in PROVED}
        verdicts = dict(
            zip(PROVED, (int(group[name].sum()) for name in ("proven", "flippable", "undecided")), strict=True)
        )
        found.append(
            Proved(
                label=label,
                stays=group.height,
                counts=counts,
                shares={state: Share.of(number, group.height) for state, number in counts.items()},
                values=int(group["values"].sum()),
                verdicts=verdicts,
            )
        )
    return tuple(found)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Near:
    """Stays proven against small errors of several values.

    Attributes:
        most: Values that may be wrong at once; 0 for all.
        within: By which share of the range between the winsor limits.
        stays: Stays looked at.
        proven: Their share that is proven, with a 95 % interval; of the others nothing is known.
    """

    most: int
    within: float
    stays: int
    proven: Share

    @property
    def threat(self) -> str:
        """What may be wrong, in words."""
        values = {0: "all values", 1: "any one value"}.get(self.most, f"any {self.most} values")
        where = "anywhere" if self.within >= WHOLE_RANGE else f"within {100 * self.within:g} %"
        return f"{values} {where}"


def proved_nearby(proofs: Certificates) -> tuple[Near, ...]:
    """Return what is proved against small errors, by threat; nothing where it was not asked for."""
    table = proofs.nearby.group_by("most", "within").agg(pl.len().alias("stays"), pl.col("proven").sum())
    return tuple(
        Near(most=most, within=within, stays=stays, proven=Share.of(proven, stays))
        for most, within, stays, proven in table.sort(pl.col("most") == 0, "most", "within").iter_rows()
    )


def flips_of(proofs: Certificates, stay_id: int) -> pl.DataFrame:
    """Return the values that could flip one stay, and from where to where.

    Returns:
        ``hour, variable, label, unit, entry_low, entry_high`` (in the variable's unit), by hour and variable.
    """
    variables = proofs.variables
    own = proofs.flips.filter(stay_id=stay_id).sort("hour", "variable", "entry_low")
    return own.select(
        "hour",
        "variable",
        pl.Series("label", [variables[place].label for place in own["variable"]], dtype=pl.String),
        pl.Series("unit", [variables[place].unit for place in own["variable"]], dtype=pl.String),
        "entry_low",
        "entry_high",
    )


def proved_by(proofs: Certificates, column: str) -> pl.DataFrame:
    """Return, by ``"variable"`` or ``"hour"``: values, and how many of them are proven, flip or are undecided.

    Returns:
        ``column, values, proven, flips, undecided, stays`` (stays that such a value can flip), by rising ``column``.
    """
    verdict = pl.col("verdict")
    return (
        proofs.values.group_by(column)
        .agg(
            pl.len().cast(pl.Int64).alias("values"),
            *((verdict == state.value).sum().cast(pl.Int64).alias(state.value) for state in PROVED),
            pl.col("stay_id").filter(verdict == CertificateStatus.FLIPS.value).n_unique().cast(pl.Int64).alias("stays"),
        )
        .sort(column)
    )
