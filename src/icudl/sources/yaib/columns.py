"""The columns of dyn.parquet: ricu's concepts, the variable of each, and what is done to its values."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from icudl.sources.reading.hourly import HOURLY
from icudl.sources.rules import CANONICAL, ItemRule, RuleBook, Unit

SERIES: Mapping[str, tuple[str, str]] = {
    "potassium": ("k", "mEq/L; ricu merges serum and whole blood."),
    "calcium": ("cai", "Ionised calcium in mmol/L; the total is ca."),
    "ph": ("ph", "Of blood."),
    "pco2": ("pco2", "mmHg."),
    "lactate": ("lact", "mmol/L."),
    "albumin": ("alb", "g/dL."),
    "bun": ("bun", "mg/dL of urea nitrogen."),
    "creatinine": ("crea", "mg/dL."),
    "sodium": ("na", "mEq/L."),
    "bicarbonate": ("bicar", "mEq/L."),
    "platelet": ("plt", "K/uL."),
    "glucose": ("glu", "mg/dL; ricu merges the laboratory's and those at the bedside."),
    "magnesium": ("mg", "mg/dL."),
    "heartrate": ("hr", "bpm."),
    "sysbp": ("sbp", "mmHg; arterial and cuff."),
    "diasbp": ("dbp", "mmHg; arterial and cuff."),
    "tempc": ("temp", "Degrees Celsius; medians of both demos are 36.8."),
    "resprate": ("resp", "Breaths a minute; in MIMIC-III set rates of ventilators are among them."),
    "spo2": ("o2sat", "Per cent; in MIMIC-III a blood gas's saturation (50817) is among them."),
    "calcium_total": ("ca", "Total calcium in mg/dL: median 8.2 in both demos."),
    "po2": ("po2", "mmHg."),
    "wbc": ("wbc", "K/uL."),
    "bilirubin": ("bili", "Total, mg/dL; bili_dir is the direct part."),
    "inr": ("inr_pt", "Prothrombin time as a ratio."),
    "alp": ("alp", "IU/L."),
    "alt": ("alt", "IU/L."),
    "ast": ("ast", "IU/L."),
    "troponin_t": ("tnt", "ng/mL, which is ug/L."),
    "meanbp": ("map", "mmHg; arterial and cuff."),
    "fio2": ("fio2", "Per cent: 21 to 100 in both demos."),
    "urine": ("urine", "mL, the sum of the hour's entries; one entry an hour is usual."),
}
"""The column of each variable and what is known of it. The files state no units; these are ricu's, and the values of
both demos agree with them. Not here: be, bili_dir, bnd, ck, ckmb, cl, crp, fgn, hgb, lymph, mch, mchc, mcv, methb,
neut, phos and ptt, which no variable of the catalogue is."""

UNITS: Mapping[str, Unit] = {"fio2": Unit(name="per cent", offset=0.0, divisor=100.0)}
"""Units other than the catalogue's."""

LABELS: tuple[str, ...] = tuple(column for column, _ in SERIES.values())
"""Every column once; its position is its number."""

OTHER: frozenset[str] = frozenset(
    {
        "be", "bili_dir", "bnd", "ck", "ckmb", "cl", "crp", "fgn", "hgb", "lymph", "mch", "mchc", "mcv", "methb",
        "neut", "phos", "ptt",
    }
)  # fmt: skip
"""Columns of YAIB that are known to be no variable of the catalogue."""


@functools.cache
def rule_book() -> RuleBook:
    """Return the rules; items are positions in ``LABELS``."""
    return RuleBook.of(
        [
            ItemRule(
                variable=variable,
                table=HOURLY,
                items=(LABELS.index(column),),
                unit=UNITS.get(variable, CANONICAL),
                why=why,
            )
            for variable, (column, why) in SERIES.items()
        ]
    )
