"""MIMIC-III, from files and from PostgreSQL: the rules that read it are data (``rules.toml``)."""
