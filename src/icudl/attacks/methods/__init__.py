"""The attacks, one method a file; ``attacks.base.make_attack`` finds them by name."""
