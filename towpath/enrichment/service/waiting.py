"""Calls that wait for their job: its result as one answer, or the error that their users know."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from towpath.core.errors import (
    ContextTooLongError,
    ErrorCode,
    ModelError,
    ModelRetiredError,
    ModelTimeoutError,
    PaymentRequiredError,
    RateLimitedError,
    TowpathError,
)
from towpath.db.engine import Database
from towpath.enrichment.bodies import PROFILE_LIMITS, SyncBody
from towpath.enrichment.params import TypeCheckParams
from towpath.enrichment.service.results import (
    EntityResults,
    count_milliseconds,
    job_result,
    results_of_single,
    single_result,
)
from towpath.enrichment.store.records import load_job_records
from towpath.enrichment.store.tables import RecordRow
from towpath.jobs.event_hub import EventHub
from towpath.jobs.params import params_of
from towpath.jobs.store.jobs import get_job
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import JobState

ERRORS: dict[str, type[TowpathError]] = {
    ErrorCode.RATE_LIMITED: RateLimitedError,
    ErrorCode.CONTEXT_TOO_LONG: ContextTooLongError,
    ErrorCode.MODEL_RETIRED: ModelRetiredError,
    ErrorCode.PROVIDER_TIMEOUT: ModelTimeoutError,
    ErrorCode.COST_LIMIT: PaymentRequiredError,
}


class JobCancelledError(TowpathError):
    """499: the job was cancelled while somebody waited for it."""

    status = 499
    title = "Client Closed Request"
    default_code = ErrorCode.CANCELLED


class WrongTypeError(TowpathError):
    """422: the entity is not what the schema is for."""

    status = 422
    title = "Unprocessable Content"
    default_code = ErrorCode.CLASSIFICATION

    def __init__(self, detail: str, classification: dict[str, Any]) -> None:
        super().__init__(detail)
        self.extra = {"classification": classification}


async def wait_for_enrichment(
    database: Database,
    events: EventHub,
    cancel: Callable[[str, UUID], Awaitable[object]],
    organization: str,
    job_id: UUID,
    body: SyncBody,
) -> dict[str, Any]:
    """Wait for a job of one entity.

    Args:
        database: Where the job is.
        events: Says when the job has moved.
        cancel: Cancels a job: one that would wait for a person has nobody to wait for, and one that takes too long
            where the caller asks for it.
        organization: Whose job.
        job_id: The job.
        body: How long to wait, and what to answer.

    Raises:
        TowpathError: It failed, was cancelled, takes too long, or waits for a person.
    """
    job = await get_job(database, organization, job_id)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(body.timeout_seconds), events.subscribed(job_id) as news:
            while not (job := await get_job(database, organization, job_id)).state.final:
                if _is_held(job):
                    break
                await news.wait()
                news.clear()
    if _is_held(job):
        await cancel(organization, job_id)
        classification = params_of(job, TypeCheckParams).classification
        assert classification is not None, "a job is held after the check of its type"
        raise WrongTypeError(
            f"the entity is no {classification.expected_type}: {classification.reasoning}",
            classification.model_dump(mode="json"),
        )
    if not job.state.final:
        late = f"not finished within {body.timeout_seconds:g} s"
        if body.cancel_on_timeout:
            await cancel(organization, job_id)
            raise ModelTimeoutError(f"{late}; the job was cancelled: {job_id}")
        raise ModelTimeoutError(f"{late}; the job goes on: /api/enrichment/jobs/{job_id}/status")
    async with database.transaction() as connection:
        rows = await load_job_records(connection, job_id)
    if job.state is not JobState.COMPLETED:
        raise _error_of(job, rows)
    return _answer_of(job, results_of_single(job, rows), body)


async def wait_for_task(
    database: Database, events: EventHub, organization: str, job_id: UUID, *, seconds: float
) -> dict[str, Any]:
    """Wait for a job that makes or changes a schema.

    Raises:
        ModelTimeoutError: It takes longer.
        ModelError: It failed or was cancelled.
    """
    job = await get_job(database, organization, job_id)
    job = await events.wait_for_end(job, seconds=seconds)
    if not job.state.final:
        raise ModelTimeoutError(f"not finished within {seconds:g} s; the job goes on: {job_id}")
    if job.state is not JobState.COMPLETED:
        raise ModelError(job.error_message or f"the job is {job.state}")
    return await job_result(database, job)


async def wait_for_merge(
    database: Database, events: EventHub, organization: str, job_id: UUID, *, seconds: float
) -> dict[str, Any]:
    """Wait for a job that fuses records.

    Raises:
        ModelError: It takes longer, failed or was cancelled.
    """
    job = await events.wait_for_end(await get_job(database, organization, job_id), seconds=seconds)
    if job.state is not JobState.COMPLETED:
        raise ModelError(job.error_message or f"the merge is {job.state}; its job is {job_id}")
    return {"job_id": str(job_id), **await job_result(database, job)}


def _is_held(job: JobRow) -> bool:
    return job.state is JobState.PAUSED and params_of(job, TypeCheckParams).classification is not None


def _error_of(job: JobRow, rows: list[RecordRow]) -> TowpathError:
    if job.state is JobState.CANCELLED:
        return JobCancelledError(job.error_message or "the job was cancelled")
    failed = next((row for row in rows if row.error_code), None)
    code = failed.error_code if failed is not None else job.error_code
    detail = (failed.error_message if failed is not None else job.error_message) or "no model gave a result"
    error_type = ERRORS.get(code or "", ModelError)
    public_code = (
        ErrorCode(code) if code in set(ErrorCode) and error_type is not ModelError else ErrorCode.ENRICHMENT_FAILED
    )
    if code in {ErrorCode.MODEL_OUTPUT_INVALID, ErrorCode.MODEL_REFUSED}:
        public_code = ErrorCode(code)
    return error_type(detail, code=public_code)


def _answer_of(job: JobRow, results: EntityResults, body: SyncBody) -> dict[str, Any]:
    fused, successful = results.fusion, results.successful
    answer: dict[str, Any] = {
        "success": True,
        "job_id": str(job.id),
        "is_fused": fused is not None,
        "result": (fused or successful[0]).structured_output,
        "record_id": str((fused or successful[0]).id),
        "failed_models": [
            {"model": row.model_composite_key, "error_message": row.error_message, "error_code": row.error_code}
            for row in results.models
            if not row.success
        ],
        "cost_usd": job.cost_usd,
        "input_tokens": job.input_tokens,
        "output_tokens": job.output_tokens,
        "processing_time_ms": count_milliseconds(job),
    }
    if fused is None:
        answer["model"] = successful[0].model_composite_key
    else:
        fusion = fused.fusion or {}
        counts = {
            name: fusion.get("report", {}).get(name) for name in ("total_fields", "agreed_fields", "conflicted_fields")
        }
        answer["source_models"] = [row.model_composite_key for row in successful]
        answer["fusion"] = {
            **counts,
            "method": fusion.get("method"),
            "arbitration_model": fusion.get("arbitration_model"),
        }
    if body.include_per_model_results:
        answer["per_model_results"] = single_result(results)["results"]
    if body.include_profile_limits:
        answer["profile_limits"] = PROFILE_LIMITS
    return answer
