"""Pretraining: recurrent layers learn to tell charted values that are hidden from them, before they see an outcome."""
