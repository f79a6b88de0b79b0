"""PostgreSQL: connections, and the loading of files into schemas."""
