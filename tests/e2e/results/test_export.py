"""`icudl export` on a trained study, run by onnxruntime beside `icudl predict`."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from command_line import icudl

from icudl.artifacts import GridDataset


@pytest.mark.skipif(importlib.util.find_spec("onnxruntime") is None, reason="the extra interop (onnxruntime) is absent")
def test_the_exported_model_gives_the_risks_of_predict(small_study: Path, tmp_path: Path) -> None:
    import onnxruntime

    train, data = (f"{node}/{next((small_study / node).iterdir()).name}" for node in ("train", "preprocess"))
    model, out = tmp_path / "model.onnx", tmp_path / "risks.parquet"
    done = icudl("export", train, "--onnx", model, "--member", "fold-1", "--store", small_study)
    assert done.stdout.strip() == str(model)
    assert "Checked with onnxruntime" in done.stderr
    icudl("predict", train, data, "--member", "fold-1", "--store", small_study, "--out", out)
    table = pl.read_parquet(out)
    grid = GridDataset.read(small_study / data)
    rows = np.searchsorted(grid.stay_ids, table["stay_id"].to_numpy())
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    (risk,) = session.run(None, {"values": grid.values[rows], "lengths": grid.lengths[rows].astype(np.int64)})
    assert np.abs(risk - table["probability"].to_numpy()).max() <= 1e-5
    threshold = float(session.get_modelmeta().custom_metadata_map["threshold"])
    assert threshold == json.loads((small_study / train / "checkpoints" / "fold-1.json").read_text())["threshold"]
    assert "no member 'fold-7'" in icudl(
        "export", train, "--onnx", model, "--member", "fold-7", "--store", small_study, check=False
    ).stderr  # fmt: skip
