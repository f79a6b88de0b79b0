"""All fuzz targets by name."""

from __future__ import annotations

import sys
from pathlib import Path

# The targets use the hand-made tables and studies of the other tests.
for _folder in ("made/cases", "made/tables", "unit", "unit/sources/physionet2012"):
    _path = str(Path(__file__).resolve().parents[1] / _folder)
    if _path not in sys.path:
        sys.path.append(_path)

import fuzz_arrays
import fuzz_config
import fuzz_manifest
import fuzz_mimic3
import fuzz_physionet2012
import fuzz_tables

TARGETS = {
    target.name: target
    for target in (
        fuzz_config.TARGET,
        fuzz_manifest.TARGET,
        fuzz_mimic3.TARGET,
        fuzz_physionet2012.RECORDS_TARGET,
        fuzz_physionet2012.OUTCOMES_TARGET,
        fuzz_arrays.TARGET,
        fuzz_tables.TARGET,
    )
}
