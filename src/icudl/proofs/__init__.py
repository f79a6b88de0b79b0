"""Proofs: which predictions no single wrong value can flip, by affine forms and branch and bound."""
