"""The stages of the pipeline: pure functions from typed inputs to typed artifacts."""
