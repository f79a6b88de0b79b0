"""Tables of several results of one stage say which is which."""

from __future__ import annotations

from types import SimpleNamespace

from rich.table import Table

from icudl.cli import summaries


def _made(*names: str) -> list[SimpleNamespace]:
    return [SimpleNamespace(node=name.partition("/")[0], name=name) for name in names]


def _titles(monkeypatch, *names: str) -> list[str | None]:
    monkeypatch.setattr(summaries, "summary", lambda _store, _manifest: [Table(title="What was found")])
    return [table.title for table in summaries.study_summary(None, _made(*names))]


def test_what_a_table_is_about_stands_in_front_of_its_title(monkeypatch) -> None:
    assert _titles(monkeypatch, "probe/lstm", "probe/trees", "tune-model") == [
        "lstm: What was found",
        "trees: What was found",
        "What was found",
    ]


def test_markup_in_a_name_is_text(monkeypatch) -> None:
    assert _titles(monkeypatch, "probe/a[b]", "probe/c")[0] == "a\\[b]: What was found"
