"""Section of the page: which predictions no single wrong value can flip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from icudl.analysis.numbers.attacks.groups import SMALLEST_GROUP
from icudl.analysis.numbers.proofs.both_sides import both_sides
from icudl.analysis.numbers.proofs.certificates import PROVED, Proved, proved_by, proved_by_class, proved_nearby
from icudl.analysis.numbers.proofs.one_wrong import reversed_by_one
from icudl.artifacts import AttackResult, Certificates, CertificateStatus
from icudl.report.charts.descriptions import Axis, Line, Lines
from icudl.report.elements import Block, Entry, Figure, Note, Section, Table
from icudl.report.study import CertificateResults
from icudl.report.wording import columns, count, numeric, percent, rounded, row

CLASSES = {None: "Both", 0: "Survival", 1: "Death"}


def certificates_section(results: CertificateResults, attacks: Sequence[AttackResult] = ()) -> Section:
    """Tell what is proved about one model and one data set.

    Args:
        results: The proofs.
        attacks: On the same model and data set.
    """
    proofs = results.result
    what = "charted value" if proofs.threat_model == "measured" else "cell of the filled-in record"
    groups = proved_by_class(proofs)
    lead = [
        (
            f"Can any plausible number in the place of one {what} flip the prediction? For each {what} of a stay the "
            "whole range of numbers is decided, not sampled: proven means that no number flips the prediction, "
            "whatever it is; flips means that some do, and at least one of them was checked by an independent pass "
            "through the model."
        ),
    ]
    blocks: list[Block] = []
    if not groups:
        blocks.append(Note("No stay was looked at: the model gets all of them wrong, or none was asked for."))
    else:
        lead.append(_sentence(groups[0], what))
        blocks += [
            _classes(groups),
            *_fewest(proofs, attacks),
            *_nearby(proofs),
            *_reversed(proofs),
            _variables(proofs),
            *_hours(proofs),
        ]
    return Section("proofs", "What one wrong value cannot do", "Proofs", tuple(lead), tuple(blocks)).based_on(
        _basis(groups)
    )


def _basis(groups: tuple[Proved, ...]) -> str:
    return count(groups[0].stays, "stay") + " looked at" if groups else ""


def _sentence(whole: Proved, what: str) -> str:
    proven, flips, undecided = (whole.counts[state] for state in PROVED)
    told = whole.stays >= SMALLEST_GROUP

    def numbered(stays: int) -> str:
        return f"{stays:,} ({percent(stays / whole.stays)})" if told else f"{stays:,}"

    text = (
        f"Of {count(whole.stays, 'stay')}, {numbered(proven)} are proven against any one wrong {what}, and "
        f"{numbered(flips)} can be flipped by one."
    )
    few = "" if told else f" Fewer than {SMALLEST_GROUP} stays say nothing about others."
    return f"{text} {f'{numbered(undecided)} are' if undecided else 'None is'} undecided.{few}"


def _share(proved: Proved, state: CertificateStatus) -> Entry:
    if proved.stays < SMALLEST_GROUP:
        return Entry(f"{proved.counts[state]:,} of {proved.stays:,}", float(proved.counts[state]))
    share = proved.shares[state]
    return Entry(f"{percent(share.value)} ({percent(share.low)} to {percent(share.high)})", share.value)


def _classes(groups: tuple[Proved, ...]) -> Table:
    rows = tuple(
        row(
            CLASSES[each.label],
            each.stays,
            *(_share(each, state) for state in PROVED),
            each.values,
            *(each.verdicts[state] for state in PROVED),
        )
        for each in groups
    )
    return Table(
        "proofs-by-class",
        "Stays and values by prediction",
        columns(
            "Prediction",
            numeric("Stays"),
            numeric("Proven (95 %)"),
            numeric("Can be flipped (95 %)"),
            numeric("Undecided (95 %)"),
            numeric("Values"),
            numeric("Proven"),
            numeric("That flip"),
            numeric("Undecided"),
        ),
        rows,
        "A stay is proven if every one of its values is, and can be flipped if one of its values can.",
    )


def _fewest(proofs: Certificates, attacks: Sequence[AttackResult]) -> list[Block]:
    found = both_sides(proofs, attacks)
    if found is None:
        return []
    exact = f"{found.exact:,} of {count(found.stays, 'stay')}"
    if found.stays >= SMALLEST_GROUP:
        exact += f" ({percent(found.closed.value)}; {percent(found.closed.low)} to {percent(found.closed.high)})"
    table = Table(
        "proofs-fewest",
        "Fewest wrong values that flip a prediction, from both sides",
        columns("Wrong values", numeric("Stays"), numeric("Share")),
        tuple(
            row(each.text, each.stays, Entry(percent(each.stays / found.stays), each.stays / found.stays))
            for each in found.ranges
        ),
        "At least so many, as is proven; at most so many, since an attack found an example that was verified. Counted "
        f"are stays that an attack of the same threat tried and the proof looked at. The number is known for {exact}.",
    )
    if not found.contradicted:
        return [table]
    return [
        Note(
            f"Proof and attack contradict each other for {count(found.contradicted, 'stay')}: an example flips what is "
            "called proven. Trust neither, run icudl verify on both, and report it."
        ),
        table,
    ]


def _reversed(proofs: Certificates) -> list[Table]:
    """Return the verdicts that one wrong value reverses; nothing on a handful of stays."""
    found = reversed_by_one(proofs)
    if found is None or found.stays < SMALLEST_GROUP:
        return []
    span = f"{found.least:.1f}" if found.most - found.least < EQUAL else f"{found.least:.1f} to {found.most:.1f}"
    return [
        Table(
            "proofs-verdicts",
            "Verdicts reversed, of 1,000 stays with one wrong value each",
            columns("The wrong number is", numeric("Verdicts reversed (95 %)")),
            (
                row("anywhere in its range", Entry(f"{span} ({found.low:.1f} to {found.high:.1f})", found.most)),
                row("the worst one: at most", Entry(f"{found.worst:.1f} (up to {found.worst_high:.1f})", found.worst)),
            ),
            f"Of {count(found.stays, 'stay')} looked at; any value of a stay is the wrong one alike. From where to "
            "where it flips the prediction is proved, so nothing is sampled: the first figure takes every number of "
            "the range as equally likely, and no kind of error reverses more than the second. What is undecided widens "
            "the first figure and counts in the second.",
        )
    ]


EQUAL = 0.05
"""Verdicts per 1,000 stays by which two bounds differ at most to be shown as one."""


def _nearby(proofs: Certificates) -> list[Table]:
    rows = tuple(
        row(
            each.threat,
            each.stays,
            Entry(
                f"{percent(each.proven.value)} ({percent(each.proven.low)} to {percent(each.proven.high)})",
                each.proven.value,
            ),
        )
        for each in proved_nearby(proofs)
    )
    if not rows:
        return []
    return [
        Table(
            "proofs-nearby",
            "Errors of several values",
            columns("Wrong at once", numeric("Stays"), numeric("Proven (95 %)")),
            rows,
            "Shares of the range between the winsor limits; anywhere: in its whole range. Of a stay that is not proven "
            "nothing is known.",
        )
    ]


def _variables(proofs: Certificates) -> Table:
    rows = []
    for line in proved_by(proofs, "variable").iter_rows(named=True):
        variable = proofs.variables[line["variable"]]
        share = line["flips"] / line["values"]
        rows.append(
            row(
                variable.label,
                line["values"],
                line["proven"],
                line["flips"],
                line["undecided"],
                Entry(percent(share), share),
                line["stays"],
            )
        )
    return Table(
        "proofs-by-variable",
        "Values by variable",
        columns(
            "Variable",
            numeric("Values"),
            numeric("Proven"),
            numeric("That flip"),
            numeric("Undecided"),
            numeric("Share that flips"),
            numeric("Stays flipped"),
        ),
        tuple(rows),
        "Values that flip a prediction alone, and how many stays have such a value of the variable.",
        filtered=True,
    )


def _hours(proofs: Certificates) -> Iterator[Figure]:
    hours = proved_by(proofs, "hour")
    if (hours["proven"] == hours["values"]).all():
        return  # a line at nothing says no more than the sentence above
    series = tuple(
        Line(name=name, x=hours["hour"].to_list(), y=rounded(hours[state.value] / hours["values"]), dash=place)
        for place, (state, name) in enumerate(
            ((CertificateStatus.FLIPS, "That flip"), (CertificateStatus.UNDECIDED, "Undecided"))
        )
    )
    yield Figure(
        "proofs-by-hour",
        "Values that flip, by hour",
        "Share of the values of each hour that can flip the prediction alone, and of those that are undecided. The "
        "others are proven.",
        Lines(x=Axis(label="Hour since ICU admission"), y=Axis(label="Values", percent=True, min=0), series=series),
        size="full",
    )
