"""The guard around every activity: it sends heartbeats, judges errors, and shows retries.

An activity is a plain method that raises what goes wrong. What follows is decided here, so that none can forget it: an
permanent error ends the activity with an id that the log knows; any other is tried again, is shown in the
job's row, stream and workflow each time, and counts as final after days.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from temporalio import activity
from temporalio.exceptions import ApplicationError, FailureError
from temporalio.service import RPCError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from towpath.core.errors import ErrorCode
from towpath.jobs.backoff import backoff_after
from towpath.jobs.faults import Fault, internal_message, judge, log_unforeseen, to_failure
from towpath.jobs.registry import is_kind
from towpath.jobs.service.runs import JobRuns
from towpath.jobs.types import JobRef, Retrying, RetryNotice
from towpath.jobs.waits import CURRENT_WAITS, ActivityWaits

logger = logging.getLogger("towpath.activities")

HEARTBEAT_SECONDS = 1.0
REPORT_SECONDS = 5.0
"""How long a failed attempt may take to report itself; the database may be what has failed."""
MIN_ATTEMPTS = 20
MAX_SIGNALLED_EACH = 8
"""So many failed attempts are signalled to the workflow one by one, then only powers of two: its history is bounded."""

ATTEMPT_LOST = Fault(
    ErrorCode.ATTEMPT_LOST,
    "the attempt did not tell of its end: its worker was stopped or died, its time was over, or a part was away",
    retryable=True,
)


@dataclass(frozen=True, slots=True)
class RetryBudget:
    """When a step that fails again and again is given up: both must be reached."""

    span: timedelta
    min_attempts: int


class ActivityGuard(Interceptor):
    """Makes the guard of each activity.

    Args:
        runs: Shows in a job's row what is tried again.
        retry_days: After so many days a step that fails again and again ends its job.
        min_attempts: So often it is tried at the least, however long that takes: a machine that was off has not tried.
        full_details: Whether the Temporal UI shows the messages of errors too, not their codes alone.
    """

    def __init__(
        self, runs: JobRuns, *, retry_days: float, min_attempts: int = MIN_ATTEMPTS, full_details: bool = False
    ) -> None:
        self._runs = runs
        self._full_details = full_details
        self._budget = RetryBudget(timedelta(days=retry_days), min_attempts)

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Guard(next, self._runs, self._budget, full_details=self._full_details)


class _Guard(ActivityInboundInterceptor):
    def __init__(
        self, following: ActivityInboundInterceptor, runs: JobRuns, budget: RetryBudget, *, full_details: bool
    ) -> None:
        super().__init__(following)
        self._full_details = full_details
        self._runs = runs
        self._budget = budget

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info = activity.info()
        ref = None if info.is_local else _job_of(info)
        waits = ActivityWaits(ref)
        CURRENT_WAITS.set(waits)
        # A local activity has no heartbeat.
        heartbeat = None if info.is_local else asyncio.create_task(_send_heartbeats(waits))
        try:
            if info.attempt > 1 and ref is not None:
                await self._report(lambda: self._note_lost(ref, info))
            if reason := self._reason_to_give_up(ATTEMPT_LOST, info, info.attempt - 1):
                raise _give_up(ATTEMPT_LOST, _where(info), reason)
            result = await self.next.execute_activity(input)
            if info.attempt > 1 and ref is not None:
                await self._report(lambda: self._note_recovery(ref, info))
            return result
        except FailureError:
            raise
        except Exception as error:
            raise await self._failure(error, ref, info) from None
        finally:
            if heartbeat is not None:
                heartbeat.cancel()

    async def _failure(self, error: Exception, ref: JobRef | None, info: activity.Info) -> FailureError:
        fault = judge(error)
        where = _where(info)
        if fault.retryable and (reason := self._reason_to_give_up(fault, info, info.attempt)):
            return _give_up(fault, where, reason)
        if fault.retryable:
            logger.warning("%s is tried again: %s", where, fault.message)
            if ref is not None:
                await self._report(lambda: self._note_retry(ref, info, fault))
            return to_failure(fault, fault.message, retryable=True)
        if fault.known:
            return to_failure(fault, fault.message, retryable=False)
        return to_failure(fault, internal_message(error, log_unforeseen(error, where)), retryable=False)

    def _reason_to_give_up(self, fault: Fault, info: activity.Info, failed: int) -> str | None:
        """Return why a step is given up after so many failed attempts; None: it is not."""
        if fault.tries is not None and failed >= fault.tries:
            return f"tried {failed} times"
        since = datetime.now(UTC) - info.scheduled_time
        if since > self._budget.span and failed >= self._budget.min_attempts:
            return f"tried {failed} times in {_days(since)}"
        return None

    async def _note_retry(self, ref: JobRef, info: activity.Info, fault: Fault) -> None:
        delay = timedelta(seconds=fault.retry_after) if fault.retry_after else backoff_after(info.attempt)
        retry = Retrying(
            activity=info.activity_type,
            attempt=info.attempt,
            message=fault.message,
            code=fault.code,
            next_attempt_at=datetime.now(UTC) + delay,
        )
        if await self._runs.note_retry(ref, info.activity_id, retry):
            await self._signal(info, retry)

    async def _note_lost(self, ref: JobRef, info: activity.Info) -> None:
        retry = Retrying(
            activity=info.activity_type,
            attempt=info.attempt - 1,
            message=ATTEMPT_LOST.message,
            code=ATTEMPT_LOST.code,
            next_attempt_at=datetime.now(UTC),
        )
        if await self._runs.note_lost(ref, info.activity_id, retry):
            await self._signal(info, retry)

    async def _note_recovery(self, ref: JobRef, info: activity.Info) -> None:
        await self._runs.clear_retry(ref, info.activity_id)
        await self._signal(info, None)

    async def _signal(self, info: activity.Info, retry: Retrying | None) -> None:
        if info.workflow_id is None:
            return
        if retry is not None and retry.attempt > MAX_SIGNALLED_EACH and retry.attempt & (retry.attempt - 1):
            return
        notice = RetryNotice(
            activity=info.activity_type,
            key=info.activity_id,
            attempt=0 if retry is None else retry.attempt,
            # A message may name a file or a host of the user; the row shows it to those who may read the job.
            message="" if retry is None else retry.message[:500] if self._full_details else retry.code,
        )
        handle = activity.client().get_workflow_handle(info.workflow_id, run_id=info.workflow_run_id)
        # One that has ended meanwhile needs no signal.
        with suppress(RPCError):
            await handle.signal("retrying", notice, rpc_timeout=timedelta(seconds=REPORT_SECONDS))

    @staticmethod
    async def _report(step: Callable[[], Awaitable[None]]) -> None:
        """Report a retry; that this fails too, as it does when the database is away, changes nothing else."""
        try:
            async with asyncio.timeout(REPORT_SECONDS):
                await step()
        except Exception as error:
            logger.warning("a retry could not be shown: %s", judge(error).message)


def _where(info: activity.Info) -> str:
    return f"{info.activity_type}, attempt {info.attempt} of {info.workflow_id}"


def _give_up(fault: Fault, where: str, reason: str) -> ApplicationError:
    logger.error("%s is given up: %s; %s", where, fault.message, reason)
    return to_failure(fault, f"{fault.message} ({reason})", retryable=False)


async def _send_heartbeats(waits: ActivityWaits) -> None:
    while True:
        activity.heartbeat(*waits.details)
        await asyncio.sleep(HEARTBEAT_SECONDS)


def _job_of(info: activity.Info) -> JobRef | None:
    """Return the run whose workflow has scheduled the activity; None: it is no job's workflow."""
    parts = (info.workflow_id or "").split("/")
    if len(parts) != 3 or not is_kind(parts[1]):
        return None
    job_id, _, attempt = parts[2].partition(".")
    return JobRef(organization=parts[0], kind=parts[1], job_id=UUID(job_id), attempt=int(attempt))


def _days(span: timedelta) -> str:
    return f"{span / timedelta(days=1):.1f} days"
