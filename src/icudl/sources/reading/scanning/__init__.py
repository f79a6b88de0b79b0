"""Rows of a CSV event table: each is found whole, and those of wanted items are picked, before any is parsed."""
