"""The PhysioNet/CinC Challenge 2019: hourly records of ICU stays with a label of sepsis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icudl.lazy import imported_on_use

if TYPE_CHECKING:
    from icudl.sources.physionet2019.options import PhysioNet2019Options
    from icudl.sources.physionet2019.source import PhysioNet2019

_HOMES = {
    "PhysioNet2019": "icudl.sources.physionet2019.source",
    "PhysioNet2019Options": "icudl.sources.physionet2019.options",
}

__all__ = ["PhysioNet2019", "PhysioNet2019Options"]

# A configuration is read without the code that reads the data.
__getattr__ = imported_on_use(__name__, _HOMES)
