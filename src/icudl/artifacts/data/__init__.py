"""What the data stages hand on: the tables of a source, the cohort as hourly tensors, and the outcome."""
