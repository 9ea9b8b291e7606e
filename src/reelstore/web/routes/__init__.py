"""The routes: each turns a request into one call of a service."""
