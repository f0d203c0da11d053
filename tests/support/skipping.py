"""Workers on the Temporal server that skips time: what takes minutes or days there takes none here."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from towpath.core.queues import Queue
from towpath.db.engine import Database
from towpath.jobs import search_attributes as attributes
from towpath.jobs.patience import Clock, utc_now
from towpath.runtime.plugin import towpath_plugin
from towpath.runtime.settings import Settings
from towpath.runtime.temporal import connect
from towpath.worker import Parts, make_worker

SERVER = str(Path(sys.executable).with_name("temporal-test-server"))


@asynccontextmanager
async def skipping(
    database: Database, settings: Settings, *queues: Queue, clock: Clock = utc_now
) -> AsyncIterator[tuple[WorkflowEnvironment, Client]]:
    """Start the server with workers of some queues in this process, and stop all at the end."""
    async with AsyncExitStack() as stack:
        server = await WorkflowEnvironment.start_time_skipping(test_server_existing_path=SERVER)
        environment = await stack.enter_async_context(server)
        address = environment.client.service_client.config.target_host
        settings = settings.model_copy(update={"temporal_address": address})
        keys = [attributes.ORGANIZATION, attributes.KIND, attributes.STATE]
        await environment.client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(
                namespace="default",
                search_attributes={key.name: IndexedValueType.ValueType(key.indexed_value_type) for key in keys},
            )
        )
        parts = Parts.make(database, settings, clock=clock)
        for part in (parts.client, parts.webhook_client, parts.models, parts.fetcher, parts.documents):
            stack.push_async_callback(part.close)
        client = await connect(settings, plugins=[towpath_plugin(settings)])
        for queue in queues:
            await stack.enter_async_context(make_worker(client, queue, parts, settings))
        yield environment, client
