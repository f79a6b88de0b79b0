"""Charts of the predictions: ROC, precision and recall, calibration, distribution of the risks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from icudl.analysis.numbers.models.quality import (
    Curve,
    Judged,
    calibration_groups,
    precision_recall_curve,
    risk_distribution,
    roc_curve,
)
from icudl.report.charts.descriptions import Axis, Bar, Bars, Chart, Line, Lines, Rule
from icudl.report.elements import Figure, Switch
from icudl.report.names import predictor_name
from icudl.report.wording import rounded

CURVE_POINTS = 160
"""Points of a ROC or precision-recall curve: enough for the eye, too few to read single stays off it."""

ByStays = Mapping[str, Sequence[Judged]]
"""Predictions by group of stays, the trained model first."""


def _share_axis(label: str) -> Axis:
    return Axis(label=label, percent=True, min=0, max=1)


def _line(of: Judged, place: int, curve: Curve, along: npt.NDArray[np.float64]) -> Line:
    x, y = curve.x, curve.y
    if len(x) > CURVE_POINTS:
        wanted = np.linspace(along[0], along[-1], CURVE_POINTS)
        kept = np.unique(np.concatenate([[0, len(x) - 1], np.searchsorted(along, wanted).clip(0, len(x) - 1)]))
        x, y = x[kept], y[kept]
    return Line(name=predictor_name(of.model), x=rounded(x.tolist()), y=rounded(y.tolist()), dash=place)


def roc(judged: ByStays, switches: tuple[Switch, ...]) -> Figure:
    """Draw the ROC curves."""

    def chart(group: Sequence[Judged]) -> Lines:
        curves = [roc_curve(each) for each in group]
        return Lines(
            x=_share_axis("False alarms among survivors"),
            y=_share_axis("Deaths recognised"),
            series=tuple(
                _line(each, place, curve, curve.x + curve.y)
                for place, (each, curve) in enumerate(zip(group, curves, strict=True))
            ),
            diagonal=True,
        )

    return Figure(
        "roc",
        "ROC curve",
        "How many deaths are recognised (upwards) at the price of how many false alarms (to the right). The dashed "
        "diagonal is guessing; the closer to the upper left corner, the better.",
        _variants(judged, chart),
        switches,
    )


def precision_recall(judged: ByStays, switches: tuple[Switch, ...]) -> Figure:
    """Draw the precision-recall curves."""

    def chart(group: Sequence[Judged]) -> Lines:
        curves = [precision_recall_curve(each) for each in group]
        return Lines(
            x=_share_axis("Recall"),
            y=_share_axis("Precision"),
            series=tuple(
                _line(each, place, curve, curve.x)
                for place, (each, curve) in enumerate(zip(group, curves, strict=True))
            ),
            rules=tuple(Rule(y=round(each.mortality, 4), label="mortality") for each in group[:1]),
        )

    return Figure(
        "precision-recall",
        "Precision and recall",
        "Of the patients predicted to die, how many did (upwards), against the share of deaths found (to the right). "
        "The dashed line is a model that knows nothing. Where deaths are rare, this says more than the ROC curve.",
        _variants(judged, chart),
        switches,
    )


def calibration(judged: ByStays, switches: tuple[Switch, ...]) -> Figure:
    """Draw predicted against observed mortality."""

    def line(of: Judged, place: int) -> Line:
        groups = calibration_groups(of)
        return Line(
            name=predictor_name(of.model),
            x=rounded([group.predicted for group in groups]),
            y=rounded([group.observed for group in groups]),
            low=None if place else rounded([group.low for group in groups]),
            high=None if place else rounded([group.high for group in groups]),
            marks="all",
            dash=place,
        )

    def chart(group: Sequence[Judged]) -> Lines:
        return Lines(
            x=_share_axis("Predicted risk"),
            y=_share_axis("Observed mortality"),
            series=tuple(line(each, place) for place, each in enumerate(group)),
            diagonal=True,
        )

    return Figure(
        "calibration",
        "Calibration",
        "Stays sorted by predicted risk, in groups of equal size (ten, where there are enough stays): predicted "
        "against observed mortality. On the diagonal a risk of 20 % means that 20 of 100 such patients die. The shaded "
        "band is the 95 % interval of the first model. A model trained on balanced classes overstates the risk unless "
        "it is recalibrated.",
        _variants(judged, chart),
        switches,
    )


def risks(judged: ByStays, name: str, switches: tuple[Switch, ...]) -> Figure:
    """Draw the distribution of the predicted risks by outcome, of the first model of each group of stays."""

    def chart(group: Sequence[Judged]) -> Bars:
        found = risk_distribution(group[0])
        return Bars(
            edges=rounded(found.edges.tolist()),
            x=Axis(label="Predicted risk", percent=True),
            y=Axis(label="Share of patients", percent=True),
            series=(
                Bar(name="Survived", y=rounded(found.survived.tolist())),
                Bar(name="Died", y=rounded(found.died.tolist())),
            ),
        )

    return Figure(
        "risks",
        f"Risks that the {name} gives",
        "Distribution of the predicted risk among patients who survived and who died. The less the two overlap, the "
        "easier they are told apart.",
        _variants(judged, chart),
        switches,
    )


def _variants(judged: ByStays, chart: Callable[[Sequence[Judged]], Chart]) -> dict[str, Chart]:
    return {stays: chart(group) for stays, group in judged.items()}
