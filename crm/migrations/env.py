"""Alembic's entry: runs on the connection and in the transaction that `crm.database` hands over."""

from alembic import context

from crm.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
