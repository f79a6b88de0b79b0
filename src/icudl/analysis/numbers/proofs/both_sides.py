"""Numbers of attacks beside proofs: the fewest wrong values that flip a prediction, and what a sweep missed.

A search shows that so many values suffice, since its example was verified. A proof shows that fewer do not. Both speak
of the same stays, the same model and the same threat.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import polars as pl

from icudl.analysis.numbers.attacks.single_attacks import Share
from icudl.analysis.numbers.proofs.certificates import looked_at
from icudl.artifacts import AttackResult, AttackStatus, Certificates, CertificateStatus
from icudl.artifacts.attacks.certificates import WHOLE_RANGE

ATTACKED = (AttackStatus.SUCCESS.value, AttackStatus.FAILED.value)


@dataclasses.dataclass(frozen=True, order=True)
class Fewest:
    """Stays of which the same is known about the fewest wrong values that flip them.

    Attributes:
        at_least: Fewer do not flip the prediction, as is proven; 1 where nothing is.
        at_most: So many do, by a verified example; 0 where no example is known.
        stays: How many stays.
    """

    at_least: int
    at_most: int
    stays: int

    @property
    def text(self) -> str:
        """The range in words."""
        if not self.at_most:
            return f"at least {self.at_least}; no example known"
        return str(self.at_most) if self.at_least == self.at_most else f"{self.at_least} to {self.at_most}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class BothSides:
    """The fewest wrong values that flip a prediction, of the stays that were attacked and looked at by a proof.

    Attributes:
        stays: Number of stays.
        closed: Share of the stays whose number is known exactly, with a 95 % interval.
        exact: How many these are.
        ranges: Stays by what is known of them.
        contradicted: Stays of which a proof denies what an example shows: 0, or the proof or the search is wrong.
    """

    stays: int
    closed: Share
    exact: int
    ranges: tuple[Fewest, ...]
    contradicted: int


def comparable(proofs: Certificates, attack: AttackResult) -> bool:
    """Return whether an attack could change what the proofs are about, and nothing else."""
    alike = set(proofs.options["variables"]) == set(attack.options.get("variables", ()))
    return alike and attack.threat_model == proofs.threat_model


def both_sides(proofs: Certificates, attacks: Sequence[AttackResult]) -> BothSides | None:
    """Return the fewest wrong values from both sides; None where no attack of the same threat shares a stay.

    Args:
        proofs: About one model and data set.
        attacks: On the same model and data set.
    """
    found = fewest_of_stays(proofs, attacks)
    if not found.height:
        return None
    counted = found.group_by("at_least", "at_most").agg(stays=pl.len()).sort("at_least", "at_most")
    ranges = [Fewest(*line) for line in counted.iter_rows()]
    exact = sum(each.stays for each in ranges if each.at_least == each.at_most)
    return BothSides(
        stays=found.height,
        closed=Share.of(exact, found.height),
        exact=exact,
        # Stays without an example come last.
        ranges=tuple(sorted(ranges, key=lambda each: (not each.at_most, each))),
        contradicted=sum(each.stays for each in ranges if 0 < each.at_most < each.at_least),
    )


def fewest_of_stays(proofs: Certificates, attacks: Sequence[AttackResult]) -> pl.DataFrame:
    """Return what is known about each stay that was attacked and that a proof looked at.

    Returns:
        ``stay_id, at_least, at_most``, as ``Fewest`` has them, by stay.
    """
    examples = [_examples(attack) for attack in attacks if comparable(proofs, attack)]
    if not examples:
        return pl.DataFrame(schema={"stay_id": pl.Int64, "at_least": pl.Int32, "at_most": pl.Int32})
    best = pl.concat(examples).group_by("stay_id").agg(pl.col("changed").min())
    several = (
        proofs.nearby.filter(pl.col("proven"), pl.col("within") >= WHOLE_RANGE, pl.col("most") > 0)
        .group_by("stay_id")
        .agg(several=pl.col("most").max().cast(pl.Int32))
    )
    status = pl.col("status")
    flips = status == CertificateStatus.FLIPS.value
    one = pl.when(status == CertificateStatus.PROVEN.value).then(2).otherwise(1).cast(pl.Int32)
    return (
        looked_at(proofs)
        .join(best, on="stay_id", how="inner")
        .join(several, on="stay_id", how="left")
        .select(
            "stay_id",
            at_least=pl.max_horizontal(one, pl.col("several").fill_null(0) + 1),
            at_most=pl.when(flips).then(1).otherwise(pl.col("changed").fill_null(0)).cast(pl.Int32),
        )
        .sort("stay_id")
    )


def _examples(attack: AttackResult) -> pl.DataFrame:
    """Return ``stay_id, changed`` of the attacked stays: the fewest values changed, null where none flips it."""
    return attack.ask(
        "stays",
        lambda stays: stays.filter(pl.col("status").is_in(ATTACKED)).select(
            "stay_id", changed=pl.min_horizontal("first_l0", "best_l0")
        ),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Missed:
    """A sweep beside the proof about the same stays.

    Attributes:
        stays: Stays that were swept and that the proof looked at.
        swept: Share of them that a value tried by the sweep flips, with a 95 % interval.
        proved: Share of them that a value flips, by the proof.
        open_stays: Stays of which the proof could not tell.
        missed_stays: Stays that a value flips and the sweep does not.
        values: Values of these stays that flip them alone, by the proof.
        missed_values: How many of these the sweep took for harmless.
    """

    stays: int
    swept: Share
    proved: Share
    open_stays: int
    missed_stays: int
    values: int
    missed_values: int


def missed_by_sweep(proofs: Certificates, attack: AttackResult) -> Missed | None:
    """Return what a sweep missed; None for other attacks, other threats, or where the two share no stay."""
    # A flip beyond a distance kappa is another question.
    if "sweep_flips" not in attack.curves or attack.options.get("kappa") or not comparable(proofs, attack):
        return None
    swept = attack.curves["sweep"].select("stay_id", found=pl.col("at_risk") > 0)
    stays = looked_at(proofs).join(swept, on="stay_id", how="inner")
    if not stays.height:
        return None
    flips = pl.col("status") == CertificateStatus.FLIPS.value
    # What the sweep found is a flip, whether the proof came as far or not.
    exact = stays.filter(flips | pl.col("found"))
    key = ["stay_id", "hour", "variable"]
    values = proofs.values.filter(verdict=CertificateStatus.FLIPS.value).join(stays, on="stay_id", how="semi")
    known = attack.curves["sweep_flips"].select(pl.col(name).cast(values.schema[name]) for name in key)
    return Missed(
        stays=stays.height,
        swept=Share.of(stays.filter("found").height, stays.height),
        proved=Share.of(exact.height, stays.height),
        open_stays=stays.filter(pl.col("status") == CertificateStatus.UNDECIDED.value, ~pl.col("found")).height,
        missed_stays=stays.filter(flips, ~pl.col("found")).height,
        values=values.height,
        missed_values=values.join(known, on=key, how="anti").height,
    )
