"""One attempt of a delivery: signed, sent through the guard, written into the log."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from towpath.core.errors import TowpathError
from towpath.core.values import make_storable
from towpath.db.engine import Database
from towpath.jobs.faults import judge, log_unforeseen
from towpath.jobs.types import DeliveryRef
from towpath.net.http import GuardedClient, PostAnswer, parse_retry_after
from towpath.net.urls import show_endpoint, without_url
from towpath.secrets.urls import open_url, shown_url
from towpath.secrets.vault import Vault
from towpath.webhooks.domain.schedule import judge_attempt
from towpath.webhooks.domain.signing import signature_headers
from towpath.webhooks.store import deliveries as store
from towpath.webhooks.types import Attempt, AttemptOutcome, AttemptTask

MAX_OVERDUE = 200
MAX_ERROR = 300
NOT_KEPT = "what the receiver says is not kept: it is at a private address"


def refusal_text(answer: PostAnswer) -> str | None:
    """Return what the log keeps of an answer that is no success; of a private address not what it says."""
    if not answer.public:
        return NOT_KEPT
    return make_storable(answer.body.decode(errors="replace"))[:MAX_ERROR] or None


class DeliverySender:
    """Makes attempts.

    Args:
        database: Deliveries and endpoints.
        client: Reaches public addresses only.
        vault: Decrypts the secrets.
    """

    def __init__(self, database: Database, client: GuardedClient, vault: Vault) -> None:
        self._database = database
        self._client = client
        self._vault = vault

    async def attempt(self, task: AttemptTask) -> AttemptOutcome:
        """Make one attempt; one that is in the log already is not made again.

        Raises:
            NotFoundError: The delivery's job was deleted.
        """
        opened = await store.open_attempt(self._database, task)
        if isinstance(opened, AttemptOutcome):
            return opened
        attempt, retry_after = await self._send(opened)
        outcome = judge_attempt(
            attempt.status,
            number=task.number,
            chance=random.random(),
            retry_after=retry_after,
            once=opened.delivery.once,
        )
        await store.save_attempt(self._database, task, attempt, outcome)
        return outcome

    async def attempt_first(self, refs: Sequence[DeliveryRef]) -> list[AttemptOutcome]:
        """Make the first attempts of several deliveries, all at once: those who answer do not wait for those who hang.

        Returns:
            What each attempt has led to, in the order of the deliveries.
        """
        return await asyncio.gather(*(self.attempt(AttemptTask(ref=ref, number=0)) for ref in refs))

    async def find_overdue(self) -> list[DeliveryRef]:
        """Find deliveries whose attempt is due and that no workflow works on."""
        return await store.find_overdue(self._database, limit=MAX_OVERDUE)

    async def _send(self, pending: store.PendingAttempt) -> tuple[Attempt, int | None]:
        """Send a delivery's body once.

        Returns:
            The attempt as the log has it, and for how many seconds the endpoint asks to be left alone.
        """
        delivery = pending.delivery
        body = delivery.body.encode()
        attempt = Attempt(at=datetime.now(UTC))
        started = time.monotonic()
        retry_after = None
        url = shown_address = shown_url(delivery.url, show_endpoint)
        try:
            url = open_url(self._vault, delivery.url)
            headers = signature_headers(
                [self._vault.open(secret) for secret in pending.secrets],
                message_id=delivery.event_id,
                timestamp=int(attempt.at.timestamp()),
                body=body,
            )
            answer = await self._client.post(url, body, {**headers, "Content-Type": "application/json"})
        except TowpathError as error:
            attempt.error = error.detail[:MAX_ERROR]
        except Exception as error:
            # One endpoint whose secret cannot be decrypted, or that breaks the client, delays no other's delivery.
            fault = judge(error)
            number = "" if fault.retryable else f" ({log_unforeseen(error, f'the delivery {delivery.id}')})"
            attempt.error = f"{fault.message[:MAX_ERROR]}{number}"
        else:
            attempt.status, retry_after = answer.status, parse_retry_after(answer.headers)
            if not 200 <= answer.status < 300:
                attempt.error = refusal_text(answer)
        if attempt.error is not None:
            # Who may read the log may not learn the endpoint's token from it.
            attempt.error = without_url(attempt.error, url, shown_address)[:MAX_ERROR]
        attempt.duration_ms = int((time.monotonic() - started) * 1000)
        return attempt, retry_after
