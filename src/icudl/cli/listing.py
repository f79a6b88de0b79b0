"""Results as lines and tables for people: what a manifest says, without its bookkeeping."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Column, Table

from icudl.artifacts import HOSPITAL_DEATH, Outcome
from icudl.config.document import to_toml
from icudl.config.schema import PLUGINS, class_of
from icudl.errors import IcudlError
from icudl.report.vocabulary import Vocabulary
from icudl.store.base import Store
from icudl.store.manifest import Manifest

MOST_KEY_OPTIONS = 3
"""Most options that a line of the list shows."""

WIDE, NARROW = 140, 100
"""Characters of a line below which the list leaves out columns."""

LONGEST_VALUE = 28
"""Most characters of a value that a line of the list shows."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Listing:
    """One line of the list of results.

    Attributes:
        name: What the study calls the result.
        id: Its id.
        made: When its stage began.
        options: Options that are not at their defaults, the plug-in first.
        headline: The main outcome in a few words.
        size: Bytes of its files.
    """

    name: str
    id: str
    made: dt.datetime
    options: Mapping[str, Any]
    headline: str
    size: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return dataclasses.asdict(self) | {"made": self.made.isoformat(), "options": dict(self.options)}


def listing(manifest: Manifest, name: str) -> Listing:
    """Return the line of a result that is called ``name``."""
    return Listing(
        name=name,
        id=manifest.id,
        made=dt.datetime.fromisoformat(manifest.environment["started"]),
        options=key_options(manifest),
        headline=headline(manifest),
        size=sum(entry.bytes for entry in manifest.files),
    )


def listing_table(rows: list[Listing], width: int = WIDE) -> Table:
    """Return the list as a table.

    Args:
        rows: Its lines.
        width: Characters of a line. Where they are few, the date goes, and before it options and size: names and ids
            are what one copies, so they stay whole.
    """
    columns = {
        "name": Column("name", no_wrap=True, overflow="fold"),
        "id": Column("id", no_wrap=True),
        "made": Column("made", no_wrap=True),
        "key options": Column("key options"),
        "result": Column("result"),
        "size": Column("size", justify="right", no_wrap=True),
    }
    left_out = {"key options", "size"} if width < WIDE else set()
    left_out |= {"made"} if width < NARROW else set()
    shown_columns = [name for name in columns if name not in left_out]
    table = Table(*(columns[name] for name in shown_columns), box=SIMPLE_HEAD)
    for row in rows:
        made = f"{row.made.astimezone():%Y-%m-%d %H:%M}"
        shown = [_of_list(key, value) for key, value in list(row.options.items())[:MOST_KEY_OPTIONS]]
        more = len(row.options) - len(shown)
        options = ", ".join(shown) + (f", +{more}" if more > 0 else "")
        cells = (escape(row.name), row.id[:8], made, escape(options), escape(row.headline), _size(row.size))
        by_name = dict(zip(columns, cells, strict=True))
        table.add_row(*(by_name[name] for name in shown_columns))
    return table


def _of_list(key: str, value: object) -> str:
    text = value if isinstance(value, str) else to_toml(value)
    text = text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"
    return text if key in {"name", "executor"} else f"{key} {text}"


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:,.1f} MB" if n_bytes >= 2**20 else f"{n_bytes / 2**10:,.1f} kB"


def key_options(manifest: Manifest) -> dict[str, Any]:
    """Return the used options of a result that are not at their defaults, the name of the plug-in first."""
    found: dict[str, Any] = {}
    for table, values in manifest.used.items():
        defaults = _defaults(table, values)
        if table in PLUGINS:
            found = {"name": values[PLUGINS[table].key]} | found
        found |= {
            key: value
            for key, value in values.items()
            if key not in defaults or (value != defaults[key] and not (table in PLUGINS and key == PLUGINS[table].key))
        }
    return found


