"""A notice to a receiver as pages show it: where it is, what was tried, what is sent."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

import orjson

from towpath.core.json_values import parse_json, write_json
from towpath.net.urls import show_endpoint
from towpath.secrets.urls import shown_url
from towpath.webhooks.store.deliveries import Delivery
from towpath.webhooks.types import Attempt, DeliveryState

STATE_WORDS: dict[DeliveryState, str] = {
    DeliveryState.PENDING: "Pending",
    DeliveryState.DELIVERED: "Delivered",
    DeliveryState.FAILED: "Failed",
    DeliveryState.DISABLED: "Disabled",
}


@dataclass(frozen=True, slots=True)
class DeliveryLine:
    """One notice.

    Attributes:
        host: Whom it goes to, in short.
        body: What is sent, as JSON that people read.
        resendable: Whether it can be sent again now.
    """

    row: Delivery
    words: str
    shown: str
    host: str
    tries: list[Attempt]
    body: str
    resendable: bool


def delivery_line(row: Delivery) -> DeliveryLine:
    """A notice in words."""
    state = DeliveryState(row.state)
    shown = shown_url(row.url, show_endpoint)
    return DeliveryLine(
        row=row,
        words=STATE_WORDS[state],
        shown=shown,
        host=urlsplit(shown).netloc,
        tries=[Attempt.model_validate(one) for one in row.tries],
        body=write_json(parse_json(row.body), options=orjson.OPT_INDENT_2).decode(),
        resendable=state is not DeliveryState.PENDING,
    )
