"""How good predictions are, in all and in each hospital; what models respond to; how searches for them went."""
