"""Every table there is: the schema as the models declare it, to be compared with what the migrations have made."""

from __future__ import annotations

from sqlmodel import SQLModel

import stores.account_tables
import stores.ai.tables
import stores.enrichment.tables
import stores.entities.tables
import stores.extraction.tables
import stores.tables
import stores.vectors.tables
import stores.webhooks.tables  # noqa: F401  (each fills the metadata)

metadata = SQLModel.metadata
NOT_MODELLED = frozenset({"alembic_version"})
"""Tables without a model: this one is Alembic's own."""
