"""The first screen: one sentence, one picture, the few numbers, and what to do with them."""
