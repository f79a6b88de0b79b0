"""One look for all figures, and rendering to bytes that are the same on every run.

Colours are those of Okabe and Ito (https://jfly.uni-koeln.de/color/), which stay apart for colour-blind readers;
heat maps use ``YlGnBu`` (ColorBrewer), whose lightness falls steadily: the darker, the more. Matplotlib's
global settings are afterwards what they were before.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec

from icudl.errors import ConfigError
from icudl.variables import CATALOGUE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from icudl.report.vocabulary import Vocabulary

Parameters = ParamSpec("Parameters")

FORMATS = ("png", "svg", "pdf")
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
COLOUR_MAP = "YlGnBu"
MUTED = "#6b7280"

STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e5e7eb",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "lines.linewidth": 1.6,
    "savefig.facecolor": "white",
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "svg.hashsalt": "icudl",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
}

CONDITION_LABELS = {
    "survival_to_death": "survival → death",
    "death_to_survival": "death → survival",
    "both": "both directions",
}
CONDITION_COLOURS = {"survival_to_death": PALETTE[0], "death_to_survival": PALETTE[1], "both": PALETTE[6]}
EXAMPLE_LINES = {"first": "--", "best": "-"}


def styled(draw: Callable[Parameters, Figure]) -> Callable[Parameters, Figure]:
    """Draw with ``STYLE`` in force, whatever the caller's matplotlib settings are."""

    @functools.wraps(draw)
    def wrapper(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Figure:
        import matplotlib as mpl

        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update(STYLE)
            return draw(*args, **kwargs)

    return wrapper


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of ``width`` x ``height`` inches, bound to no window."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def put_into_words(figure: Figure, words: Vocabulary) -> None:
    """Put the texts of a figure, which speak of deaths, into the words of another outcome."""
    from matplotlib.text import Text
    from matplotlib.ticker import FixedFormatter

    for text in figure.findobj(Text):
        text.set_text(words.text(text.get_text()))
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            formatter = axis.get_major_formatter()
            if isinstance(formatter, FixedFormatter):
                axis.set_major_formatter(FixedFormatter([words.text(label) for label in formatter.seq]))


def render(figure: Figure, format: str = "svg", dpi: int = 200) -> bytes:  # noqa: A002 - what matplotlib calls it
    """Return the figure as a file: the same figure gives the same bytes.

    Args:
        figure: What one of the drawing functions gave.
        format: ``"png"``, ``"svg"`` or ``"pdf"``.
        dpi: Pixels an inch of a PNG.

    Raises:
        ConfigError: The format is unknown.
    """
    import matplotlib as mpl

    if format not in FORMATS:
        raise ConfigError(f"format = {format!r} is not a figure format. Expected one of {', '.join(FORMATS)}.")
    undated: dict[str, dict[str, Any]] = {
        "png": {"Software": None},
        "svg": {"Date": None, "Creator": None},
        "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    }
    buffer = io.BytesIO()
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        figure.savefig(buffer, format=format, dpi=dpi, metadata=undated[format])
    return buffer.getvalue()


def variable_label(name: str) -> str:
    """Return what a clinician calls the variable, or its name where it is not in the catalogue."""
    return CATALOGUE[name].label if name in CATALOGUE else name


def say_nothing_found(axes: Axes, text: str = "no examples") -> None:
    """Write in an empty panel why it is empty."""
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color=MUTED)
    axes.grid(visible=False)
    axes.set(xticks=[], yticks=[])
