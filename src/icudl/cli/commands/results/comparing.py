"""Commands that compare results: compare, diff."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape

from icudl.cli.session import Session, examples, shared_options

if TYPE_CHECKING:
    from icudl.report.compared import Comparison
    from icudl.store.base import Store
    from icudl.store.manifest import Manifest


@click.command(
    epilog=examples(
        "icudl compare train/lstm train/gru",
        "icudl compare attack/lstm/fewest attack/gru/fewest --json",
        "icudl compare report/3f1c report/a07b --page comparison.html",
    )
)
@click.argument("references", nargs=-1, required=True)
@click.option(
    "--samples",
    type=click.IntRange(min=10),
    default=1000,
    show_default=True,
    help="Bootstrap resamples behind an interval.",
)
@click.option(
    "--page", type=click.Path(path_type=Path), metavar="FILE", help="Write the comparison as a page as well: FILE.html."
)
@shared_options
def compare(session: Session, references: tuple[str, ...], samples: int, page: Path | None) -> None:
    """Compare two or more results.

    REFERENCES are two or more results of train, of score, of attack, or of report; a report stands for the trainings
    and attacks in it, by name. Scores and shares of flipped stays stand side by side. Where two results are about the
    same stays, their differences to the first result are paired, with intervals over resampled patients. Options that
    differ are listed. --page writes all of it with figures, drawn like a report.
    """
    from icudl.cli.comparison import comparison_tables
    from icudl.cli.summaries import in_words
    from icudl.errors import ConfigError
    from icudl.pipeline.results.comparison import comparison, outcome_of

    if len(references) < 2:
        raise ConfigError("`icudl compare` was given one result. Give two or more; `icudl list` shows all results.")
    manifests = [session.find(reference) for reference in references]
    if len({manifest.reference for manifest in manifests}) < len(manifests):
        raise ConfigError("Two of the references mean the same result. Give each result once.")
    found = comparison(session.store(), manifests, samples, session.config().run.seed)
    if page is not None:
        _write_page(session.store(), manifests, found, page)
        session.say(f"The comparison as a page: {escape(str(page))}")
    tables = in_words(comparison_tables(found), outcome_of(session.store(), manifests[0]))
    session.emit("\n\n".join(map(session.drawn, tables)), found.to_dict())


def _write_page(store: Store, manifests: list[Manifest], found: Comparison, page: Path) -> None:
    from icudl.errors import ConfigError
    from icudl.pipeline.results.comparison import labels_of, outcome_of
    from icudl.report.compared import comparison_page

    text = comparison_page(found, labels_of(manifests), outcome_of(store, manifests[0]))
    try:
        page.write_text(text, "utf-8")
    except OSError as error:
        raise ConfigError(f"--page {str(page)!r} cannot be written: {error}. Name a place you may write to.") from error


@click.command(epilog=examples("icudl diff train/3f1c train/a07b", "icudl diff train/lstm train/gru --json"))
@click.argument("first")
@click.argument("second")
@shared_options
def diff(session: Session, first: str, second: str) -> None:
    """Show what differs between two results of one stage.

    Options, inputs, versions and contents, and those of everything they were made from; then every headline score of
    the two with its change.
    """
    from icudl.errors import StoreError

    store = session.store()
    before, after = session.find(first), session.find(second)
    if before.node != after.node:
        raise StoreError(
            f"{before.name} ({before.reference}) and {after.name} ({after.reference}) are results of different stages. "
            "Give two results of one stage."
        )
    causes = _causes(store, before, after)
    moved = _moved(store, before, after)
    lines = [f"{stage}: {difference}" for stage, difference in causes]
    lines += [
        f"{line['result']}: {line['score']} {_number(line['before'])} -> {_number(line['after'])}{_change(line)}"
        for line in moved
    ]
    if not moved:
        lines.append("No score moved.")
    lines.append("The contents are " + ("identical." if before.content == after.content else "different."))
    data = {
        "differences": [{"stage": stage} | difference.to_dict() for stage, difference in causes],
        "scores": moved,
        "identical": before.content == after.content,
    }
    session.emit("\n".join(dict.fromkeys(lines)), data)


def _causes(store: Store, before: Manifest, after: Manifest) -> list[tuple[str, Any]]:
    """Return what two results differ in, down to their sources: (stage, difference), each once."""
    from icudl.pipeline.provenance import Kind, differences

    found: dict[tuple[str, str], tuple[str, Any]] = {}

    def walk(one: Manifest, other: Manifest) -> None:
        inputs, others = one.identity.upstream, other.identity.upstream
        for difference in differences(one.identity, other.identity):
            in_both = difference.what in inputs and difference.what in others
            if difference.kind is not Kind.INPUT or not in_both:
                found.setdefault((one.node, str(difference)), (one.node, difference))
        for name in inputs.keys() & others.keys():
            if inputs[name].reference != others[name].reference:
                walk(*(store.manifest(entry.node, entry.id) for entry in (inputs[name], others[name])))

    walk(before, after)
    return list(found.values())


def _moved(store: Store, before: Manifest, after: Manifest) -> list[dict[str, Any]]:
    """Return the headline numbers that differ between two results, or between the inputs of the same name."""
    from icudl.cli.comparison import headline_numbers

    lines: list[dict[str, Any]] = []

    def walk(name: str, one: Manifest, other: Manifest) -> None:
        numbers, others = headline_numbers(one), headline_numbers(other)
        lines.extend(
            {"result": name, "score": score, "before": numbers.get(score), "after": others.get(score)}
            for score in dict.fromkeys([*numbers, *others])
            if numbers.get(score) != others.get(score)
        )
        for key, entry in one.identity.upstream.items():
            there = other.identity.upstream.get(key)
            if there is not None and entry.reference != there.reference:
                manifests = (store.manifest(each.node, each.id) for each in (entry, there))
                walk(key, *manifests)

    walk(before.name if before.name == after.name else f"{before.name} -> {after.name}", before, after)
    return [line for number, line in enumerate(lines) if line not in lines[:number]]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _change(line: dict[str, Any]) -> str:
    if line["before"] is None or line["after"] is None:
        return ""
    return f" ({line['after'] - line['before']:+.4g})"
