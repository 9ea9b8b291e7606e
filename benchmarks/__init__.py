"""Measurements of Reelstore against references taken in the same run; README.md explains each figure."""
