"""Every table there is: the schema as the models declare it, to be compared with what the migrations have made."""

from __future__ import annotations

from sqlmodel import SQLModel

import towpath.accounts.store.tables
import towpath.ai.store.tables
import towpath.documents.store.tables
import towpath.enrichment.store.tables
import towpath.entities.store.tables
import towpath.extraction.store.tables
import towpath.jobs.store.tables
import towpath.llm.store.tables
import towpath.serving.store.tables
import towpath.vectors.store.tables
import towpath.webhooks.store.tables  # noqa: F401  (each fills the metadata)

metadata = SQLModel.metadata
NOT_MODELLED = frozenset({"alembic_version"})
"""Tables without a model: this one is Alembic's own."""
