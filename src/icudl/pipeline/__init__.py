"""Which results a configuration has, which of them exist, and how the others come to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icudl.lazy import imported_on_use

if TYPE_CHECKING:
    from icudl.pipeline.graph import build_graph
    from icudl.pipeline.plan import Listener, Step
    from icudl.pipeline.provenance import differences
    from icudl.pipeline.references import find_result
    from icudl.pipeline.run import Pipeline
    from icudl.pipeline.study import study_of

_HOMES = {
    "Listener": "icudl.pipeline.plan",
    "Pipeline": "icudl.pipeline.run",
    "Step": "icudl.pipeline.plan",
    "build_graph": "icudl.pipeline.graph",
    "differences": "icudl.pipeline.provenance",
    "find_result": "icudl.pipeline.references",
    "study_of": "icudl.pipeline.study",
}

__all__ = ["Listener", "Pipeline", "Step", "build_graph", "differences", "find_result", "study_of"]

# The command line must not wait for what it does not need.
__getattr__ = imported_on_use(__name__, _HOMES)
