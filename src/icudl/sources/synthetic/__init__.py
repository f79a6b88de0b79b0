"""The synthetic hospital: simulated patients whose records are written and read like real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icudl.lazy import imported_on_use

if TYPE_CHECKING:
    from icudl.sources.synthetic.options import SyntheticOptions
    from icudl.sources.synthetic.source import SyntheticSource, write_hospital

_HOMES = {
    "SyntheticOptions": "icudl.sources.synthetic.options",
    "SyntheticSource": "icudl.sources.synthetic.source",
    "write_hospital": "icudl.sources.synthetic.source",
}

__all__ = ["SyntheticOptions", "SyntheticSource", "write_hospital"]

# A configuration is read without the code that reads the data.
__getattr__ = imported_on_use(__name__, _HOMES)
