"""What an attempt's answer means, and when the next one is due."""

from __future__ import annotations

from towpath.webhooks.types import AttemptOutcome, DeliveryState

SCHEDULE = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""Seconds after each failed attempt: 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h."""
JITTER = 0.1
SLOWER = frozenset({429, 502, 504})
GONE = 410
MAX_WAIT = 86_400.0


def judge_attempt(
    status: int | None, *, number: int, chance: float, retry_after: int | None = None, once: bool = False
) -> AttemptOutcome:
    """Return what becomes of a delivery after an attempt.

    Args:
        status: What the endpoint answered; None: nothing.
        number: Which attempt it was, from 0.
        chance: From 0 to 1, spreads the repeats by a tenth to either side.
        retry_after: Seconds that the endpoint asked for.
        once: There is no second attempt.
    """
    if status is not None and 200 <= status < 300:
        return AttemptOutcome(state=DeliveryState.DELIVERED)
    if status == GONE:
        return AttemptOutcome(state=DeliveryState.DISABLED)
    if once or number >= len(SCHEDULE):
        return AttemptOutcome(state=DeliveryState.FAILED)
    wait = SCHEDULE[number] * (1 - JITTER + 2 * JITTER * chance)
    if status in SLOWER:
        wait *= 2
    wait = max(wait, min(float(retry_after or 0), MAX_WAIT))
    return AttemptOutcome(state=DeliveryState.PENDING, wait=wait)
