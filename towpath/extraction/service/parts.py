"""What the use cases of extraction need of the façade's process."""

from __future__ import annotations

from dataclasses import dataclass

from towpath.core.checks import Checks
from towpath.db.engine import Database
from towpath.documents import DocumentReader
from towpath.jobs.event_hub import EventHub
from towpath.jobs.gateway import Gateway
from towpath.llm import Catalog
from towpath.net.http import GuardedClient
from towpath.secrets.vault import Vault


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
        gateway: Lets a held job go on.
        events: Tells when jobs end.
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
    gateway: Gateway
    events: EventHub
