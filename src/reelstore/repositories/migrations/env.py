"""Run by Alembic, over the connection that `migrate` hands it."""

from alembic import context

from reelstore.repositories.sql.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite changes a table by making it anew
)
context.run_migrations()
