"""Bridges to other libraries: their models and attacks in this project, and this project's models in theirs."""
