"""Targets of attacks: threat models with their bounds, checkpoints bound to stays, the check of what attacks claim."""
