"""The seam of attacks: the smallest change of a record that flips a prediction."""
