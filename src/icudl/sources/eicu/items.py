"""eICU: which rows of which table are which variable, and what is done to their values.

An item is a label of a long table, or a column of a wide one. The labels follow the concepts of MIT-LCP/eicu-code
(concepts/pivoted: pivoted-lab, pivoted-bg, pivoted-vital, pivoted-gcs, pivoted-uo; commits c66c0fed, d5e87d0e,
1af255b8, 41b6eee4). Each departure is told beside its rule, with what the demo 2.0 shows.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence

from icudl.sources.own_items import Place
from icudl.sources.rules import CANONICAL, EVERYTHING, NOTHING, ItemRule, RuleBook, Span, Unit

Item = tuple[str, str]
"""Table and label. Labels of NURSECHARTING are "cell type label|cell type name"."""

LAB, NURSE, MONITOR, CUFF = "lab", "nursecharting", "vitalperiodic", "vitalaperiodic"
RESPIRATORY, FLUIDS = "respiratorycharting", "intakeoutput"
EVENT_TABLES: tuple[str, ...] = (LAB, NURSE, MONITOR, CUFF, RESPIRATORY, FLUIDS)

MAGNESIUM_MEQ = "magnesium [mEq/L]"
"""Label that rows of magnesium get whose interface unit is mEq/L."""

URINE = "urine"
"""Label that rows of INTAKEOUTPUT get which are urine."""

SERIES: Mapping[str, tuple[Item, ...]] = {
    # Serum and whole blood are one lab in eICU, so both variables of potassium are the same rows.
    "potassium": ((LAB, "potassium"),),
    "calcium": ((LAB, "ionized calcium"),),
    "ph": ((LAB, "pH"),),
    "pco2": ((LAB, "paCO2"),),
    "lactate": ((LAB, "lactate"),),
    "albumin": ((LAB, "albumin"),),
    "bun": ((LAB, "BUN"),),
    "creatinine": ((LAB, "creatinine"),),
    "sodium": ((LAB, "sodium"),),
    # Not HCO3 (calculated by the blood-gas analyser) and Total CO2: eicu-code keeps them apart, MIMIC leaves them out.
    "bicarbonate": ((LAB, "bicarbonate"),),
    "platelet": ((LAB, "platelets x 1000"),),
    # Not "bedside glucose", which eicu-code merges with it: in MIMIC the variable is the laboratory's.
    "glucose": ((LAB, "glucose"),),
    "magnesium": ((LAB, "magnesium"), (LAB, MAGNESIUM_MEQ)),
    "heartrate": ((NURSE, "Heart Rate|Heart Rate"), (MONITOR, "heartrate")),
    "sysbp": (
        (NURSE, "Non-Invasive BP|Non-Invasive BP Systolic"),
        (NURSE, "Invasive BP|Invasive BP Systolic"),
        (MONITOR, "systemicsystolic"),
        (CUFF, "noninvasivesystolic"),
    ),
    "diasbp": (
        (NURSE, "Non-Invasive BP|Non-Invasive BP Diastolic"),
        (NURSE, "Invasive BP|Invasive BP Diastolic"),
        (MONITOR, "systemicdiastolic"),
        (CUFF, "noninvasivediastolic"),
    ),
    # Not "Temperature (F)": the same reading, converted.
    "tempc": ((NURSE, "Temperature|Temperature (C)"), (MONITOR, "temperature")),
    "resprate": ((NURSE, "Respiratory Rate|Respiratory Rate"), (MONITOR, "respiration")),
    "spo2": ((NURSE, "O2 Saturation|O2 Saturation"), (MONITOR, "sao2")),
    "meanbp": (
        (NURSE, "Non-Invasive BP|Non-Invasive BP Mean"),
        (NURSE, "Invasive BP|Invasive BP Mean"),
        (NURSE, "MAP (mmHg)|Value"),
        (NURSE, "Arterial Line MAP (mmHg)|Value"),
        (MONITOR, "systemicmean"),
        (CUFF, "noninvasivemean"),
    ),
    "potassium_serum": ((LAB, "potassium"),),
    "calcium_total": ((LAB, "calcium"),),
    "po2": ((LAB, "paO2"),),
    "sao2": ((LAB, "O2 Sat (%)"),),
    "hematocrit": ((LAB, "Hct"),),
    "wbc": ((LAB, "WBC x 1000"),),
    "bilirubin": ((LAB, "total bilirubin"),),
    "inr": ((LAB, "PT - INR"),),
    "alp": ((LAB, "alkaline phos."),),
    "alt": ((LAB, "ALT (SGPT)"),),
    "ast": ((LAB, "AST (SGOT)"),),
    "cholesterol": ((LAB, "total cholesterol"),),
    "troponin_i": ((LAB, "troponin - I"),),
    "troponin_t": ((LAB, "troponin - T"),),
    "gcs": ((NURSE, "Glasgow coma score|GCS Total"), (NURSE, "Score (Glasgow Coma Scale)|Value")),
    "fio2": (
        (RESPIRATORY, "FiO2"),
        (RESPIRATORY, "FIO2 (%)"),
        (RESPIRATORY, "Set Fraction of Inspired Oxygen (FIO2)"),
    ),
    "urine": ((FLUIDS, URINE),),
    "weight": ((FLUIDS, "Bodyweight (kg)"),),
}
"""Items behind each variable; arterial and cuff pressures are averaged, as in MIMIC-III.

