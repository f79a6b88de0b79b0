"""Fitting and scoring of models."""
