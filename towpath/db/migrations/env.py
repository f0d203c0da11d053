"""Alembic's entry: runs the migrations on the connection that `stores.migrate` hands over."""

from __future__ import annotations

from alembic import context
from sqlmodel import SQLModel

import towpath.db.tables  # noqa: F401  (fills SQLModel.metadata)

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=SQLModel.metadata)
with context.begin_transaction():
    context.run_migrations()
