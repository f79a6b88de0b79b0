"""The configuration: one TOML file, one frozen dataclass per table."""
