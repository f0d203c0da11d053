"""Enrichments over a provider that fails in every way: what it was paid is what all books say."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from temporalio.testing import ActivityEnvironment

from tests.support.books import as_sums, bill_of, books_of
from tests.support.llm_server import KEY, Fault, LlmServer
from tests.support.waiting import until
from towpath.core.checks import Checks
from towpath.core.errors import JobFaultError, JobNotActiveError, ModelError
from towpath.core.usage import Usage
from towpath.db.engine import Database
from towpath.enrichment.bodies import BatchBody, RetryBody, SingleBody
from towpath.enrichment.service.runs import EnrichmentRuns
from towpath.enrichment.service.starts import (
    EnrichmentParts,
    JobDraft,
    create_job,
    draft_batch,
    draft_retry,
    draft_single,
)
from towpath.enrichment.service.tasks import LlmTasks
from towpath.enrichment.store.records import load_job_records, load_totals
from towpath.jobs.patience import Patience
from towpath.jobs.rows import ref_of
from towpath.jobs.store.event_log import read_events
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import JobRef, PageTask
from towpath.llm import LanguageModels
from towpath.llm.gateway import LlmGateway
from towpath.llm.types import LlmConfig, ProviderConfig, WireFormat

pytestmark = pytest.mark.asyncio(loop_scope="session")
BOTH = ["openai::gpt-4o", "anthropic::claude-haiku-4-5"]
SCHEMA: dict[str, Any] = {
    "root": {
        "name": "Maker",
        "type": "object",
        "properties": {
            "name": {"type": "string", "identifying": True, "preserve": True},
            "founded": {"type": "integer", "expertise": "history"},
            "slogan": {"type": "string", "expertise": "brand"},
        },
    },
    "expertise_domains": {"history": {"name": "History"}, "brand": {"name": "Brand"}},
}
PAID = [
    Fault(content="no json"),
    Fault(content={"none": "of the fields"}),
    Fault(refusal="I cannot help with that."),
    Fault(cut=True),
]
FREE = [
    Fault(status=429, headers={"Retry-After": "0"}),
    Fault(status=500),
    Fault(status=529),
    Fault(close=True),
    Fault(status=400, message="refused"),
    Fault(status=404, message="the model is gone"),
    Fault(status=400, message="maximum context length"),
]
MAX_TRIES = 60


async def nowhere() -> str:
    raise AssertionError("nobody asked for the local model")


class Works:
    """Two workers over one database and one provider."""

    def __init__(self, database: Database, provider: LlmServer) -> None:
        self.database, self.provider = database, provider
        config = LlmConfig(
            providers={
                "openai": ProviderConfig(url=f"{provider.url}/v1", key=KEY, prices="openai"),
                "anthropic": ProviderConfig(api=WireFormat.ANTHROPIC, url=provider.url, key=KEY, prices="anthropic"),
            },
            seconds=20.0,
        )
        self.models = [LanguageModels(config, nowhere) for _ in range(2)]
        self.gateways = [LlmGateway(database, models, Patience(database, seconds=600)) for models in self.models]
        self.parts = EnrichmentParts(database, self.models[0].catalog, Checks())
        self.organization = uuid4().hex

    @property
    def bill(self) -> Usage:
        return bill_of(self.provider, self.parts.catalog)

    async def start(self, draft: JobDraft, total: int = 1) -> JobRef:
        async with self.database.transaction() as connection:
            await connection.execute(
                "INSERT INTO organizations (id, name) VALUES (%s, 'x') ON CONFLICT DO NOTHING", (self.organization,)
            )
            job = JobRow(id=uuid4(), organization=self.organization, kind=draft.kind, params=draft.params, total=total)
            await create_job(connection, job, draft, page_size=2, most=0)
        return ref_of(job)

    async def work(self, ref: JobRef) -> None:
        """Go through the pages, each tried again by one worker or the other, as Temporal does it."""
        plan = await EnrichmentRuns(self.database, self.gateways[0]).plan(ref)
        await asyncio.gather(*(self._page(PageTask(ref=ref, page=page, pages=len(plan.pages))) for page in plan.pages))

    async def _page(self, task: PageTask) -> None:
        for attempt in range(1, MAX_TRIES):
            runs = EnrichmentRuns(self.database, self.gateways[(task.page + attempt) % 2])
            try:
                await ActivityEnvironment().run(partial(runs.enrich_page, task, attempt=attempt))
            except ModelError as error:
                if not error.retryable:
                    raise
            except JobFaultError:
                return
            else:
                return
        raise AssertionError(f"page {task.page} has come to no end")

    async def retry(self, record: Any, entity: dict[str, Any]) -> JobRef:
        body = RetryBody(record_id=record, entity_data=entity)
        ref = await self.start(await draft_retry(self.parts, self.organization, body))
        for attempt in range(MAX_TRIES):
            tasks = LlmTasks(self.database, self.gateways[attempt % 2])
            try:
                await ActivityEnvironment().run(partial(tasks.retry_domains, ref))
            except ModelError as error:
                if not error.retryable:
                    raise
            else:
                return ref
        raise AssertionError("the retry has come to no end")

    async def told(self, ref: JobRef, kind: str) -> list[dict[str, Any]]:
        return [
            one.data for one in await read_events(self.database, ref.job_id, after=0, limit=5000) if one.type == kind
        ]


@pytest_asyncio.fixture(loop_scope="session")
async def works(database: Database, provider: LlmServer) -> AsyncIterator[Works]:
    made = Works(database, provider)
    yield made
    for gateway in made.gateways:
        await gateway.drain(5)
    for models in made.models:
        await models.close()


def disagree(_model: str, _prompt: str, form: dict[str, Any]) -> dict[str, Any]:
    """Say of an entity's type that it is right, and leave the rest to the server, whose models differ."""
    return {"status": "match", "confidence": 0.9} if "status" in form["properties"] else {}


