"""How artifacts are kept: the three kinds of files, and values that stay in them until they are asked for."""
