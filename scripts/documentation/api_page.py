"""The reference of the Python interface: what ``icudl`` exports, and the seams that plug-ins are written against."""

from __future__ import annotations

import icudl

INTRODUCTION = """# Python

What `import icudl` gives, and the modules that a plug-in is written against. Everything else may change without notice.

"""

SEAMS = {
    "Data sources": "icudl.sources.base",
    "Models": "icudl.models.base",
    "Attacks": "icudl.attacks.base",
    "Executors": "icudl.execution.base",
    "Options": "icudl.options",
    "Variables": "icudl.variables",
    "Plug-ins by name": "icudl.plugins",
    "Checks and an oracle for tests": "icudl.testing",
}


def render() -> str:
    """Return the page; mkdocstrings fills it from signatures and docstrings."""
    names = [name for name in icudl.__all__ if not name.startswith("__")]
    parts = [INTRODUCTION, "## icudl\n"]
    parts += [f"::: {_home(name)}\n" for name in names]
    for title, module in SEAMS.items():
        parts.append(f"## {title}\n\n::: {module}\n    options:\n      show_root_heading: false\n")
    return "\n".join(parts)


def _home(name: str) -> str:
    value = getattr(icudl, name)
    return f"{value.__module__}.{value.__qualname__}"
