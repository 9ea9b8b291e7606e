"""The composition root: alone builds adapters, and hands them over by constructor."""

from reelstore.bootstrap.assembly import Application, assemble
from reelstore.bootstrap.lifetime import background_of, running
from reelstore.bootstrap.metadata import DATABASE_FILE, describe, is_shared
from reelstore.bootstrap.reaching import DRIVERS

__all__ = ["DATABASE_FILE", "DRIVERS", "Application", "assemble", "background_of", "describe", "is_shared", "running"]
