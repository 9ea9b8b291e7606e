"""The metadata in SQL: SQLite now; PostgreSQL needs a sister of `sqlite` and what `dialects` and `errors` name."""

from reelstore.repositories.sql.metadata import SqlMetadata

__all__ = ["SqlMetadata"]
