"""The options of activities: queue, time limits, heartbeat, retries; one row each, with the reason.

| options      | queue   | attempt  | heartbeat | retries          | why                                                     |
|--------------|---------|----------|-----------|------------------|---------------------------------------------------------|
| DB_LOCAL     | engine  | 30 s     | -         | days, to 10 s    | a row or two in Postgres, local: a job must not end     |
|              | (local) |          |           |                  | because the database restarts                           |
| CHUNK        | compute | 10 min   | 6 s       | days, to 30 s    | 1 to 5 s of work, or pages of a document, each kept as  |
|              |         |          |           |                  | it is read; a killed worker is noticed within           |
|              |         |          |           |                  | 6 s and the chunk runs elsewhere; its transaction      |
|              |         |          |           |                  | makes a repeat harmless                                 |
| LONG_RUNNING | compute | 2 h      | 6 s       | days, to 60 s    | training and resolving look at a whole index            |
| LLM_CALL     | llm     | 1 h      | 6 s       | days, to 60 s    | calls of language models: each answer is kept before    |
|              |         |          |           |                  | anything else, so a repeat asks only what is missing;   |
|              |         |          |           |                  | the provider's Retry-After is followed; after 15 minutes|
|              |         |          |           |                  | (a setting) the activity counts the call as failed      |
| PAID_PAGE    | llm     | 1 h      | 6 s       | days, to 60 s    | the same, and a cancel waits for the answers that are   |
|              |         |          |           |                  | on their way: they are paid, and are to be kept         |
| WEBHOOK      | io      | 60 s     | 6 s       | days, to 60 s    | one POST of at most 15 s and two statements; what the   |
|              |         |          |           |                  | receiver answers is a result, not a failure, so only    |
|              |         |          |           |                  | the database is retried; the waits are the workflow's   |
| MAINTENANCE  | engine  | 5 min    | 6 s       | 5, to 30 s       | the reconciler comes again by its schedule anyway       |

Only transient errors are retried, for the days of a setting: the guard around every activity
(`activities/interceptor.py`) decides which those are, and when to give up.
Cancellation is TRY_CANCEL everywhere else: a cancelled job does not wait for its chunks, whose
transactions find that the job has ended and roll back. Heartbeats are sent every second.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TypedDict

from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityCancellationType

from towpath.core.queues import Queue


class LocalOptions(TypedDict):
    """Arguments of `execute_local_activity_method`."""

    start_to_close_timeout: timedelta
    retry_policy: RetryPolicy


class Options(TypedDict):
    """Arguments of `start_activity_method`."""

    task_queue: str
    start_to_close_timeout: timedelta
    heartbeat_timeout: timedelta
    retry_policy: RetryPolicy
    cancellation_type: ActivityCancellationType


def _retry_policy(max_seconds: int, attempts: int = 0) -> RetryPolicy:
    return RetryPolicy(
        initial_interval=timedelta(milliseconds=500),
        backoff_coefficient=2.0,
        maximum_interval=timedelta(seconds=max_seconds),
        maximum_attempts=attempts,
    )


DB_LOCAL = LocalOptions(start_to_close_timeout=timedelta(seconds=30), retry_policy=_retry_policy(10))

CHUNK = Options(
    task_queue=Queue.COMPUTE,
    start_to_close_timeout=timedelta(minutes=10),
    heartbeat_timeout=timedelta(seconds=6),
    retry_policy=_retry_policy(30),
    cancellation_type=ActivityCancellationType.TRY_CANCEL,
)

LONG_RUNNING = Options(
    task_queue=Queue.COMPUTE,
    start_to_close_timeout=timedelta(hours=2),
    heartbeat_timeout=timedelta(seconds=6),
    retry_policy=_retry_policy(60),
    cancellation_type=ActivityCancellationType.TRY_CANCEL,
)

LLM_CALL = Options(
    task_queue=Queue.LLM,
    start_to_close_timeout=timedelta(hours=1),
    heartbeat_timeout=timedelta(seconds=6),
    retry_policy=_retry_policy(60),
    cancellation_type=ActivityCancellationType.TRY_CANCEL,
)

PAID_PAGE = Options(
    task_queue=Queue.LLM,
    start_to_close_timeout=timedelta(hours=1),
    heartbeat_timeout=timedelta(seconds=6),
    retry_policy=_retry_policy(60),
    cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
)

WEBHOOK = Options(
    task_queue=Queue.IO,
    start_to_close_timeout=timedelta(seconds=60),
    heartbeat_timeout=timedelta(seconds=6),
    retry_policy=_retry_policy(60),
    cancellation_type=ActivityCancellationType.TRY_CANCEL,
)

MAINTENANCE = Options(
    task_queue=Queue.ENGINE,
    start_to_close_timeout=timedelta(minutes=5),
    heartbeat_timeout=timedelta(seconds=6),
    retry_policy=_retry_policy(30, attempts=5),
    cancellation_type=ActivityCancellationType.TRY_CANCEL,
)
