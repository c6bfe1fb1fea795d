"""Alembic's environment: runs the migrations on the connection it is given, in its open transaction."""

from __future__ import annotations

from alembic import context

from vestibule.store.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
