"""The activities of webhooks. What each does, `towpath.webhooks.service.sending` says."""

from __future__ import annotations

from temporalio import activity

from towpath.jobs.types import DeliveryRef
from towpath.webhooks.service.sending import DeliverySender
from towpath.webhooks.types import AttemptOutcome, AttemptTask, FirstAttemptsInput


class WebhookActivities:
    """The attempts of deliveries.

    Args:
        sender: Makes them.
    """

    def __init__(self, sender: DeliverySender) -> None:
        self._sender = sender

    @activity.defn(name="try_delivery")
    async def attempt_delivery(self, task: AttemptTask) -> AttemptOutcome:
        """Make one attempt; one that is in the log already is not made again."""
        return await self._sender.attempt(task)

    @activity.defn(name="try_first")
    async def make_first_attempts(self, first: FirstAttemptsInput) -> list[AttemptOutcome]:
        """Make the first attempts of all deliveries of one event at once."""
        return await self._sender.attempt_first(first.refs)

    @activity.defn(name="find_overdue")
    async def find_overdue(self) -> list[DeliveryRef]:
        """Find deliveries that no workflow works on."""
        return await self._sender.find_overdue()
