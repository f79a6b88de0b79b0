"""What an attack attacks: threat models, bounds, a checkpoint bound to stays, the independent verification."""
