"""Scores of predictions: metrics, intervals, calibration, decision thresholds."""
