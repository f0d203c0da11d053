"""Deliveries: the log of what was sent, and sending one again."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from temporalio.client import Client
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from towpath.accounts.types import Principal
from towpath.core.json_values import parse_json
from towpath.core.queues import Queue
from towpath.db.engine import Database
from towpath.jobs import search_attributes as attributes
from towpath.jobs.gateway import RPC_TIMEOUT, Gateway
from towpath.jobs.policy import seer_of
from towpath.jobs.service import JobService
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import DeliveryRef
from towpath.secrets.vault import Vault
from towpath.webhooks.service.endpoints import address_for
from towpath.webhooks.store import deliveries as store
from towpath.webhooks.types import DELIVERY, Attempt, DeliveryInput, DeliveryState, DeliveryView

logger = logging.getLogger(__name__)

Position = tuple[datetime, UUID]
"""A place in the log, between two deliveries."""


@dataclass(frozen=True, slots=True)
class LogPage:
    """A page of the log, newest first.

    Attributes:
        deliveries: Its deliveries.
        next_before: The position at which the next page begins; None: this is the last.
    """

    deliveries: list[DeliveryView]
    next_before: Position | None


class DeliveryService:
    """The use cases of deliveries.

    Args:
        database: Where they are.
        vault: Decrypts the URLs of endpoints.
        jobs: Says which jobs a caller sees.
        client: Temporal.
        gateway: Waits at the shutdown for the starts that are under way.
    """

    def __init__(self, database: Database, vault: Vault, jobs: JobService, client: Client, gateway: Gateway) -> None:
        self._database = database
        self._vault = vault
        self._jobs = jobs
        self._client = client
        self._gateway = gateway

    async def list_page(
        self,
        caller: Principal,
        *,
        job_id: UUID | None,
        state: DeliveryState | None,
        before: Position | None,
        limit: int,
        with_body: bool = False,
        whole_urls: bool = True,
    ) -> LogPage:
        """List deliveries of the jobs that the caller sees, newest first.

        Args:
            caller: Who looks.
            job_id: Only those of this job.
            state: Only those in this state.
            before: Where the page before has ended.
            limit: The most deliveries.
            with_body: Whether each comes with what is sent.
            whole_urls: Whether who may change endpoints sees the whole of their URLs.
        """
        rows = await store.list_deliveries(
            self._database,
            caller.organization,
            job_id=job_id,
            state=state,
            seer=seer_of(caller),
            before=before,
            limit=limit + 1,
        )
        last = rows[limit - 1] if len(rows) > limit else None
        return LogPage(
            [self._view(caller if whole_urls else None, row, with_body=with_body) for row in rows[:limit]],
            None if last is None else (last.created_at, last.id),
        )

    async def list_of_job(self, job: JobRow, *, limit: int) -> list[DeliveryView]:
        """List the newest deliveries of a job that the caller sees, with what is sent, and with hosts for URLs."""
        rows = await store.list_deliveries(
            self._database, job.organization, job_id=job.id, state=None, seer=None, before=None, limit=limit
        )
        return [self._view(None, row, with_body=True) for row in rows]

    async def read(self, caller: Principal, delivery_id: UUID) -> DeliveryView:
        """Return a delivery whose job the caller sees, with what is sent: the body has what the job has brought.

        Raises:
            NotFoundError: It is not there, or reports a job that the caller may not see.
        """
        row = await store.get_delivery(self._database, caller.organization, delivery_id)
        if row.job_id is not None:
            await self._jobs.find(caller, row.job_id)
        return self._view(caller, row, with_body=True)

    async def begin_resend(self, caller: Principal, delivery_id: UUID) -> tuple[DeliveryView, DeliveryRef]:
        """Begin a delivery once more; it is to be started by `deliver_soon` after the commit.

        Returns:
            The delivery, without what may be a secret in its URL: the answer may be kept. And the run that begins.

        Raises:
            NotFoundError: It is not there.
            ConflictError: It is on its way.
        """
        row = await store.begin_resend(self._database, caller.organization, delivery_id)
        return self._view(None, row, with_body=True), row.ref

    async def resend(self, caller: Principal, delivery_id: UUID) -> None:
        """Send a delivery once more.

        Raises:
            NotFoundError: It is not there, or reports a job that the caller may not see.
            ConflictError: It is on its way.
        """
        await self.read(caller, delivery_id)
        _, ref = await self.begin_resend(caller, delivery_id)
        self.deliver_soon(ref)

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

    def _view(self, viewer: Principal | None, row: store.Delivery, *, with_body: bool) -> DeliveryView:
        return DeliveryView(
            id=row.id,
            job_id=row.job_id,
            webhook_id=row.webhook_id,
            url=address_for(self._vault, viewer, row.url),
            event=row.event,
            event_id=row.event_id,
            state=row.state,
            attempts=[Attempt.model_validate(attempt) for attempt in row.attempts],
            next_attempt_at=row.next_attempt_at,
            created_at=row.created_at,
            body=parse_json(row.body) if with_body else None,
        )
