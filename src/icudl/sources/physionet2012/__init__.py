"""The PhysioNet/CinC Challenge 2012: its archives, what its parameters mean, and what is dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icudl.lazy import imported_on_use

if TYPE_CHECKING:
    from icudl.sources.physionet2012.options import PhysioNet2012Options
    from icudl.sources.physionet2012.source import PhysioNet2012

_HOMES = {
    "PhysioNet2012": "icudl.sources.physionet2012.source",
    "PhysioNet2012Options": "icudl.sources.physionet2012.options",
}

__all__ = ["PhysioNet2012", "PhysioNet2012Options"]

# A configuration is read without the code that reads the data.
__getattr__ = imported_on_use(__name__, _HOMES)
