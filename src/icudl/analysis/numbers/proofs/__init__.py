"""What proofs show, alone and beside attacks."""
