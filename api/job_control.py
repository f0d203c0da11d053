"""Finds a job for a caller, and moves it: the one way for every API, page and stream that has to do with jobs.

What the caller may do is decided by `domain.policy.jobs`; what a kind of job does besides stands in `api.kinds`.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from functools import partial
from uuid import UUID

from towpath.accounts.types import Principal
from towpath.api.http.idempotency import Slot
from towpath.api.http.state import AppState
from towpath.api.kinds import KINDS, Prepare
from towpath.core.errors import NotFoundError
from towpath.db.tables import JobRow
from towpath.jobs.policy import JobAction, assert_may
from towpath.jobs.store import jobs as store
from towpath.jobs.types import JobKind


async def find_job(
    state: AppState,
    caller: Principal,
    job_id: UUID,
    action: JobAction = JobAction.SEE,
    *,
    kinds: Collection[JobKind] | None = None,
) -> JobRow:
    """A job that the caller may see, or do something to.

    Args:
        state: The parts that routes use.
        caller: Who asks.
        job_id: The job.
        action: What for.
        kinds: Which kinds of job are served here; None: all.

    Raises:
        NotFoundError: It is not there, not to be seen, or of a kind that is not served here.
        Forbidden: It is seen, and not the caller's to move.
    """
    job = await store.get_job(state.db, caller.organization, job_id)
    assert_may(caller, action, job)
    if kinds is not None and job.kind not in kinds:
        raise NotFoundError(f"no job {job_id} of this kind")
    return job


async def pause(state: AppState, caller: Principal, job_id: UUID) -> JobRow:
    """Start no further chunk of a job.

    Raises:
        Conflict: It has ended, or is being cancelled.
    """
    await find_job(state, caller, job_id, JobAction.PAUSE)
    return await state.gateway.pause(caller.organization, job_id)


async def go_on(state: AppState, caller: Principal, job_id: UUID, *, prepare: Prepare | None = None) -> JobRow:
    """Let a paused job go on.

    Args:
        prepare: Runs in the same transaction, before the job goes on.

    Raises:
        Conflict: It has ended, is being cancelled, or is held for its review.
    """
    await find_job(state, caller, job_id, JobAction.CONTINUE)
    return await state.gateway.go_on(caller.organization, job_id, prepare=prepare)


async def cancel(
    state: AppState,
    caller: Principal,
    job_id: UUID,
    *,
    kinds: Collection[JobKind] | None = None,
    wait: bool = False,
) -> JobRow:
    """Stop a job; what is finished stays, and a review that waits is withdrawn.

    Args:
        kinds: Which kinds of job are served here; None: all.
        wait: Whether its end is waited for, for `TOWPATH_CANCEL_WAIT_SECONDS` at most.
    """
    known = await find_job(state, caller, job_id, JobAction.CANCEL, kinds=kinds)
    besides = KINDS[known.kind].on_cancel
    prepare = None if besides is None else partial(besides, caller)
    job = await state.gateway.cancel(caller.organization, job_id, prepare=prepare)
    if wait and not job.state.final:
        job = await state.events.wait_for_end(job, seconds=state.settings.cancel_wait_seconds)
    return job


async def restart(
    state: AppState,
    caller: Principal,
    job_id: UUID,
    *,
    slot: Slot | None = None,
    deadline: datetime | None = None,
    prepare: Prepare | None = None,
) -> JobRow:
    """Run what has not succeeded once more.

    Args:
        slot: The place of the request's `Idempotency-Key`.
        deadline: The new deadline; None: the one it has, if that is still to come.
        prepare: Runs in the same transaction; None: what the kind of job does.

    Raises:
        Conflict: It runs, and is not being cancelled.
    """
    await find_job(state, caller, job_id, JobAction.RESTART)
    return await state.gateway.restart(caller.organization, job_id, slot=slot, deadline=deadline, prepare=prepare)
