"""Runs followed from elsewhere: what of each result a tracking server is told, and the listener that tells MLflow."""
