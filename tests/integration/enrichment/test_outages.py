"""A provider that is away: waited out, told of, and in the end the cause of what failed. Minutes pass in no time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import orjson
import pytest
import pytest_asyncio
from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from tests.support.builders import providers
from tests.support.llm_server import Fault, LlmServer
from tests.support.skipping import skipping
from towpath.accounts.types import DEFAULT_ORGANIZATION
from towpath.core.imports import import_beside_loop
from towpath.core.queues import Queue
from towpath.db.engine import Database
from towpath.enrichment.domain.schema import read_content
from towpath.enrichment.types import BATCH_ENRICHMENT, Plan, Strategy
from towpath.jobs.rows import error_of, progress_of
from towpath.jobs.store import jobs as job_store
from towpath.jobs.store.event_log import read_events
from towpath.jobs.store.staging import StagedItem, read_failures, stage_page
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import JobEvent, JobInput, JobOutcome, JobRef, JobState
from towpath.llm.models import MODULES, SDKS
from towpath.runtime.settings import Settings
from towpath.workflows.enrichment import BatchEnrichmentWorkflow

pytestmark = pytest.mark.asyncio(loop_scope="session")
MODEL, OTHER = "openai::gpt-4o", "anthropic::claude-haiku-4-5"
AWAY = {"gpt-4o": Fault(status=503, message="overloaded")}
CONTENT = {
    "root": {
        "name": "Firm",
        "type": "object",
        "description": "A firm",
        "properties": {
            "name": {"type": "string", "identifying": True, "preserve": True},
            "country": {"type": "string", "nullable": True},
        },
    }
}


@dataclass
class Waiting:
    """Workers on the server that skips time, and their provider.

    Attributes:
        back: The provider comes back when a call fails after so long; None: it does not.
        failed: When calls have failed, by the server's clock.
    """

    database: Database
    provider: LlmServer
    environment: WorkflowEnvironment
    client: Client
    back: timedelta | None = None
    failed: list[datetime] = field(default_factory=list)

    def now(self) -> datetime:
        """The clock of the patience: the server's."""
        at = activity.info().started_time
        self.failed.append(at)
        if self.back is not None and at - self.failed[0] >= self.back:
            self.provider.away = {}
        return at

    async def run(
        self, entities: int, models: list[str], *, deadline: timedelta | None = None
    ) -> tuple[JobOutcome, JobRow, list[JobEvent]]:
        """A batch to its end."""
        ref = await self._job(entities, models)
        until = None if deadline is None else await self.environment.get_current_time() + deadline
        handle = await self.client.start_workflow(
            BatchEnrichmentWorkflow.run, JobInput(ref=ref, deadline=until), id=ref.workflow_id, task_queue=Queue.ENGINE
        )
        await self._skip(handle)
        job = await job_store.get_job(self.database, ref.organization, ref.job_id)
        outcome = JobOutcome(state=job.state, progress=progress_of(job), error=error_of(job))
        return outcome, job, await read_events(self.database, ref.job_id, after=0, limit=1000)

    async def _skip(self, handle: WorkflowHandle[Any, JobOutcome]) -> None:
        """Wait for a workflow's end; the waits between two tries of an activity are skipped, never a try itself."""
        passed = 1
        while (await handle.describe()).status is WorkflowExecutionStatus.RUNNING:
            described = await handle.describe()
            for one in described.raw_description.pending_activities:
                # It is counted when the one before has failed: its own begins after the back-off.
                if one.attempt > passed:
                    passed = one.attempt
                    await self.environment.sleep(min(0.5 * 2 ** (one.attempt - 2), 60.0) + 0.1)
            await asyncio.sleep(0.005)

    async def _job(self, entities: int, models: list[str]) -> JobRef:
        plan = Plan(
            content=read_content(CONTENT), models=models, strategy=Strategy.SINGLE_PASS, languages=["en"], single=False
        )
        job = JobRow(
            id=uuid4(),
            organization=DEFAULT_ORGANIZATION,
            kind=BATCH_ENRICHMENT,
            total=entities,
            params={"schema": "Lamp", "schema_name": "Lamp", "plan": plan.model_dump(mode="json")},
        )
        items = [
            StagedItem(raw=orjson.dumps({"index": place, "data": {"name": f"Lamps {job.id} {place}"}}), uid=place + 1)
            for place in range(entities)
        ]
        async with self.database.transaction() as connection:
            await connection.execute(
                "INSERT INTO organizations (id, name) VALUES (%s, 'x') ON CONFLICT DO NOTHING", (DEFAULT_ORGANIZATION,)
            )
            await stage_page(connection, job.id, 0, 0, items)
            await job_store.create_job(connection, job)
        return JobRef(organization=job.organization, job_id=job.id, kind=job.kind)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(database: Database, loopback: LlmServer) -> AsyncIterator[Waiting]:
    # The first import of the SDKs takes seconds beside other work, and a heartbeat may be late: the first attempt would
    # be given up before it is answered, and what is counted here are answers of the provider.
    await import_beside_loop(*MODULES, *SDKS.values())
    settings = Settings(database_url=database.url, encryption_keys="x", llm_providers=providers(loopback.url))
    made: list[Waiting] = []
    async with skipping(database, settings, Queue.ENGINE, Queue.LLM, clock=lambda: made[0].now()) as (
        environment,
        client,
    ):
        made.append(Waiting(database, loopback, environment, client))
        yield made[0]


