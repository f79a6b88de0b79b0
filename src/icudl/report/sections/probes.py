"""Sections of the page: does risk follow derangements, and how many verdicts do errors of entry reverse?"""

from __future__ import annotations

from icudl.analysis.numbers.attacks.verdicts import Reversed, Slipped, reversed_verdicts, slips_by_kind
from icudl.analysis.numbers.models.responsiveness import FEWEST_STAYS, RISE, Response, Responsiveness, responsiveness
from icudl.probes.derangements import COURSES
from icudl.report.charts.descriptions import Axis, Dot, Dots, Line, Lines, Variants
from icudl.report.elements import Block, Entry, Figure, Listing, Note, Section, Switch, Table
from icudl.report.study import ProbeResults
from icudl.report.wording import columns, count, decimals, interval, number, numeric, percent, rounded, row

MOST_CURVES = 6
"""Curves of the figure of levels: the derangements that the model follows least."""

KIND_NAMES = {
    "transposition": "Digits change places",
    "decimal": "Decimal point off by one",
    "unit": "Another unit",
    "neighbour": "Value of the field beside",
    "sign": "Sign lost",
    "copy_forward": "Last value entered again",
}
LEVEL_NAMES = {"low": "Lower end", "usual": "Usual rate", "high": "Upper end"}
COURSE_SWITCH = Switch("course", "Course", (("held", "All of the last hours"), ("worsening", "Worsening")))


def responsiveness_section(results: ProbeResults) -> Section:
    """Tell whether the risk of real stays follows derangements."""
    probes = results.result
    followed, hours = responsiveness(probes), int(probes.options["hours"])
    lead = [
        (
            "A model that never changes its mind is perfectly robust, and useless. Here single variables, and pairs of "
            f"them, are taken from a normal value to a dangerous one in the charted values of the last {hours} hours "
            "of stays that the model was not fitted on. Nothing is charted where nothing was. Does the risk rise?"
        )
    ]
    blocks: list[Block] = []
    if not followed.of("held"):
        blocks.append(Note(f"No derangement concerns {FEWEST_STAYS} stays or more, so nothing can be said."))
    else:
        lead.append(_verdict(followed))
        blocks += [_dots(followed), _levels(followed)]
    if followed.responses:
        blocks += [_table(followed), _sources(followed)]
    if followed.untested:
        blocks.append(Note(f"No derangement is known of: {', '.join(followed.untested)}."))
    basis = f"{count(probes.stays.height, 'stay')} probed"
    return Section(
        "responsiveness", "Does risk follow a patient who gets worse?", "Responsiveness", tuple(lead), tuple(blocks)
    ).based_on(basis)


def _verdict(followed: Responsiveness) -> str:
    counted, blind = followed.of("held"), followed.blind_spots()
    text = (
        f"In {len(counted) - len(blind)} of {count(len(counted), 'derangement')}, at least half of the stays respond "
        f"with a rise of {percent(RISE)} or more."
    )
    if blind:
        spots = "; ".join(f"{each.derangement.label} ({percent(each.responds.value)})" for each in blind[:6])
        text += f" The model is blindest to: {spots}."
    missed = followed.missed()
    if missed is not None:
        text += (
            f" Of deranged records of stays called survivors, {percent(missed)} are still called so. (Pias et al. 2025 "
            "found that models of their day missed 66 % of severe injuries, in cases and with thresholds of their own.)"
        )
    return text


def _dots(followed: Responsiveness) -> Figure:
    charts: Variants = {course: _rises(followed.of(course)) for course in COURSES}
    return Figure(
        "responses",
        "Rise of risk by derangement",
        "Mean change of the predicted risk when the variable goes from its normal value to the deranged one, with the "
        "95 % interval over patients. On the left of the dashed line the model contradicts medicine. Held: all charted "
        "values of the last hours are deranged; worsening: they get there in a straight line.",
        charts,
        (COURSE_SWITCH,),
        size="full",
    )


def _rises(responses: tuple[Response, ...]) -> Dots:
    ordered = sorted(responses, key=lambda each: -each.rise)
    return Dots(
        x=Axis(label="Mean change of risk", percent=True, reference=0.0),
        rows=tuple(each.derangement.label for each in ordered),
        series=(
            Dot(
                name="Rise",
                x=rounded([each.rise for each in ordered]),
                low=rounded([each.low for each in ordered]),
                high=rounded([each.high for each in ordered]),
                notes=tuple(count(each.stays, "stay") for each in ordered),
            ),
        ),
        sortable=True,
    )


def _levels(followed: Responsiveness) -> Figure:
    charts: Variants = {course: _curves(followed.of(course)) for course in COURSES}
    return Figure(
        "responses-by-level",
        "Risk on the way",
        "Mean risk while a variable goes from its normal value (0 %) to the deranged one (100 %), for the "
        f"{MOST_CURVES} derangements to which the fewest stays respond. A line that stays level is a blind spot; one "
        "that falls is wrong.",
        charts,
        (COURSE_SWITCH,),
        size="full",
    )


def _curves(responses: tuple[Response, ...]) -> Lines:
    least = sorted(responses, key=lambda each: each.responds.value)[:MOST_CURVES]
    return Lines(
        x=Axis(label="Way from normal to deranged", percent=True, min=0, max=1),
        y=Axis(label="Mean risk", percent=True, min=0),
        series=tuple(
            Line(
                name=each.derangement.label,
                x=rounded(list(each.levels)),
                y=rounded(list(each.risks)),
                marks="all",
                dash=place,
            )
            for place, each in enumerate(least)
        ),
    )