def draw_faults(chance: random.Random, most: int) -> list[Fault]:
    return [chance.choice(chance.choice([PAID, FREE])) for _ in range(chance.randrange(most))]


@pytest.mark.parametrize("seed", range(16))
async def test_what_the_provider_was_paid_is_what_all_books_say(works: Works, seed: int) -> None:
    chance = random.Random(seed)
    provider = works.provider
    provider.answer = disagree
    provider.cached, provider.written = chance.choice([(0, 0), (40, 0), (30, 30)])
    provider.faults = draw_faults(chance, 40)
    models = chance.choice([BOTH, BOTH, BOTH[:1], BOTH[1:]])
    single = chance.random() < 0.25
    entities = [{"name": f"Maker {number}"} for number in range(1 if single else chance.randrange(1, 6))]
    options: dict[str, Any] = {
        "target_schema": SCHEMA,
        "models": models,
        "strategy": chance.choice(["multi_expertise", "single_pass"]),
        "arbitration_model": chance.choice([None, BOTH[0], BOTH[1]]),
        "classification_model": None if single else chance.choice([None, BOTH[1]]),
        "bypass_cache": chance.random() < 0.3,
        "max_cost_usd": chance.choice([None, None, 2.0, 0.2]),
    }
    if single:
        draft = await draft_single(
            works.parts, works.organization, SingleBody(entity_data=entities[0], **options), origin=None
        )
    else:
        draft = await draft_batch(works.parts, works.organization, BatchBody(entities=entities, **options), origin=None)
    ref = await works.start(draft, len(entities))

    await works.work(ref)

    bill, books = works.bill, await books_of(works.database, ref.job_id)
    assert books.ledger == books.job == books.records == as_sums(bill)
    assert books.reserved == 0
    totals = await load_totals(works.database, works.organization)
    assert (totals["total_cost_usd"], totals["input_tokens"], totals["output_tokens"]) == as_sums(bill)
    if options["max_cost_usd"]:
        assert books.job[0] <= options["max_cost_usd"]
    if not single:
        ends = [*await works.told(ref, "entity_completed"), *await works.told(ref, "entity_skipped")]
        assert len(ends) == len(entities)
        assert sum(end["total_cost_usd"] for end in ends) == pytest.approx(bill.usd, abs=1e-8)

    # A retry of what has failed adds to its record, and to a job of its own.
    async with works.database.transaction() as connection:
        rows = await load_job_records(connection, ref.job_id)
    record = next((row for row in rows if row.partial_success), None)
    if record is None:
        return
    provider.faults = draw_faults(chance, 6)
    retried = await works.retry(record.id, entities[record.entity_index])
    of_retry = await books_of(works.database, retried.job_id)
    more = works.bill
    assert of_retry.ledger == of_retry.job
    added = as_sums(Usage(usd=more.usd - bill.usd))[0], more.input_tokens - bill.input_tokens
    assert (of_retry.job[0], of_retry.job[1]) == added
    assert (await books_of(works.database, ref.job_id)).records == as_sums(more)


@pytest.mark.parametrize("seed", range(6))
async def test_a_cancel_in_the_middle_loses_nothing_that_was_paid(works: Works, seed: int) -> None:
    chance = random.Random(1000 + seed)
    provider = works.provider
    provider.answer = disagree
    calls, gate = chance.randrange(1, 8), threading.Event()
    provider.faults = [
        *(chance.choice(PAID) for _ in range(chance.randrange(4))), *(Fault(gate=gate) for _ in range(20)),
    ]  # fmt: skip
    entities = [{"name": f"Maker {number}"} for number in range(6)]
    body = BatchBody(
        entities=entities, target_schema=SCHEMA, models=BOTH, strategy="multi_expertise",
        max_cost_usd=chance.choice([None, 5.0]),
    )  # fmt: skip
    ref = await works.start(await draft_batch(works.parts, works.organization, body, origin=None), len(entities))
    working = asyncio.ensure_future(works.work(ref))
    await asyncio.to_thread(until, lambda: len(provider.calls) >= calls, f"{calls} calls")

    async with works.database.transaction() as connection:
        await connection.execute("UPDATE jobs SET state = 'CANCELLED' WHERE id = %s", (ref.job_id,))
    working.cancel()
    with pytest.raises((asyncio.CancelledError, JobNotActiveError)):
        await working
    gate.set()
    for gateway in works.gateways:
        await gateway.drain(30)

    books = await books_of(works.database, ref.job_id)
    assert len(provider.bill) == len(provider.calls)
    assert books.ledger == books.job == as_sums(works.bill)
    assert books.reserved == 0
    totals = await load_totals(works.database, works.organization)
    assert totals["total_cost_usd"] == books.job[0]
