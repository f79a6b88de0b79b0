"""Clinical data sources: a database in, stays and hourly means out."""
