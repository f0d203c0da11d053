"""The common face of all jobs: list, look, pause, continue, cancel, restart, failed items."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from towpath.api.http.auth import Operator, Reader
from towpath.api.http.cursors import read_cursor, write_cursor
from towpath.api.http.deadlines import read_deadline
from towpath.api.http.idempotency import IdempotencyKey, slot_of
from towpath.api.http.ids import JobId
from towpath.api.http.job_views import job_view
from towpath.api.http.routing import ApiRoute
from towpath.api.http.state import State
from towpath.core.values import Moment, Offset
from towpath.jobs.types import FailurePage, JobInclude, JobKind, JobPage, JobState, JobView
from towpath.llm.costs import JobCosts, load_costs

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=ApiRoute)


@router.get("", summary="List jobs, newest first")
async def list_jobs(
    state: State,
    caller: Reader,
    kind: JobKind | None = None,
    job_state: Annotated[JobState | None, Query(alias="state")] = None,
    external_id: Annotated[str | None, Query(alias="externalId", max_length=128)] = None,
    created_after: Annotated[Moment | None, Query(alias="createdAfter")] = None,
    created_before: Annotated[Moment | None, Query(alias="createdBefore")] = None,
    include: Annotated[
        JobInclude | None,
        Query(description="`upkeep`: also the jobs that the system starts for itself. They are shown if `kind` asks."),
    ] = None,
    cursor: Annotated[str | None, Query(description="`nextCursor` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> JobPage:
    """Jobs of the caller's organisation; a page is stable while new jobs come in."""
    chosen = await state.jobs.list_newest(
        caller,
        kind=kind,
        state=job_state,
        external_id=external_id,
        created_after=created_after,
        created_before=created_before,
        before=read_cursor(cursor) if cursor else None,
        has_upkeep=include is JobInclude.UPKEEP,
        limit=limit,
    )
    return JobPage(
        jobs=[job_view(job, state.settings) for job in chosen.jobs],
        next_cursor=None if chosen.next is None else write_cursor(chosen.next),
    )


@router.get("/{jobId}", summary="One job")
async def get_job(state: State, caller: Reader, job_id: JobId) -> JobView:
    """State, progress, timings, error and links; answered from Postgres, so it works without a worker."""
    return job_view(await state.jobs.find(caller, job_id), state.settings)


@router.get("/{jobId}/failures", summary="Failed items of a job")
async def get_failures(
    state: State,
    caller: Reader,
    job_id: JobId,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Offset = 0,
) -> FailurePage:
    """Failed items by their position in the request."""
    job = await state.jobs.find(caller, job_id)
    failures = await state.jobs.load_failures(job, limit=limit, offset=offset)
    return FailurePage(failures=failures.items, total=failures.total, limit=limit, offset=offset)


@router.get("/{jobId}/costs", summary="What a job has cost")
async def get_costs(state: State, caller: Reader, job_id: JobId) -> JobCosts:
    """All that language models' providers were paid for a job, failures included, by model and purpose.

    All attempts of the job are added up. Embeddings are in `cost` of the job alone.
    """
    job = await state.jobs.find(caller, job_id)
    return await load_costs(state.db, job.id, cap=job.max_cost_usd)


@router.post("/{jobId}/pause", summary="Pause a job")
async def pause_job(state: State, caller: Operator, job_id: JobId) -> JobView:
    """Starts no further chunk; those in flight run to their end. 409 when the job has ended."""
    return job_view(await state.jobs.pause(caller, job_id), state.settings)


@router.post("/{jobId}/continue", summary="Let a paused job go on")
async def continue_job(state: State, caller: Operator, job_id: JobId) -> JobView:
    """Goes on where the pause began. 409 when the job has ended."""
    return job_view(await state.jobs.resume(caller, job_id), state.settings)


@router.post("/{jobId}/cancel", summary="Cancel a job")
async def cancel_job(state: State, caller: Operator, job_id: JobId) -> JobView:
    """Stops a job; what is finished stays. A finished job answers its state unchanged."""
    return job_view(await state.jobs.cancel(caller, job_id), state.settings)


@router.post("/{jobId}/restart", summary="Run what has not succeeded once more")
async def restart_job(
    request: Request, state: State, caller: Operator, job_id: JobId, idempotency_key: IdempotencyKey = None
) -> JobView:
    """Starts the next attempt; during a cancel it begins when the cancel has ended. 409 while the job runs.

    `Towpath-Deadline` gives it another deadline; one that has passed holds no longer.
    """
    slot = slot_of(request, caller, idempotency_key)
    job = await state.jobs.restart(caller, job_id, slot=slot, deadline=read_deadline(request))
    return job_view(job, state.settings)
