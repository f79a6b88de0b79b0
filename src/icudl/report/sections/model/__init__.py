"""Sections about one model: how well it predicts, for whom, how it learnt, how its options were found."""
