"""Sequence classifiers and the baselines beside them."""
