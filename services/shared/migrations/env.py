"""How Alembic runs a step: on the connection that `migrate` gives it, one transaction for all steps."""

from alembic import context

from services.shared.schema import METADATA

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=METADATA, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
