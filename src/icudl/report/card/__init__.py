"""Model cards: what one page says about one fitted model, and the files it is written to."""
