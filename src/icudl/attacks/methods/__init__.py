"""The attacks, one method in each file; ``attacks.base.make_attack`` finds them by name."""
