"""What attacks found: whom they flip, by which values, how large the changes are."""
