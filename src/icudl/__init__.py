"""ICU Deep Learning: predict death in the ICU, and find how little must change before the prediction flips."""

from __future__ import annotations

from typing import TYPE_CHECKING

from icudl.lazy import imported_on_use

__version__ = "0.2.0"

if TYPE_CHECKING:
    from icudl.config.load import load_config
    from icudl.config.schema import Config
    from icudl.errors import IcudlError
    from icudl.interop.module.attack import attack_module
    from icudl.pipeline.audit import audit
    from icudl.pipeline.run import Pipeline
    from icudl.store.base import Store, open_store

_HOMES = {
    "Config": "icudl.config.schema",
    "IcudlError": "icudl.errors",
    "Pipeline": "icudl.pipeline.run",
    "Store": "icudl.store.base",
    "attack_module": "icudl.interop.module.attack",
    "audit": "icudl.pipeline.audit",
    "load_config": "icudl.config.load",
    "open_store": "icudl.store.base",
}

__all__ = [
    "Config",
    "IcudlError",
    "Pipeline",
    "Store",
    "__version__",
    "attack_module",
    "audit",
    "load_config",
    "open_store",
]

# The command line must not wait for what it does not need.
__getattr__ = imported_on_use(__name__, _HOMES)
