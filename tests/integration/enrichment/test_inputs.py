"""From the plan to the last attempt of a page, an enrichment's plan and source files are read once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from uuid import UUID, uuid4

import pytest
from temporalio.testing import ActivityEnvironment

from towpath.core.checks import Checks
from towpath.core.errors import ModelError
from towpath.db.engine import Database
from towpath.enrichment.bodies import SingleBody
from towpath.enrichment.service.runs import EnrichmentRuns
from towpath.enrichment.service.starts import EnrichmentParts, create_job, draft_single
from towpath.jobs.patience import Patience
from towpath.jobs.rows import ref_of
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import PageTask
from towpath.llm import LanguageModels
from towpath.llm.gateway import LlmGateway
from towpath.llm.store.attachments import add_attachments
from towpath.llm.store.tables import AttachmentRow
from towpath.llm.types import ImagePart, LlmConfig, ProviderConfig

NOBODY = ProviderConfig(url="http://127.0.0.1:9/v1", key="k")
SCHEMA = {"root": {"name": "Maker", "type": "object", "properties": {"founded": {"type": "integer"}}}}


async def no_local_model() -> str:
    raise RuntimeError("there is none")


class CountingGateway(LlmGateway):
    """Counts how often source files are read."""

    reads = 0

    async def sources(self, organization: str, ids: Sequence[UUID]) -> tuple[list[str], list[ImagePart]]:
        self.reads += 1
        return await super().sources(organization, ids)


@pytest.mark.asyncio(loop_scope="session")
async def test_a_job_reads_its_source_files_once(database: Database) -> None:
    organization = uuid4().hex
    file = AttachmentRow(
        organization=organization, filename="a.txt", media_type="text/plain", mode="text", size_bytes=1, sha256="x",
        content="a",
    )  # fmt: skip
    async with database.transaction() as connection:
        await connection.execute("INSERT INTO organizations (id, name) VALUES (%s, 'x')", (organization,))
    await add_attachments(database, [file])
    models = LanguageModels(LlmConfig(providers={"openai": NOBODY}), no_local_model)
    gateway = CountingGateway(database, models, Patience(database, seconds=600))
    body = SingleBody(
        entity_data={"name": "Orion"}, target_schema=SCHEMA, models=["openai::gpt-4o"], attachment_ids=[file.id]
    )
    draft = await draft_single(EnrichmentParts(database, models.catalog, Checks()), organization, body, origin=None)
    job = JobRow(id=uuid4(), organization=organization, kind=draft.kind, params=draft.params, total=1)
    async with database.transaction() as connection:
        await create_job(connection, job, draft, page_size=10, most=0)
    runs, ref = EnrichmentRuns(database, gateway), ref_of(job)

    plan = await runs.plan(ref)
    await runs.check_type(ref, attempt=1)
    for attempt in (1, 2):
        # Nobody answers there: the provider is waited for, and the page is tried again.
        with pytest.raises(ModelError) as raised:
            await ActivityEnvironment().run(
                partial(runs.enrich_page, PageTask(ref=ref, page=plan.pages[0], pages=1), attempt=attempt)
            )
        assert raised.value.retryable
    await models.close()

    assert gateway.reads == 1
