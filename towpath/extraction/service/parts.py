"""What the use cases of extraction need of the façade's process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from towpath.core.checks import Checks
from towpath.db.engine import Connection, Database
from towpath.db.tables import JobRow
from towpath.documents import DocumentReader
from towpath.llm import Catalog
from towpath.net.http import GuardedClient
from towpath.secrets.vault import Vault

Settle = Callable[[Connection, JobRow], Awaitable[None]]
"""Writes a decision, in the transaction in which the job goes on."""


@dataclass(frozen=True, slots=True)
class ExtractionParts:
    """The parts that use cases share.

    Attributes:
        database: Jobs, documents, templates, reviews.
        catalog: The language models.
        checks: Runs what keeps a processor busy beside the event loop.
        fetcher: Decides which addresses a document may come from.
        reader: Counts the pages of files.
        vault: Seals the URLs of documents.
        default_llm: The model that extracts where a request names none; auto: the server's choice.
        document_max_bytes: Size of a document, at most.
        window: Shares of a job that are read at once.
        decide: Decides the review of an organization's job: what it is given is done while the job is locked.
    """

    database: Database
    catalog: Catalog
    checks: Checks
    fetcher: GuardedClient
    reader: DocumentReader
    vault: Vault
    default_llm: str
    document_max_bytes: int
    window: int
    decide: Callable[[str, UUID, Settle], Awaitable[JobRow]]
