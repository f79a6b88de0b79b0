"""Charts of the page, described for its scripts to draw."""
