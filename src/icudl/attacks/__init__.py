"""Adversarial attacks on sequence classifiers."""
