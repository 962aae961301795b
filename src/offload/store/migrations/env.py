"""alembic's entry: migrate on the connection that ``offload.store.migrate`` opened."""

from alembic import context

from offload.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
