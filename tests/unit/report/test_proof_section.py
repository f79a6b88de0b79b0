"""The section on proofs: no figure where there is nothing to see."""

from __future__ import annotations

from certificate_cases import certificates
from icudl.artifacts import Certificates
from icudl.report.elements import Figure
from icudl.report.sections.certificates import certificates_section
from icudl.report.study import CertificateResults


def _proofs(*verdicts: str) -> Certificates:
    """One stay whose values, one an hour, have these verdicts."""
    flips, count = verdicts.count("flips"), len(verdicts)
    stay = {"stay_id": 1, "status": "flips" if flips else "proven", "label": 0, "values": count, "flippable": flips}
    place = {"stay_id": 1, "variable": 2, "lower": 0.0, "upper": 1.0}
    values = [place | {"hour": hour, "verdict": verdict} for hour, verdict in enumerate(verdicts)]
    return certificates(stays=[stay], values=values)


def _figures(proofs: Certificates) -> list[str]:
    section = certificates_section(CertificateResults(model="lstm", data="main", result=proofs))
    return [block.id for block in section.blocks if isinstance(block, Figure)]


def test_hours_are_drawn_where_some_value_flips_or_is_undecided() -> None:
    assert _figures(_proofs("proven", "flips")) == ["proofs-by-hour"]
    assert _figures(_proofs("proven", "undecided")) == ["proofs-by-hour"]


def test_hours_in_which_all_is_proven_are_no_figure() -> None:
    assert _figures(_proofs("proven", "proven")) == []
