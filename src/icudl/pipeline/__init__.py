"""Which results a configuration has, which of them exist, and how the others come to be."""
