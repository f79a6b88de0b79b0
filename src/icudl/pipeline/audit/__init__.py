"""An audit of a model that was trained elsewhere: a study made from a model and data, like any other study."""

from __future__ import annotations

from icudl.pipeline.audit.arrays import Audit, audit
from icudl.pipeline.audit.study import AUDITED, audit_study, data_of

__all__ = ["AUDITED", "Audit", "audit", "audit_study", "data_of"]
