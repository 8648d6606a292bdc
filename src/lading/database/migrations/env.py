"""Alembic's entry: runs the revisions on the connection that `migrations.upgrade` hands over, in its transaction."""

from alembic import context

from lading.database.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite changes a table by copying it
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
