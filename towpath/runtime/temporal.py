"""The Temporal client: where it connects, and links into the UI."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta
from urllib.parse import quote

from temporalio.client import Client, Plugin
from temporalio.envconfig import ClientConfigProfile
from temporalio.runtime import Runtime, TelemetryConfig

from towpath.runtime.settings import Settings

DEFAULT_ADDRESS = "127.0.0.1:7233"
HEARTBEAT_EVERY = timedelta(seconds=5)


def worker_runtime() -> Runtime:
    """For a worker: it tells the server of itself, so that a dead one is told from one that is busy."""
    return Runtime(telemetry=TelemetryConfig(), worker_heartbeat_interval=HEARTBEAT_EVERY)


async def connect(
    settings: Settings, *, plugins: Sequence[Plugin] = (), lazy: bool = False, runtime: Runtime | None = None
) -> Client:
    """Connect to Temporal.

    The address and namespace come from `TOWPATH_TEMPORAL_*`; TLS, API key and everything else from
    Temporal's own environment configuration (`TEMPORAL_TLS_*`, `TEMPORAL_API_KEY`, `TEMPORAL_PROFILE`, a file).

    Args:
        settings: The settings.
        plugins: The converter and sandbox that client and workers must share.
        lazy: Connect at the first call, so that the façade starts while Temporal is away.
        runtime: None: the SDK's default one.

    Raises:
        RuntimeError: Temporal cannot be reached.
    """
    profile = ClientConfigProfile.load(config_source=None, disable_file="TEMPORAL_CONFIG_FILE" not in os.environ)
    options = profile.to_client_connect_config()
    if settings.temporal_address is not None:
        options["target_host"] = settings.temporal_address
    options.setdefault("target_host", DEFAULT_ADDRESS)
    if settings.temporal_namespace != "default" or "namespace" not in options:
        options["namespace"] = settings.temporal_namespace
    return await Client.connect(**options, plugins=list(plugins), lazy=lazy, runtime=runtime)


def temporal_ui_url(settings: Settings, workflow_id: str) -> str | None:
    """The page of a workflow in the Temporal UI; None where no UI is known."""
    if settings.temporal_ui_url is None:
        return None
    base = settings.temporal_ui_url.rstrip("/")
    return f"{base}/namespaces/{settings.temporal_namespace}/workflows/{quote(workflow_id, safe='')}"
