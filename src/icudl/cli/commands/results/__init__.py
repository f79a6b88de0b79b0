"""Commands about results: list, show, compare, export, write tables and cards, clean."""
