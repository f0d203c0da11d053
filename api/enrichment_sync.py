"""The call that waits: an enrichment's result as one answer, or the error that its users know."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any
from uuid import UUID

from towpath.accounts.types import Principal
from towpath.api.http.state import AppState
from towpath.api.llm_stream import by_model, single_result
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
from towpath.db.tables import JobRow, RecordRow
from towpath.enrichment.store.records import job_records
from towpath.enrichment.types import SyncBody
from towpath.jobs.store.jobs import get_job
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


async def wait_for_result(state: AppState, caller: Principal, job_id: UUID, body: SyncBody) -> dict[str, Any]:
    """Wait for a job of one entity.

    Raises:
        TowpathError: It failed, was cancelled, takes too long, or waits for a person.
    """
    job = await get_job(state.db, caller.organization, job_id)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(body.timeout_seconds), state.events.subscribed(job_id) as news:
            while not (job := await get_job(state.db, caller.organization, job_id)).state.final:
                if _held(job):
                    break
                await news.wait()
                news.clear()
    if _held(job):
        await state.gateway.cancel(caller.organization, job_id)
        found = job.params["classification"]
        raise WrongTypeError(f"the entity is no {found['expected_type']}: {found['reasoning']}", found)
    if not job.state.final:
        raise ModelTimeoutError(
            f"not finished within {body.timeout_seconds:g} s; the job goes on: /api/enrichment/jobs/{job_id}/status"
        )
    async with state.db.transaction() as connection:
        rows = await job_records(connection, job_id)
    if job.state is not JobState.COMPLETED:
        raise _error(job, rows)
    return _answer(job, rows, body)


def _held(job: JobRow) -> bool:
    return job.state is JobState.PAUSED and "classification" in job.params


def _error(job: JobRow, rows: list[RecordRow]) -> TowpathError:
    if job.state is JobState.CANCELLED:
        return JobCancelledError(job.error_message or "the job was cancelled")
    failed = next((row for row in rows if row.error_code), None)
    code = failed.error_code if failed is not None else job.error_code
    detail = (failed.error_message if failed is not None else job.error_message) or "no model gave a result"
    kind = ERRORS.get(code or "", ModelError)
    known = ErrorCode(code) if code in set(ErrorCode) and kind is not ModelError else ErrorCode.ENRICHMENT_FAILED
    if code == ErrorCode.MODEL_OUTPUT_INVALID:
        known = ErrorCode.MODEL_OUTPUT_INVALID
    return kind(detail, code=known)


def _answer(job: JobRow, rows: list[RecordRow], body: SyncBody) -> dict[str, Any]:
    found = single_result(job, rows)
    fused = next((row for row in rows if row.type == "fusion"), None)
    models = by_model(job, rows)
    good = [row for row in models if row.success]
    answer: dict[str, Any] = {
        "success": True,
        "job_id": str(job.id),
        "is_fused": fused is not None,
        "result": (fused or good[0]).structured_output,
        "record_id": found["record_id"],
        "failed_models": [row.model_composite_key for row in models if not row.success],
        "cost_usd": job.cost_usd,
        "input_tokens": job.input_tokens,
        "output_tokens": job.output_tokens,
    }
    if fused is None:
        answer["model"] = good[0].model_composite_key
    else:
        told = fused.fusion or {}
        counts = {
            name: told.get("report", {}).get(name) for name in ("total_fields", "agreed_fields", "conflicted_fields")
        }
        answer["source_models"] = [row.model_composite_key for row in good]
        answer["fusion"] = {
            **counts,
            "method": told.get("method"),
            "arbitration_model": told.get("arbitration_model"),
        }
    if body.include_per_model_results:
        answer["per_model_results"] = found["results"]
    return answer
