"""A job's events in the words of the enrichment API: one `data:` line each, with `type` and `event`, `completed` last.

Numbers rise: an event's own number times ten, and one more for each further message of the same event.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from sse_starlette import ServerSentEvent

from towpath.api.http.state import AppState
from towpath.api.http.streams import MAX_SECONDS, first_line
from towpath.core.errors import ErrorCode
from towpath.core.json_values import write_json
from towpath.db.tables import JobRow, RecordRow
from towpath.enrichment.store.records import job_records
from towpath.enrichment.types import LLM_KINDS, STATUS_OF, LlmEvent
from towpath.jobs.event_hub import read_events
from towpath.jobs.store.jobs import get_job, last_restart
from towpath.jobs.types import EventType, JobEvent, JobKind, JobState

STEP = 10
HIDDEN = frozenset({EventType.CREATED, EventType.STARTED, EventType.PHASE, EventType.PROGRESS})
AWAY_NAMES = {
    "provider": "current_model",
    "attempt": "current_attempt",
    "message": "last_error_summary",
    "nextAttemptAt": "next_attempt_at",
    "givesUpAt": "gives_up_at",
}
ENDS = {
    EventType.COMPLETED: JobState.COMPLETED,
    EventType.FAILED: JobState.FAILED,
    EventType.CANCELLED: JobState.CANCELLED,
}
STATES: dict[str, JobState] = {
    EventType.PAUSED: JobState.PAUSED,
    LlmEvent.CLASSIFICATION_MISMATCH_PAUSE: JobState.PAUSED,
    EventType.CREATED: JobState.PENDING,
    EventType.RESTARTED: JobState.PENDING,
}
MODEL_FIELDS: dict[str, Any] = {
    "total_models": 0,
    "completed_models": 0,
    "running_models": [],
    "current_model": None,
    "current_attempt": 1,
    "max_attempts": 1,
    "last_error_summary": None,
}


async def llm_lines(state: AppState, job: JobRow, position: int | None) -> AsyncIterator[ServerSentEvent]:
    """The stream's lines.

    Args:
        state: The façade's parts.
        job: The job.
        position: The last number that the reader has; None: everything since the last restart.
    """
    yield first_line()
    after = await last_restart(state.db, job.id) if position is None else _event_before(position)
    async for events in state.events.follow(job.id, after=after, seconds=MAX_SECONDS):
        async for place, message in _numbered(state, job, events, position):
            yield ServerSentEvent(id=str(place), data=write_json(message).decode(), sep="\n")


async def has_every_message(state: AppState, job: JobRow, position: int | None) -> bool:
    """Whether a reader who comes back has seen a job to its end: nothing would be sent before the stream closes."""
    if position is None or not job.state.final:
        return False
    after = _event_before(position)
    while events := await read_events(state.db, job.id, after=after):
        async for _ in _numbered(state, job, events, position):
            return False
        after = events[-1].seq
    return True


def _event_before(position: int) -> int:
    """The event before the one that a message belongs to: more messages may have come of that."""
    return max((position - 1) // STEP, 0)


async def _numbered(
    state: AppState, job: JobRow, events: Sequence[JobEvent], position: int | None
) -> AsyncIterator[tuple[int, dict[str, Any]]]:
    """The messages of some events behind a position, each with its number."""
    for event in events:
        for number, message in enumerate(await _messages(state, job, event)):
            place = event.seq * STEP + number
            if position is None or place > position:
                yield place, message


async def _messages(state: AppState, job: JobRow, event: JobEvent) -> list[dict[str, Any]]:
    if event.type in ENDS:
        return await _end(state, job, event)
    if event.type in HIDDEN and job.kind in LLM_KINDS:
        return []
    name = event.type.removeprefix("job.") if job.kind in LLM_KINDS else event.type
    if event.type == EventType.PROVIDER_AWAY and job.kind in LLM_KINDS:
        return [_message(job, event, name, JobState.RUNNING, _away(event.data))]
    at = STATES.get(event.type, JobState.RUNNING)
    return [_message(job, event, name, at, event.data)]


def _away(data: dict[str, Any]) -> dict[str, Any]:
    """A try that failed, in the members that every event of this stream has."""
    return {AWAY_NAMES.get(name, name): value for name, value in data.items()}


async def _end(state: AppState, job: JobRow, event: JobEvent) -> list[dict[str, Any]]:
    final = ENDS[EventType(event.type)]
    now = await get_job(state.db, job.organization, job.id)
    result = await job_result(state, now)
    error = event.data.get("error") or {}
    counts = {
        "total_entities": event.data.get("total", 0),
        "completed_entities": event.data.get("succeeded", 0),
        "failed_entities": event.data.get("failed", 0),
        "skipped_entities": event.data.get("skipped", 0),
        "last_error_summary": error.get("message"),
    }
    told: list[tuple[str, dict[str, Any]]] = []
    if job.kind is JobKind.BATCH_ENRICHMENT:
        reason = "cancelled" if final is JobState.CANCELLED else error.get("code")
        if final is JobState.FAILED and counts["total_entities"] <= event.data.get("processed", 0):
            # All of them had their turn: nothing was stopped.
            reason = None
        told.append((LlmEvent.BATCH_COMPLETED, {"stopped_early_reason": reason}))
    if final is JobState.FAILED:
        told.append(("error", {"error_message": error.get("message"), "code": error.get("code", ErrorCode.INTERNAL)}))
        told.append(("failed", {"result": result}))
    if final is JobState.CANCELLED:
        told.append(("cancelled", {"result": result}))
    told.append(("completed", {"result": result, "error_message": error.get("message")}))
    return [_message(job, event, name, final, {**counts, **data}) for name, data in told]


def _message(job: JobRow, event: JobEvent, name: str, at: JobState, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": name,
        "event": name,
        "job_id": str(job.id),
        "job_type": job.kind,
        "status": STATUS_OF[at],
        "is_paused": at is JobState.PAUSED,
        **MODEL_FIELDS,
        "total_entities": job.total,
        "completed_entities": 0,
        "failed_entities": 0,
        "skipped_entities": 0,
        "timestamp": event.at.isoformat().replace("+00:00", "Z"),
        **data,
    }


async def job_result(state: AppState, job: JobRow) -> dict[str, Any]:
    """What a job has brought: the models' results of one entity, a short row for each of many, or the job's own."""
    if job.kind not in {JobKind.SINGLE_ENRICHMENT, JobKind.BATCH_ENRICHMENT}:
        return job.result or {}
    async with state.db.transaction() as connection:
        rows = await job_records(connection, job.id)
    if job.kind is JobKind.SINGLE_ENRICHMENT:
        return single_result(job, rows)
    by_entity: dict[int, list[RecordRow]] = {}
    for row in rows:
        by_entity.setdefault(row.entity_index, []).append(row)
    return {
        "total": job.total,
        "succeeded": job.succeeded,
        "failed": job.failed,
        "skipped": job.skipped,
        "total_cost_usd": job.cost_usd,
        "entities": [_short(index, found) for index, found in by_entity.items()],
    }


def _short(index: int, rows: Sequence[RecordRow]) -> dict[str, Any]:
    fused = next((row for row in rows if row.type == "fusion"), None)
    good = [row for row in rows if row.success and row.type != "fusion"]
    best = fused or (good[0] if good else None)
    return {
        "entity_index": index,
        "entity_label": rows[0].entity_name,
        "success": bool(good),
        "record_id": best and str(best.id),
        "record_ids": [str(row.id) for row in rows],
        "cost_usd": round(sum(row.cost_usd for row in rows), 9),
    }


def by_model(job: JobRow, rows: Sequence[RecordRow]) -> list[RecordRow]:
    """The models' records in the order in which the models were asked for."""
    order = {model: place for place, model in enumerate(job.params["plan"]["models"])}
    found = [row for row in rows if row.type != "fusion"]
    return sorted(found, key=lambda row: order.get(row.model_composite_key or "", len(order)))


def single_result(job: JobRow, rows: Sequence[RecordRow]) -> dict[str, Any]:
    """The models' results of one entity, and the fused one."""
    fused = next((row for row in rows if row.type == "fusion"), None)
    models = by_model(job, rows)
    return {
        "results": [
            {
                "model": row.model_composite_key,
                "success": row.success,
                "partial_success": row.partial_success,
                "result": row.structured_output,
                "record_id": str(row.id),
                "cost_usd": row.cost_usd,
                "error_message": row.error_message,
                "error_code": row.error_code,
            }
            for row in models
        ],
        "is_fused": fused is not None,
        "merged_result": fused and fused.structured_output,
        "record_id": str(fused.id) if fused else next((str(row.id) for row in models if row.success), None),
    }
