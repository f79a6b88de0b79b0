"""Sections about one attack: what it reached, where predictions hang, single stays."""
