"""Exact answers about models of charted values: trees and logistic regression by their break points."""
