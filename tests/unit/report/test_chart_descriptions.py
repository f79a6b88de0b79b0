"""What the page's scripts are given of a chart."""

from __future__ import annotations

from icudl.report.charts.descriptions import Axis, Bar, Bars, Line, Lines, as_json


def test_fields_with_their_default_are_left_out_and_required_ones_stay() -> None:
    chart = Lines(x=Axis(label="Trial", min=0), y=Axis(label="Score"), series=())
    assert as_json(chart) == {"kind": "lines", "x": {"label": "Trial", "min": 0}, "y": {"label": "Score"}, "series": []}


def test_what_all_variants_share_stands_there_once() -> None:
    edges = [0.0, 1.0]

    def bars(height: int) -> Bars:
        return Bars(edges=edges, x=Axis(label="x"), y=Axis(label="y"), series=(Bar(name="a", y=[height]),))

    assert as_json({"one": bars(1), "two": bars(2)}) == {
        "kind": "bars",
        "edges": edges,
        "x": {"label": "x"},
        "y": {"label": "y"},
        "variants": {"one": {"series": [{"name": "a", "y": [1]}]}, "two": {"series": [{"name": "a", "y": [2]}]}},
    }


def test_a_field_that_only_one_variant_has_is_not_shared() -> None:
    plain = Lines(x=Axis(label="x"), y=Axis(label="y"), series=(Line(name="a", x=[0], y=[1]),))
    crossed = Lines(x=plain.x, y=plain.y, series=plain.series, diagonal=True)
    assert as_json({"plain": plain, "crossed": crossed})["variants"] == {"plain": {}, "crossed": {"diagonal": True}}
