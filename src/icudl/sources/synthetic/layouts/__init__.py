"""Layouts other than MIMIC-III's in which the synthetic hospital can be written: the same patients, other tables."""

from __future__ import annotations

from collections.abc import Mapping

from icudl.sources.synthetic.layouts.base import Frames, Layout
from icudl.sources.synthetic.layouts.clif import CLIF
from icudl.sources.synthetic.layouts.eicu import EICU
from icudl.sources.synthetic.layouts.meds import MEDS
from icudl.sources.synthetic.layouts.mimic4 import MIMIC4
from icudl.sources.synthetic.layouts.own_tables import OWN_TABLES
from icudl.sources.synthetic.layouts.yaib import YAIB

__all__ = ["LAYOUTS", "Frames", "Layout"]

LAYOUTS: Mapping[str, Layout] = {layout.name: layout for layout in (MIMIC4, EICU, MEDS, CLIF, YAIB, OWN_TABLES)}
"""The layouts by name."""
