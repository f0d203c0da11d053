"""The embedded Temporal server: what the dev server does not do by itself, and how a client finds a server."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client

from tests.support.settings import settings_for
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.embedded.stack import ROOT
from towpath.runtime.embedded.temporal_server import SEARCH_ATTRIBUTES, find_binary
from towpath.runtime.temporal import connect, temporal_ui_url


async def search_attributes(client: Client) -> set[str]:
    found = await client.operator_service.list_search_attributes(ListSearchAttributesRequest(namespace="default"))
    return set(found.custom_attributes)


async def test_closed_workflows_are_kept_for_the_days_that_the_setting_says(running: EmbeddedStack) -> None:
    client = await Client.connect(running.temporal_address)

    found = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace="default"))

    assert found.config.workflow_execution_retention_ttl.ToTimedelta() == timedelta(days=30)


async def test_search_attributes_are_registered(running: EmbeddedStack) -> None:
    client = await Client.connect(running.temporal_address)

    assert set(SEARCH_ATTRIBUTES) <= await search_attributes(client)


async def test_search_attributes_are_registered_on_a_file_made_without_them(
    make_stack: Callable[..., EmbeddedStack], home: Path
) -> None:
    stack = make_stack("temporal")
    port = stack.home.port("temporal_port", 0, "127.0.0.1")
    command = [find_binary(), "server", "start-dev", "--headless", "--port", str(port), "--log-level", "never"]
    command += ["--db-filename", str(home / "temporal.db")]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        async with asyncio.timeout(30):
            while True:
                try:
                    client = await Client.connect(f"127.0.0.1:{port}")
                    assert not set(SEARCH_ATTRIBUTES) & await search_attributes(client)
                    break
                except RuntimeError:
                    await asyncio.sleep(0.1)
    finally:
        server.terminate()
        server.wait(30)

    async with stack:
        assert set(SEARCH_ATTRIBUTES) <= await search_attributes(await Client.connect(stack.temporal_address))


async def test_a_client_connects_by_the_setting(running: EmbeddedStack, tmp_path: Path) -> None:
    client = await connect(settings_for(tmp_path, temporal_address=running.temporal_address))

    assert client.namespace == "default"
    assert await client.service_client.check_health()


async def test_tls_and_api_key_come_from_temporals_own_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPORAL_API_KEY", "secret")
    monkeypatch.setenv("TEMPORAL_NAMESPACE", "mine.a2b3c")

    client = await connect(settings_for(tmp_path, temporal_address="cloud.invalid:7233"), lazy=True)

    assert client.config()["namespace"] == "mine.a2b3c"
    assert client.service_client.config.api_key == "secret"
    assert client.service_client.config.target_host == "cloud.invalid:7233"


async def test_children_of_the_embedded_server_do_not_see_the_key_of_another(
    make_stack: Callable[..., EmbeddedStack], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPORAL_API_KEY", "secret")
    stack = make_stack("temporal")
    async with stack:
        child = await stack._run_ours("probe", ["sleep", "30"])
        environment = Path(f"/proc/{child.pid}/environ")
        if environment.exists():
            assert b"TEMPORAL_API_KEY" not in environment.read_bytes().replace(b"TOWPATH_TEMPORAL", b"")


def test_a_link_into_the_ui_quotes_the_slashes_of_a_workflow_id(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, temporal_ui_url="http://127.0.0.1:8233/")

    url = temporal_ui_url(settings, "acme/entity-batch/1.1")

    assert url == "http://127.0.0.1:8233/namespaces/default/workflows/acme%2Fentity-batch%2F1.1"


def test_without_a_ui_there_is_no_link(tmp_path: Path) -> None:
    assert temporal_ui_url(settings_for(tmp_path), "any") is None


def test_the_checkout_is_where_the_children_start() -> None:
    assert (ROOT / "worker.py").exists()
    assert os.access(ROOT, os.R_OK)
