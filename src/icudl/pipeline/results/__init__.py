"""Results taken out of a store: what a reference stands for, as tables for papers and as tidy tables."""
