"""Models of charted values with their gaps, fitted in one call and without a gradient: trees, logistic regression."""
