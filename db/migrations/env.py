"""Alembic's entry point. Migrations run on the connection, and in the transaction, that db.migrate opened."""

from alembic import context

from db.schema import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
context.run_migrations()
