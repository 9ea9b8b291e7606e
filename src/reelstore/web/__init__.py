"""The public HTTP API: controllers that turn requests into calls of the services, and results into answers."""