def _defaults(table: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the defaults of a table; an empty mapping where its plug-in is no longer installed."""
    try:
        return class_of(table, values)().to_dict()
    except (IcudlError, KeyError):
        return {}


def headline(manifest: Manifest) -> str:  # noqa: PLR0911 - one case per stage
    """Return the main outcome in a few words, with the split and the number of stays."""
    counts = manifest.counts
    match manifest.node:
        case "extract":
            return f"{counts['stays']:,} stays, {counts['hourly_values']:,} hourly values"
        case "preprocess":
            outcome = Outcome(**counts["outcome"]) if "outcome" in counts else HOSPITAL_DEATH
            deaths = Vocabulary.of(outcome).text("deaths")
            return f"{counts['stays']:,} stays, {counts['deaths']:,} {deaths}, {counts['test_stays']:,} held out"
        case "train" | "score":
            return "; ".join(
                f"AUROC {score['auroc']:.3f} on {score['stays']:,} {split} stays"
                for split, score in counts["scores"].items()
                if score["auroc"] is not None
            )
        case "tune-model" | "tune-attack":
            best = f"{counts['objective']} {counts['best_value']:.4g}"
            return f"{best} in trial {counts['best_trial']} of {counts['trials']}"
        case "attack":
            return _flips(counts)
        case "certify":
            return _proved(counts)
        case "probe":
            return _probed(counts)
        case _:
            return ""


def _flips(counts: Mapping[str, Any]) -> str:
    attacked, median = counts["attacked"], counts["median_changed"]
    if not attacked:
        return "no stay attacked"
    share = f"{counts['flipped'] / attacked:.0%} of {attacked:,} stays flipped"
    return share if median is None else f"{share}, median {median:g} {'value' if median == 1 else 'values'}"


def _proved(counts: Mapping[str, Any]) -> str:
    if not counts["stays"]:
        return "no stay looked at"
    shares = ", ".join(f"{counts[state] / counts['stays']:.0%} {state}" for state in ("proven", "flips", "undecided"))
    return f"{shares} of {counts['stays']:,} stays".replace("flips", "flip")


def _probed(counts: Mapping[str, Any]) -> str:
    wrong = f"{counts['reversed_per_1000'].get('usual', 0.0):.1f} verdicts per 1,000 stays reversed by entry errors"
    follows = counts["responding"]
    return wrong if follows is None else f"{wrong}, risk follows {follows:.0%} of derangements"


def details(manifest: Manifest, store: Store) -> list[Table]:
    """Return what `icudl show` prints beside the scores of a result: identity, options and inputs."""
    about = Table("", "", show_header=False, box=None, title=escape(manifest.name), title_justify="left")
    made = dt.datetime.fromisoformat(manifest.environment["started"]).astimezone()
    rows = {
        "id": manifest.reference,
        "made": f"{made:%Y-%m-%d %H:%M}, {manifest.environment['duration_seconds']:.1f} s",
        "by": f"icudl {manifest.environment['versions']['icudl']}, {manifest.environment['device']}",
        "plug-in": manifest.identity.plugin,
        "size": _size(sum(entry.bytes for entry in manifest.files)),
        "place": store.location(manifest.node, manifest.id),
        "restricted": "yes: it derives from credentialed data" if manifest.restricted else "",
        "result": headline(manifest),
        "never measured": ", ".join(manifest.counts.get("missing", ())),
        "left out": f"{manifest.counts['left_out']:,} stays of patients whom the model has met"
        if manifest.counts.get("left_out")
        else "",
    }
    for key, value in rows.items():
        if value:
            about.add_row(f"[dim]{key}[/]", escape(value))
    for warning in manifest.warnings:
        about.add_row("[yellow]warning[/]", escape(warning))
    return [about, *_options(manifest), *_inputs(manifest)]


def _options(manifest: Manifest) -> list[Table]:
    """Return the options that were used, with the requested value where a search chose another."""
    table = Table("option", "used", "set by", box=SIMPLE_HEAD, title="Options", title_justify="left")
    for name, values in manifest.used.items():
        defaults, requested = _defaults(name, values), manifest.options.get(name, {})
        for key, value in values.items():
            shown = escape(to_toml(value))
            if requested.get(key, value) != value:
                table.add_row(f"{name}.{key}", shown, f"the search (asked for: {escape(to_toml(requested[key]))})")
            elif key not in defaults or value != defaults[key]:
                table.add_row(f"{name}.{key}", shown, escape(_origin(manifest, name, key)))
    if not table.row_count:
        table.caption = "All options stand at their defaults."
        table.caption_justify = "left"
    return [table]


def _origin(manifest: Manifest, table: str, key: str) -> str:
    """Return where an option was set: in the entry itself before where it was set for all."""
    family = PLUGINS[table].family if table in PLUGINS else ""
    keys = {key} if table not in PLUGINS else {key, PLUGINS[table].family_key if key == PLUGINS[table].key else key}
    found = {
        len(place): origin
        for dotted, origin in manifest.origins.items()
        for *place, last in [dotted.split(".")]
        if last in keys and (place[-1] == table or (len(place) == 2 and place[0] == family))
    }
    return found[max(found)] if found else "the name of the entry"


def _inputs(manifest: Manifest) -> list[Table]:
    if not manifest.identity.upstream:
        return []
    table = Table("input", "result", box=SIMPLE_HEAD, title="Made from", title_justify="left")
    for name, entry in manifest.identity.upstream.items():
        table.add_row(escape(name), entry.reference)
    return [table]
