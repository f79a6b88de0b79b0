"""Affine forms through networks: bounds of the logit difference while values of a stay move over intervals."""
