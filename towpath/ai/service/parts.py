"""What the use cases of AI jobs need of the façade's process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from towpath.core.checks import Checks
from towpath.db.engine import Database
from towpath.documents import DocumentReader
from towpath.jobs.event_hub import EventHub
from towpath.llm import Catalog
from towpath.secrets.vault import Vault


@dataclass(frozen=True, slots=True)
class AiParts:
    """The parts that use cases share.

    Attributes:
        database: Jobs, threads, models, connections.
        events: Tells when jobs end.
        catalog: The language models.
        checks: Runs what keeps a processor busy beside the event loop.
        reader: Reads attached files.
        vault: Seals how databases are reached.
        default_llm: The model that answers where a request names none; auto: the server's choice.
        databases_root: The folder of DuckDB files; None: there is none here.
        attachment_max_bytes: Size of an attached file, at most.
        result_days: For how many days after its end the result of a question can be read.
        max_jobs: How many jobs of an organization may be in flight; 0: any number.
    """

    database: Database
    events: EventHub
    catalog: Catalog
    checks: Checks
    reader: DocumentReader
    vault: Vault
    default_llm: str
    databases_root: Path | None
    attachment_max_bytes: int
    result_days: int
    max_jobs: Callable[[str], int]
