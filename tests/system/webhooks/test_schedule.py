"""The whole schedule, over days, on the server that skips time; and deliveries whose worker is killed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.builders import organization, persons
from tests.support.receiver import Script, receiver
from tests.support.reconciling import until_reconciled
from tests.support.skipping import skipping
from tests.support.supervised import supervised
from towpath.accounts.types import DEFAULT_ORGANIZATION
from towpath.core.queues import Queue
from towpath.db.engine import Database
from towpath.entities.types import ENTITY_BATCH
from towpath.jobs.store import jobs as job_store
from towpath.jobs.store.ends import finish_job
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import DeliveryRef, Finish, JobRef, JobState
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.settings import Settings
from towpath.secrets.vault import Vault
from towpath.webhooks.domain.schedule import SCHEDULE
from towpath.webhooks.store.deliveries import get_delivery
from towpath.webhooks.store.endpoints import add_endpoint
from towpath.webhooks.types import DeliveryInput, DeliveryState, WebhookEvent
from towpath.workflows.webhooks import DeliveryWorkflow

KEY = "a passphrase"


async def ended_job(database: Database, url: str) -> DeliveryRef:
    """A job that has ended, with a notice for a receiver."""
    async with database.transaction() as connection:
        await connection.execute(
            "INSERT INTO organizations (id, name) VALUES (%s, 'x') ON CONFLICT DO NOTHING", (DEFAULT_ORGANIZATION,)
        )
        sealed = Vault([KEY]).seal("secret")
        await add_endpoint(connection, DEFAULT_ORGANIZATION, url, sealed, [WebhookEvent.COMPLETE])
        job = JobRow(id=uuid4(), organization=DEFAULT_ORGANIZATION, kind=ENTITY_BATCH, total=1, params={})
        await job_store.create_job(connection, job)
    ref = JobRef(organization=job.organization, job_id=job.id, kind=job.kind, attempt=1)
    finish = Finish(ref=ref, state=JobState.COMPLETED)
    first = await finish_job(database, finish)
    again = await finish_job(database, finish)
    assert first.deliveries == again.deliveries
    assert len(first.deliveries) == 1
    return first.deliveries[0]


@pytest.mark.asyncio(loop_scope="session")
async def test_the_whole_schedule_is_gone_through_and_no_try_is_made_twice(database: Database) -> None:
    with receiver() as hook:
        hook.by_path["/"] = Script(status=500)
        async with AsyncExitStack() as stack:
            settings = Settings(database_url=database.url, webhook_allowed_hosts="127.0.0.1", encryption_keys=KEY)
            environment, client = await stack.enter_async_context(skipping(database, settings, Queue.ENGINE, Queue.IO))
            ref = await ended_job(database, hook.url + "/")
            handle = await client.start_workflow(
                DeliveryWorkflow.run, DeliveryInput(ref=ref), id=ref.workflow_id, task_queue=Queue.ENGINE
            )
            description = await handle.describe()
            begun = description.start_time
            with environment.auto_time_skipping_disabled():
                hook_calls = await asyncio.to_thread(hook.wait, "/", 1)
                assert len(hook_calls) == 1
            # Two days and a half at most pass in the sleep of the clock, none here.
            for _ in range(60):
                await environment.sleep(3 * 3600)
                if (await get_delivery(database, ref.organization, ref.delivery_id)).state is not DeliveryState.PENDING:
                    break
            outcome = await handle.result()
            closed = (await handle.describe()).close_time

    assert (outcome.state, outcome.attempts) == (DeliveryState.FAILED, len(SCHEDULE) + 1)
    assert closed is not None
    days = (closed - begun).total_seconds()
    assert 0.9 * sum(SCHEDULE) <= days <= 1.1 * sum(SCHEDULE) + 60
    delivery = await get_delivery(database, ref.organization, ref.delivery_id)
    assert [attempt["number"] for attempt in delivery.attempts] == list(range(len(SCHEDULE) + 1))
    assert {attempt["status"] for attempt in delivery.attempts} == {500}
    assert len(hook.of("/")) == len(SCHEDULE) + 1
    assert len({got.headers["webhook-id"] for got in hook.of("/")}) == 1
    for attempt, wait in zip(delivery.attempts, SCHEDULE, strict=False):
        assert 0.9 * wait <= attempt["wait"] <= 1.1 * wait


@pytest.fixture(scope="module")
def stack(session_home: Path) -> Iterator[EmbeddedStack]:
    """A system of its own, because a worker is killed and a notice is lost."""
    settings = Settings(
        home=session_home / "webhook-kills", port=0, ui_port=0, workers=1, encryption_keys=KEY,
        webhook_allowed_hosts="127.0.0.1",
    )  # fmt: skip
    with supervised(settings, with_chroma=False) as running:
        yield running


def test_a_worker_killed_during_a_delivery_loses_no_notice(stack: EmbeddedStack) -> None:
    with receiver() as hook:
        org = organization(stack.api_url)
        org.call("POST", "/webhooks", 201, json={"url": hook.url + "/kept"})
        org.index()
        hook.scripts = [Script(hang=8, status=500)]
        org.done(persons(3))
        hook.wait("/kept", 1)
        stack.kill("worker-0")
        second = hook.wait("/kept", 2, seconds=90)[1]

        assert second.body == hook.of("/kept")[0].body
        while (log := org.deliveries()[0])["state"] == "PENDING":
            time.sleep(0.05)
        assert (log["state"], [one["status"] for one in log["attempts"]]) == ("DELIVERED", [200])


def test_a_notice_whose_workflow_was_never_started_is_found(stack: EmbeddedStack) -> None:
    """As when a process dies between the commit of a job's end and the start of the delivery."""

    async def forget(url: str, hook_url: str) -> DeliveryRef:
        database = Database(url)
        try:
            ref = await ended_job(database, hook_url)
            async with database.transaction() as connection:
                await connection.execute("UPDATE deliveries SET next_attempt_at = now() - interval '2 minutes'")
            return ref
        finally:
            await database.close()

    with receiver() as hook:
        asyncio.run(forget(stack.database_url, hook.url + "/lost"))
        got = until_reconciled(stack, lambda: hook.of("/lost"), "notice")

    assert len(got) == 1
