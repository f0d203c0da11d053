"""What is found out about a document once is not found out again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from tests.support.console.site import Site, who
from tests.support.extraction import SCHEMA, note_pdf, send
from towpath.db.engine import Database
from towpath.documents import DocumentReader
from towpath.documents.types import DocumentInfo, DocumentKind
from towpath.extraction.service.document_cache import DocumentCache
from towpath.extraction.types import EXTRACTION
from towpath.jobs.types import JobRef
from towpath.worker import Parts


@pytest_asyncio.fixture(loop_scope="session")
async def worker(database: Database, running_site: Site) -> AsyncIterator[Parts]:
    """The parts of a worker on the façade's database; a test calls them itself."""
    parts = Parts.make(database, running_site.state.settings)
    yield parts
    await parts.documents.close()


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were opened to be described, by the façade or by a worker."""
    names: list[str] = []
    describe = DocumentReader.describe

    async def counted(self: DocumentReader, path: Path, kind: DocumentKind, *, name: str | None = None) -> DocumentInfo:
        names.append(name or path.name)
        return await describe(self, path, kind, name=name)

    monkeypatch.setattr(DocumentReader, "describe", counted)
    return names


@pytest.fixture
def brought(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The digests of the documents that were brought to a worker's disk, or looked for there."""
    digests: list[str] = []
    path_of = DocumentCache.path_of

    async def counted(self: DocumentCache, organization: str, sha256: str) -> Path:
        digests.append(sha256)
        return await path_of(self, organization, sha256)

    monkeypatch.setattr(DocumentCache, "path_of", counted)
    return digests


def _ref(running_site: Site, data: bytes, name: str) -> JobRef:
    org = running_site.organization()
    answer: dict[str, Any] = send(org, data, name=name, schema=SCHEMA)
    return JobRef(organization=who(org), kind=EXTRACTION, job_id=UUID(answer["jobId"]))


async def test_a_pdf_is_opened_by_the_facade_and_not_again_to_be_planned(
    running_site: Site, worker: Parts, described: list[str], brought: list[str]
) -> None:
    ref = _ref(running_site, note_pdf(3), "note.pdf")
    assert len(described) == 1

    plan = await worker.extraction.open_document(ref)

    assert plan.total == 3
    assert sorted(page for share in plan.shares for page in share) == [1, 2, 3]
    assert len(described) == 1
    assert brought == []


async def test_what_only_a_worker_counts_is_counted_once_for_all_tries(
    running_site: Site, worker: Parts, described: list[str]
) -> None:
    ref = _ref(running_site, b"# Delivery note\n\nNote number: 88\n", "note.md")
    assert described == []

    first = await worker.extraction.open_document(ref)
    again = await worker.extraction.open_document(ref)

    assert first == again
    assert described == ["note.md"]
