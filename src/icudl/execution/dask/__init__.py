"""Workers of a Dask cluster: jobs as tasks, the connection, and what a worker must be like."""
