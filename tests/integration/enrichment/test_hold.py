"""The durable wait for a person, on the server that skips time."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.testing import WorkflowEnvironment

from tests.support.builders import Organization, organization, providers
from tests.support.llm_server import LlmServer
from towpath.core.queues import Queue
from towpath.db.engine import Database
from towpath.enrichment.types import HOLD_SECONDS
from towpath.jobs import search_attributes as attributes
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.plugin import towpath_plugin
from towpath.runtime.settings import Settings
from towpath.runtime.temporal import connect
from towpath.worker import Parts, make_worker

KEYS = [attributes.ORGANIZATION, attributes.KIND, attributes.STATE]
SERVER = str(Path(sys.executable).with_name("temporal-test-server"))
MODEL = "openai::gpt-4o"


def mismatch(_model: str, _prompt: str, form: dict[str, Any]) -> dict[str, Any]:
    return {"status": "mismatch", "confidence": 0.9} if "confidence" in form["properties"] else {}


def paused_job(url: str) -> tuple[Organization, str]:
    """A job that waits for a person."""
    org = organization(url)
    body = {"entity_data": {"name": "Orion"}, "schema_id": org.schema(), "classification_model": MODEL}
    job = org.enrich(**body)
    org.until(job, "PAUSED")
    return org, job


@pytest.mark.asyncio(loop_scope="session")
async def test_a_job_that_nobody_lets_go_on_is_cancelled_after_an_hour(
    session_home: Path, database: Database, provider: LlmServer
) -> None:
    provider.answer = mismatch
    async with AsyncExitStack() as stack:
        server = await WorkflowEnvironment.start_time_skipping(test_server_existing_path=SERVER)
        environment = await stack.enter_async_context(server)
        settings = Settings(
            home=session_home / uuid4().hex, port=0, ui_port=0, database_url=database.url, open_registration=True,
            temporal_address=environment.client.service_client.config.target_host,
            llm_providers=providers(provider.url), encryption_keys="k",
        )  # fmt: skip
        await environment.client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(
                namespace="default",
                search_attributes={key.name: IndexedValueType.ValueType(key.indexed_value_type) for key in KEYS},
            )
        )
        parts = Parts.make(database, settings)
        stack.push_async_callback(parts.client.close)
        stack.push_async_callback(parts.models.close)
        client = await connect(settings, plugins=[towpath_plugin(settings)])
        # The worker is this process's: that server knows no schedules, without which a whole one does not start.
        for queue in (Queue.ENGINE, Queue.LLM):
            await stack.enter_async_context(make_worker(client, queue, parts, settings))
        facade = await stack.enter_async_context(EmbeddedStack(settings, parts={"api"}, echo=False))

        org, job = await asyncio.to_thread(paused_job, facade.api_url)
        await environment.sleep(HOLD_SECONDS - 60)
        assert (await asyncio.to_thread(org.job, job))["state"] == "PAUSED"
        await environment.sleep(120)
        assert (await asyncio.to_thread(org.until, job))["state"] == "CANCELLED"
        last = (await asyncio.to_thread(org.messages, job))[-1]

    assert last["status"] == "cancelled"
    assert "3600" in str(last["last_error_summary"])
    assert sum(provider.paid.values()) == 1
