"""Anybody's torch module under this project's attacks."""
