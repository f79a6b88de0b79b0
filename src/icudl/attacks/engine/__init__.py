"""Hand-written forward and backward passes of recurrent layers."""
