"""Sections about one attack: what it reached, what predictions depend on, single stays."""
