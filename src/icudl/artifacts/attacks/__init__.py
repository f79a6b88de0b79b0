"""What attacks and proofs hand on: adversarial examples, their measures, certificates."""
