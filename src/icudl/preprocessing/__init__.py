"""From source tables to tensors: cohort, grid, splits, imputation, scaling."""
