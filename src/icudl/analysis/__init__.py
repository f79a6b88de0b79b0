"""Measures over predictions and adversarial examples."""
