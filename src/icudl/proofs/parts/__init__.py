"""Proofs of networks that read a record whole and in parts: what the other parts outvote, and bounds of the rest."""
