"""What is done with deliveries beside their queueing: sending one again."""

from __future__ import annotations

import logging
from uuid import UUID

from temporalio.client import Client
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from towpath.accounts.types import Principal
from towpath.core.queues import Queue
from towpath.db.engine import Database
from towpath.jobs import search_attributes as attributes
from towpath.jobs.gateway import RPC_TIMEOUT, Gateway
from towpath.jobs.service import JobService
from towpath.jobs.types import DeliveryRef
from towpath.webhooks.store import deliveries as store
from towpath.webhooks.types import DELIVERY, DeliveryInput

logger = logging.getLogger(__name__)


class WebhookService:
    """The use cases of deliveries.

    Args:
        database: Where they are.
        client: Temporal.
        gateway: Waits at the shutdown for the starts that are under way.
        jobs: Says which jobs a caller sees.
    """

    def __init__(self, database: Database, client: Client, gateway: Gateway, jobs: JobService) -> None:
        self._database = database
        self._client = client
        self._gateway = gateway
        self._jobs = jobs

    async def find(self, caller: Principal, delivery_id: UUID) -> store.Delivery:
        """Find a delivery whose job the caller sees: its body has what the job has brought.

        Raises:
            NotFoundError: It is not there, or tells of a job that the caller may not see.
        """
        row = await store.get_delivery(self._database, caller.organization, delivery_id)
        await self._jobs.find(caller, row.job_id)
        return row

    async def resend(self, caller: Principal, delivery_id: UUID) -> None:
        """Begin a delivery once more.

        Raises:
            NotFoundError: It is not there, or tells of a job that the caller may not see.
            ConflictError: It is on its way.
        """
        await self.find(caller, delivery_id)
        row = await store.begin_resend(self._database, caller.organization, delivery_id)
        self.deliver_soon(row.ref)

    def deliver_soon(self, ref: DeliveryRef) -> None:
        """Start a delivery without making the caller wait; one that cannot be started waits for the reconciler."""
        self._gateway.run_soon(self._deliver(ref))

    async def _deliver(self, ref: DeliveryRef) -> None:
        try:
            await self._client.start_workflow(
                DELIVERY,
                DeliveryInput(ref=ref),
                id=ref.workflow_id,
                task_queue=Queue.ENGINE,
                search_attributes=TypedSearchAttributes(
                    [
                        SearchAttributePair(attributes.ORGANIZATION, ref.organization),
                        SearchAttributePair(attributes.KIND, DELIVERY),
                    ]
                ),
                static_summary="tells a receiver of a job's end, once more",
                rpc_timeout=RPC_TIMEOUT,
            )
        except (RPCError, RuntimeError, WorkflowAlreadyStartedError) as error:
            logger.warning("delivery %s waits for the reconciler: %s", ref.delivery_id, error)
