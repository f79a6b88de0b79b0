"""The synthetic hospital: simulated patients whose records are written and read like real ones."""
