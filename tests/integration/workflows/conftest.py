"""One server that skips time, with the real workflows and the test's activities."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from temporalio import workflow
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import (
    Interceptor,
    Worker,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)

from tests.integration.workflows.acting import Job, Stage
from tests.support.skipping import SERVER
from towpath.core.queues import Queue
from towpath.jobs import search_attributes as attributes
from towpath.runtime.plugin import towpath_plugin
from towpath.worker import WORKFLOWS

SHORT = "short"
"""The organization whose histories are long at so few events; the server says so at some thousands."""
MANY_EVENTS = 60
BEAT = timedelta(milliseconds=50)

MakeJob = Callable[..., Job]


class _ShortInfo(workflow.Info):
    def is_continue_as_new_suggested(self) -> bool:
        return self.get_current_history_length() >= MANY_EVENTS


class _Outbound(WorkflowOutboundInterceptor):
    def info(self) -> workflow.Info:
        info = super().info()
        if not info.workflow_id.startswith(f"{SHORT}/"):
            return info
        return _ShortInfo(**{field.name: getattr(info, field.name) for field in dataclasses.fields(info)})


class _Inbound(WorkflowInboundInterceptor):
    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(_Outbound(outbound))


class ShortHistories(Interceptor):
    """Suggests continue-as-new early."""

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:
        return _Inbound


@dataclasses.dataclass(frozen=True, slots=True)
class Theatre:
    """The server, a client of it, and the activities."""

    environment: WorkflowEnvironment
    client: Client
    stage: Stage


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def skipping_server() -> AsyncIterator[Theatre]:
    """The server with a worker a queue; one a module, for where a workflow has continued as new it skips no more."""
    async with AsyncExitStack() as stack:
        server = await WorkflowEnvironment.start_time_skipping(test_server_existing_path=SERVER)
        environment = await stack.enter_async_context(server)
        keys = [attributes.ORGANIZATION, attributes.KIND, attributes.STATE]
        await environment.client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(
                namespace="default",
                search_attributes={key.name: IndexedValueType.ValueType(key.indexed_value_type) for key in keys},
            )
        )
        # A client that does not skip time by itself: it goes on in `environment.sleep` only.
        address = environment.client.service_client.config.target_host
        client = await Client.connect(address, plugins=[towpath_plugin()])
        stage = Stage()
        for queue in Queue:
            worker = Worker(
                client,
                task_queue=queue,
                workflows=WORKFLOWS if queue is Queue.ENGINE else [],
                activities=stage.serve(queue),
                interceptors=[ShortHistories()],
                # A heartbeat carries the cancel.
                max_heartbeat_throttle_interval=BEAT,
                default_heartbeat_throttle_interval=BEAT,
            )
            await stack.enter_async_context(worker)
        yield Theatre(environment, client, stage)


@pytest_asyncio.fixture(loop_scope="session")
async def make_job(skipping_server: Theatre) -> AsyncIterator[MakeJob]:
    """Makes a job that is not started; what waits in its activities goes on at the end."""
    made: list[Job] = []

    def make(**fields: Any) -> Job:
        job = Job(skipping_server.environment, skipping_server.client, **fields)
        skipping_server.stage.jobs[job.identity] = job
        made.append(job)
        return job

    yield make
    for job in made:
        await job.strike()


@pytest.fixture
def job(make_job: MakeJob) -> Job:
    """A job of three chunks, two at once."""
    return make_job()
