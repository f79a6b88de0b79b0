"""Executors, and what a stage may know of the machine."""
