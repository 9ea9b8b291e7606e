"""Reelstore: a distributed video storage system."""

__version__ = "0.1.0"
