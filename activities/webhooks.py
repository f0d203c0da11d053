"""One attempt of a delivery: signed, sent through the guard, written into the log."""

from __future__ import annotations

import asyncio
import random
import time
from datetime import UTC, datetime

from temporalio import activity

from towpath.core.errors import TowpathError
from towpath.core.values import make_storable
from towpath.db.engine import Database
from towpath.jobs.faults import judge as judge_error
from towpath.jobs.faults import log_unforeseen
from towpath.jobs.types import DeliveryRef
from towpath.net.http import GuardedClient, PostAnswer, parse_retry_after
from towpath.net.urls import receiver_shown, without_url
from towpath.secrets.urls import open_url, shown_url
from towpath.secrets.vault import Vault
from towpath.webhooks.domain.schedule import judge
from towpath.webhooks.domain.signing import signature_headers
from towpath.webhooks.store.deliveries import Sealed, keep_try, open_try, overdue
from towpath.webhooks.types import NoticeInput, Try, TryOutcome, TryTask

OVERDUE_AT_ONCE = 200
MAX_ERROR = 300
NOT_KEPT = "what the receiver says is not kept: it is at a private address"


def refusal_text(answer: PostAnswer) -> str | None:
    """What the log keeps of an answer that is no success; of a private address not what it says."""
    if not answer.public:
        return NOT_KEPT
    return make_storable(answer.body.decode(errors="replace"))[:MAX_ERROR] or None


class WebhookActivities:
    """Sends notices.

    Args:
        database: Deliveries and receivers.
        client: Reaches public addresses only.
        vault: Opens the secrets.
    """

    def __init__(self, database: Database, client: GuardedClient, vault: Vault) -> None:
        self._database = database
        self._client = client
        self._vault = vault

    @activity.defn(name="try_delivery")
    async def try_delivery(self, task: TryTask) -> TryOutcome:
        """Make one attempt; one that was written already is not made again."""
        return await self._try(task)

    @activity.defn(name="try_first")
    async def try_first(self, notice: NoticeInput) -> list[TryOutcome]:
        """Make the first attempts of a notice, all at once: those who answer do not wait for those who hang."""
        tasks = [TryTask(ref=ref, number=0) for ref in notice.refs]
        return await asyncio.gather(*(self._try(task) for task in tasks))

    async def _try(self, task: TryTask) -> TryOutcome:
        found = await open_try(self._database, task)
        if isinstance(found, TryOutcome):
            return found
        made, waits = await self._send(found)
        outcome = judge(
            made.status, number=task.number, chance=random.random(), retry_after=waits, once=found.delivery.once
        )
        await keep_try(self._database, task, made, outcome)
        return outcome

    async def _send(self, sealed: Sealed) -> tuple[Try, int | None]:
        delivery = sealed.delivery
        body = delivery.body.encode()
        made = Try(at=datetime.now(UTC))
        started = time.monotonic()
        waits = None
        url = shown = shown_url(delivery.url, receiver_shown)
        try:
            url = open_url(self._vault, delivery.url)
            headers = signature_headers(
                [self._vault.open(one) for one in sealed.secrets],
                message_id=delivery.event_id,
                timestamp=int(made.at.timestamp()),
                body=body,
            )
            answer = await self._client.post(url, body, {**headers, "Content-Type": "application/json"})
        except TowpathError as error:
            made.error = error.detail[:MAX_ERROR]
        except Exception as error:
            # One receiver whose secret cannot be opened, or that breaks the client, keeps no other from its notice.
            fault = judge_error(error)
            number = "" if fault.retryable else f" ({log_unforeseen(error, f'the delivery {delivery.id}')})"
            made.error = f"{fault.message[:MAX_ERROR]}{number}"
        else:
            made.status, waits = answer.status, parse_retry_after(answer.headers)
            if not 200 <= answer.status < 300:
                made.error = refusal_text(answer)
        if made.error is not None:
            # Who may read the log may not learn the receiver's token from it.
            made.error = without_url(made.error, url, shown)[:MAX_ERROR]
        made.duration_ms = int((time.monotonic() - started) * 1000)
        return made, waits

    @activity.defn(name="find_overdue")
    async def find_overdue(self) -> list[DeliveryRef]:
        """Deliveries that nobody works on."""
        return await overdue(self._database, limit=OVERDUE_AT_ONCE)
