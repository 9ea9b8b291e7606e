"""The loops that run the services: each does a bounded step, rests, and survives any error."""
