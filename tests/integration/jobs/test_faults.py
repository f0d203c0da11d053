"""What an error means is the same for every way an activity is run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from temporalio import activity, workflow
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from tests.support.faults import FINAL, PASSING
from towpath.activities.interceptor import ActivityGuard
from towpath.db.engine import Database
from towpath.jobs.service.runs import JobRuns
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.plugin import towpath_plugin

with workflow.unsafe.imports_passed_through():
    from towpath.workflows import options

KINDS = {**FINAL, **PASSING}


class Probe:
    """Raises an error of a kind in the first two attempts."""

    @activity.defn(name="probe")
    async def probe(self, kind: str) -> int:
        attempt = activity.info().attempt
        if attempt <= 2:
            raise KINDS[kind]()
        return attempt


@workflow.defn(name="probe", sandboxed=False)
class ProbeWorkflow:
    """Runs the probe with a row of the table of options."""

    @workflow.run
    async def run(self, row: str, kind: str) -> int:
        chosen: dict[str, Any] = dict(getattr(options, row))
        if "task_queue" not in chosen:
            return int(await workflow.execute_local_activity("probe", kind, result_type=int, **chosen))
        chosen["task_queue"] = workflow.info().task_queue
        return int(await workflow.execute_activity("probe", kind, result_type=int, **chosen))


ROWS = [name for name in vars(options) if name.isupper()]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def probing(parts: EmbeddedStack, database: Database) -> AsyncIterator[tuple[Client, str]]:
    client = await Client.connect(parts.temporal_address, plugins=[towpath_plugin()])
    queue = f"probe-{uuid4()}"
    guard = ActivityGuard(JobRuns(database), retry_days=3)
    async with Worker(
        client, task_queue=queue, workflows=[ProbeWorkflow], activities=[Probe().probe], interceptors=[guard]
    ):
        yield client, queue


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def impatient(parts: EmbeddedStack, database: Database) -> AsyncIterator[tuple[Client, str]]:
    """The same with a worker that gives up at the second try."""
    client = await Client.connect(parts.temporal_address, plugins=[towpath_plugin()])
    queue = f"probe-{uuid4()}"
    guard = ActivityGuard(JobRuns(database), retry_days=1e-9, min_attempts=2)
    async with Worker(
        client, task_queue=queue, workflows=[ProbeWorkflow], activities=[Probe().probe], interceptors=[guard]
    ):
        yield client, queue


async def run(probing: tuple[Client, str], row: str, kind: str) -> int:
    client, queue = probing
    return int(
        await client.execute_workflow(
            "probe", args=[row, kind], id=f"probe-{uuid4()}", task_queue=queue, result_type=int,
            execution_timeout=timedelta(seconds=60),
        )
    )  # fmt: skip


async def test_an_error_that_never_passes_is_final_after_the_days_of_the_setting(
    impatient: tuple[Client, str],
) -> None:
    with pytest.raises(WorkflowFailureError) as caught:
        await run(impatient, "CHUNK", "network")

    cause = caught.value.cause.__cause__
    assert isinstance(cause, ApplicationError)
    assert (cause.type, cause.non_retryable) == ("UNAVAILABLE", True)
    assert "tried 2 times in 0.0 days" in cause.message


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("kind", ["index", "value", "data of postgres", "our job fault"])
async def test_with_every_option_a_final_error_ends_the_activity_at_once(
    row: str, kind: str, probing: tuple[Client, str]
) -> None:
    with pytest.raises(WorkflowFailureError) as caught:
        await run(probing, row, kind)

    cause: BaseException | None = caught.value.cause
    while cause is not None and cause.__cause__ is not None:
        cause = cause.__cause__
    assert isinstance(cause, ApplicationError)
    assert cause.type == ("INDEX_DROPPED" if kind == "our job fault" else "INTERNAL")
    assert cause.non_retryable


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("kind", ["postgres away", "network", "our part away"])
async def test_with_every_option_a_passing_error_is_waited_out(
    row: str, kind: str, probing: tuple[Client, str]
) -> None:
    assert await run(probing, row, kind) == 3
