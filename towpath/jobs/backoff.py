"""How long Temporal waits before it runs a failed activity again."""

from __future__ import annotations

from datetime import timedelta

from temporalio import activity
from temporalio.common import RetryPolicy

# The policy of calls that are paid for (`towpath/workflows/options.py`); an activity cannot read its own.
USUAL = RetryPolicy(initial_interval=timedelta(seconds=0.5), maximum_interval=timedelta(seconds=60))
TIMES_FIRST = 100
"""By so much the waits grow at the most where a policy does not bound them."""
MAX_DOUBLINGS = 60


def backoff_after(attempt: int) -> timedelta:
    """Return the wait after an attempt, counted from 1, of the running activity has failed."""
    policy = (activity.info().retry_policy if activity.in_activity() else None) or USUAL
    longest = policy.maximum_interval or policy.initial_interval * TIMES_FIRST
    seconds = policy.initial_interval.total_seconds() * policy.backoff_coefficient ** min(attempt - 1, MAX_DOUBLINGS)
    return timedelta(seconds=min(seconds, longest.total_seconds()))