Not here: mechanical_ventilation, which is derived in eICU; and APACHEAPSVAR, whose values are the worst of the first
day and have no time.
"""

AVAILABLE: frozenset[str] = frozenset(SERIES) - {"potassium_serum"}
"""What ``"all"`` takes: every series once."""

_HUNDREDTH = Unit(name="hundredth", offset=0.0, divisor=100.0)
_FAHRENHEIT = Unit(name="fahrenheit", offset=32.0, divisor=1.8)

UNITS: Mapping[Item, Unit] = {
    # 24.305 g/mol and two charges: 1 mEq/L is 1.215 mg/dL. 18 of the demo's 446 rows, median 1.38.
    (LAB, MAGNESIUM_MEQ): Unit(name="mEq/L", offset=0.0, divisor=20.0 / 24.305),
}
"""Units other than the catalogue's."""

REPAIRS: Mapping[str, tuple[Span, Unit]] = {
    # As in MIMIC-III: pH filed times 100, temperature in degrees Fahrenheit.
    "ph": (Span(low=630.0, high=840.0), _HUNDREDTH),
    "tempc": (Span(low=70.0, high=120.0), _FAHRENHEIT),
    # The lab's unit is mg/dL, the interface's mmol/L, and values are of either whatever they say: in the demo, 21 of
    # 73 rows "in mmol/L" lie between 0.7 and 1.3, the others between 3.1 and 5.3. 40.078 g/mol.
    "calcium": (Span(low=2.5, high=9.0), Unit(name="mg/dL", offset=0.0, divisor=4.0078)),
    # Charted in per cent or as a fraction.
    "fio2": (Span(low=20.0, high=100.0), _HUNDREDTH),
}
"""Values of a variable inside the span were filed in the unit."""

GATES: Mapping[str, Span] = {
    # 1 may be a fraction, or litres a minute filed here as 2, 3 and 4 are (119 rows of the demo): left out.
    "fio2": Span(low=0.2, high=0.99),
}
"""Values outside are dropped before conversion, unless they are repaired."""

URINE_PATH = "|Output (ml)|"
"""Part of CELLPATH by which output is told from intake."""

URINE_LABELS = (
    r"(?i)^(urine|(actual|true) urine|urinary catheter output|indwelling (catheter output|foley)|foley|voided amount|"
    r"output.*(urethral|urinary) catheter|(straight|condom) cath)"
)
"""Labels of output that is urine: the paths that eicu-code lists, put into one pattern, and two more that the demo has
("Indwelling Catheter Output", 1,330 rows; "Voided Amount", 53)."""

NO_URINE_LABELS = r"(?i)count|occurrence|unmeasured|incont|pacu|stool|\bor\b|\bir\b"
"""Labels that are no volume, or one of the operating room."""

LABELS: tuple[Item, ...] = tuple(dict.fromkeys(item for items in SERIES.values() for item in items))
"""Every item once; its position is its number."""


@functools.cache
def rule_book(vitals: tuple[str, ...]) -> RuleBook:
    """Return the rules; items are positions in ``LABELS``.

    Args:
        vitals: The tables that vital signs are read from.
    """
    left_out = {NURSE, MONITOR, CUFF} - set(vitals)
    rules = []
    for variable, items in SERIES.items():
        # The coma scale is charted by nurses only.
        read = [item for item in items if item[0] not in left_out or variable == "gcs"]
        rules += [_rule(variable, item) for item in read]
    identity = repr((rules, LABELS, URINE_LABELS, NO_URINE_LABELS, "texts are trimmed"))
    return RuleBook(tuple(rules), hashlib.sha256(identity.encode()).hexdigest())


def _rule(variable: str, item: Item) -> ItemRule:
    repair, repair_unit = REPAIRS.get(variable, (NOTHING, CANONICAL))
    return ItemRule(
        variable=variable,
        table=item[0],
        items=(LABELS.index(item),),
        unit=UNITS.get(item, CANONICAL),
        gate=GATES.get(variable, EVERYTHING),
        repair=repair,
        repair_unit=repair_unit,
    )


EXPECTED_ITEM = (
    f'a label of {LAB} in quotes, or below its table one of {NURSE} ("cell type label|cell type name"), {RESPIRATORY} '
    f"or {FLUIDS}"
)


def place_among(labels: list[Item]) -> Place:
    """Return what finds the item of a label that a configuration names; a label that is not there is added."""

    def place(table: str, entry: object) -> tuple[str, int] | None:
        if not isinstance(entry, str) or table not in {"", LAB, NURSE, RESPIRATORY, FLUIDS}:
            return None
        item = (table or LAB, entry)
        if item not in labels:
            labels.append(item)
        return item[0], labels.index(item)

    return place


def tables_of(variable: str) -> Sequence[str]:
    """Return the tables that may hold a variable; empty if it has no item."""
    return tuple(dict.fromkeys(table for table, _ in SERIES.get(variable, ())))