def _table(followed: Responsiveness) -> Table:
    rows = tuple(
        row(
            each.derangement.label,
            "held" if each.course == "held" else "worsening",
            each.stays,
            each.risks[0],
            each.risks[-1],
            interval(each.rise, each.low, each.high, decimals(each.low, each.high)),
            _share(each.responds.value),
            _share(each.contradicts.value),
            _share(each.monotone.value),
            _share(each.alarmed / each.unalarmed) if each.unalarmed else Entry("–", None),
            "; ".join(f"{change.normal:g} to {change.end:g}" for change in each.derangement.changes),
            each.derangement.cited,
        )
        for each in followed.responses
    )
    return Table(
        "responses-table",
        "All derangements",
        columns(
            "Derangement",
            "Course",
            numeric("Stays"),
            numeric("Risk, normal"),
            numeric("Risk, deranged"),
            numeric("Mean rise (95 %)"),
            numeric("Respond"),
            numeric("Contradict"),
            numeric("Never fall"),
            numeric("Become deaths"),
            "From, to",
            "Source",
        ),
        rows,
        f"Respond: stays whose risk rises by {percent(RISE)} or more. Contradict: it falls by as much. Never fall: it "
        "does not fall from any step to the next. Become deaths: of stays called survivors at the normal value, those "
        f"called deaths at the deranged one. Derangements of fewer than {FEWEST_STAYS} stays are listed here only.",
        filtered=True,
    )


def _sources(followed: Responsiveness) -> Listing:
    works = dict.fromkeys(each.derangement.source for each in followed.responses)
    return Listing("responses-sources", "Where the values come from", tuple((text, "") for text in works))


def _share(value: float) -> Entry:
    return Entry(percent(value), value)


def verdicts_section(results: ProbeResults) -> Section:
    """Tell how many verdicts errors of entry reverse."""
    probes = results.result
    rates, kinds = reversed_verdicts(probes), slips_by_kind(probes)
    lead = [
        (
            "Somebody typed most of a record. Each charted value may be wrong with a published chance, in one of "
            "the ways in which people go wrong. How many verdicts does that reverse? With one wrong value in a "
            "record every possible error is tried, so that part is exact; records with several are drawn."
        )
    ]
    blocks: list[Block] = []
    usual = next((each for each in rates if each.level == "usual"), None)
    if usual is None:
        blocks.append(Note("The model gives no number for any of these stays."))
    else:
        lead.append(
            f"If {percent(usual.rate)} of the entries are wrong, {number(usual.value, 2)} of 1,000 verdicts "
            f"({number(usual.low, 2)} to {number(usual.high, 2)}) are not what the right record would give; in "
            f"{number(usual.made_wrong, 2)} of 1,000 the right verdict becomes the wrong one."
        )
        blocks += [_rates(rates), _kinds(kinds)]
    return Section(
        "wrong-verdicts", "Wrong verdicts by errors of entry", "Wrong verdicts", tuple(lead), tuple(blocks)
    ).based_on(f"{count(probes.stays.height, 'stay')} probed")


def _rates(rates: tuple[Reversed, ...]) -> Table:
    return Table(
        "wrong-verdicts-by-rate",
        "Reversed verdicts per 1,000 stays",
        columns(
            "Rate",
            numeric("Entries wrong"),
            numeric("Errors a stay"),
            numeric("Reversed (95 %)"),
            numeric("By one error"),
            numeric("By several"),
            numeric("Right made wrong (95 %)"),
            numeric("Deaths missed"),
        ),
        tuple(_rate(each) for each in rates),
        "Intervals are over patients. Published rates: 0.14 % of fields of electronic data capture (Nahm 2008), "
        "0.5 % of manual glucose entries clinically significantly wrong and 3.7 % wrong at all (Mays 2019), unless "
        "others were set. The record as it is counts as right, errors that the cleaning drops as harmless.",
    )


def _rate(of: Reversed) -> tuple[Entry, ...]:
    digits = decimals(of.low, of.high)

    def part(value: float) -> Entry:
        return Entry(f"{value:.{digits}f}", value)

    return row(
        LEVEL_NAMES[of.level],
        Entry(f"{100 * of.rate:.2f} %", of.rate),
        Entry(number(of.expected_errors, 2), of.expected_errors),
        interval(of.value, of.low, of.high, digits),
        part(of.one),
        part(of.several),
        interval(of.made_wrong, of.made_wrong_low, of.made_wrong_high, digits),
        part(of.missed_deaths),
    )


def _kinds(kinds: tuple[Slipped, ...]) -> Figure:
    return Figure(
        "wrong-verdicts-by-kind",
        "Kinds of errors",
        "Chance that a single error of the kind, anywhere in a record, reverses the verdict; errors that the cleaning "
        "catches count as harmless. 95 % intervals over patients. If a hospital knows that one kind is more frequent, "
        "this says what it costs.",
        Dots(
            x=Axis(label="Chance to reverse the verdict", percent=True, min=0),
            rows=tuple(KIND_NAMES[each.kind] for each in kinds),
            series=(
                Dot(
                    name="Chance",
                    x=rounded([each.reverses for each in kinds]),
                    low=rounded([each.low for each in kinds]),
                    high=rounded([each.high for each in kinds]),
                    notes=tuple(f"{each.errors:,} errors, {each.caught:,} caught" for each in kinds),
                ),
            ),
        ),
        size="full",
    )
