"""Plug-ins of an outside package for the tests of identities."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from plugin_options import ELSEWHERE, OUTSIDE_ENTRY_POINTS, OUTSIDE_PACKAGE

from icudl.plugins import load_plugin, registered
from icudl.sources.base import SourceFingerprint


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Install the outside package, and let sources that read a folder or a server find the same data everywhere."""
    folder = tmp_path_factory.mktemp("outside")
    information = folder / "icudl_outside-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: icudl-outside\nVersion: 1.0\n", "utf-8")
    (information / "entry_points.txt").write_text(OUTSIDE_ENTRY_POINTS, "utf-8")
    (folder / "icudl_outside.py").write_text(OUTSIDE_PACKAGE, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        for name in registered("icudl.sources"):
            if name not in {"synthetic", ELSEWHERE}:
                found = SourceFingerprint(digest=f"data of {name}", details={})
                patch.setattr(load_plugin("icudl.sources", name), "fingerprint", lambda *_, found=found: found)
        yield