@pytest_asyncio.fixture(loop_scope="session")
async def waiting(server: Waiting, provider: LlmServer) -> Waiting:
    """Its provider as new, and nobody told to wait for it."""
    async with server.database.transaction() as connection:
        await connection.execute("DELETE FROM llm_pools")
    server.back, server.failed = None, []
    return server


def away(events: list[JobEvent]) -> list[dict[str, Any]]:
    return [event.data for event in events if event.type == "job.provider_away"]


async def test_a_provider_that_is_away_for_ten_minutes_loses_nothing_and_each_try_is_told(waiting: Waiting) -> None:
    waiting.back = timedelta(minutes=10)
    waiting.provider.away = AWAY

    outcome, job, events = await waiting.run(3, [MODEL])

    assert (outcome.state, outcome.progress.succeeded) == (JobState.COMPLETED, 3)
    assert sorted(waiting.provider.paid.values()) == [1, 1, 1]
    told = away(events)
    assert [one["attempt"] for one in told] == list(range(1, len(told) + 1))
    assert len(told) >= 10
    assert {(one["provider"], one["code"]) for one in told} == {(MODEL, "provider_unavailable")}
    assert "overloaded" in told[0]["message"]
    assert {one["since"] for one in told} == {told[0]["since"]}
    # Nothing is missing, so there is nothing to warn of.
    assert job.warnings == []


async def test_when_patience_is_over_each_item_fails_with_its_cause_and_so_does_the_job(waiting: Waiting) -> None:
    waiting.provider.away = AWAY

    outcome, job, _ = await waiting.run(2, [MODEL])

    lasted = waiting.failed[-1] - waiting.failed[0]
    assert timedelta(minutes=15) <= lasted <= timedelta(minutes=16, seconds=30)
    failures, _ = await read_failures(waiting.database, job.id, limit=10, offset=0)
    assert [one.code for one in failures] == ["provider_unavailable"] * 2
    assert all("overloaded" in one.message and "times in 15 min" in one.message for one in failures), failures
    assert outcome.state is JobState.FAILED
    assert outcome.error is not None
    assert outcome.error.message.startswith("all 2 items failed: ")
    assert "overloaded" in outcome.error.message
    assert job.fraction == 1.0


async def test_one_of_two_models_that_stays_away_is_a_warning_for_each_entity(waiting: Waiting) -> None:
    waiting.provider.away = {"claude-haiku-4-5": Fault(status=529, message="gone")}

    outcome, job, _ = await waiting.run(2, [MODEL, OTHER])

    assert outcome.progress.succeeded == 2
    assert [(one["code"], one["item"][:5]) for one in job.warnings] == [("provider_unavailable", "Lamps")] * 2
    assert all(OTHER in one["message"] and "gone" in one["message"] for one in job.warnings)


async def test_a_provider_that_asks_for_more_time_than_is_left_ends_the_call_at_once(waiting: Waiting) -> None:
    asks = Fault(status=429, headers={"Retry-After": "7200"}, message="quota")
    waiting.provider.away = {"gpt-4o": asks}

    outcome, job, _ = await waiting.run(1, [MODEL])

    assert outcome.error is not None
    assert outcome.error.code == "rate_limited"
    assert "asks to wait 120 min" in outcome.error.message
    assert len(waiting.failed) == 1
    assert job.error_message == outcome.error.message


async def test_a_deadline_that_comes_before_the_provider_ends_the_job(waiting: Waiting) -> None:
    waiting.provider.away = AWAY

    outcome, _, events = await waiting.run(1, [MODEL], deadline=timedelta(minutes=2))

    assert outcome.error is not None
    assert outcome.error.code == "DEADLINE_EXCEEDED"
    assert away(events)
    assert waiting.failed[-1] - waiting.failed[0] <= timedelta(minutes=3)
