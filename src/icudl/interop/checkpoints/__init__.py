"""Checkpoints for other libraries: plain torch modules and ONNX files."""
