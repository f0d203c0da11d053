"""A delivery as pages show it: where it is, what was attempted, what is sent."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

import orjson

from towpath.core.json_values import write_json
from towpath.webhooks.types import DeliveryState, DeliveryView

STATE_WORDS: dict[DeliveryState, str] = {
    DeliveryState.PENDING: "Pending",
    DeliveryState.DELIVERED: "Delivered",
    DeliveryState.FAILED: "Failed",
    DeliveryState.DISABLED: "Disabled",
}


@dataclass(frozen=True, slots=True)
class DeliveryLine:
    """One delivery.

    Attributes:
        row: The delivery itself.
        words: Its state in words.
        host: Where it goes, in short.
        body: What is sent, as JSON that people read.
        resendable: Whether it can be sent again now.
    """

    row: DeliveryView
    words: str
    host: str
    body: str
    resendable: bool


def delivery_line(delivery: DeliveryView) -> DeliveryLine:
    """Return a delivery in words; it must have come with its body."""
    return DeliveryLine(
        row=delivery,
        words=STATE_WORDS[delivery.state],
        host=urlsplit(delivery.url).netloc,
        body=write_json(delivery.body, options=orjson.OPT_INDENT_2).decode(),
        resendable=delivery.state is not DeliveryState.PENDING,
    )
