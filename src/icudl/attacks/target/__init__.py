"""Targets of attacks: threat models with their bounds, checkpoints bound to stays, the verification of examples."""
