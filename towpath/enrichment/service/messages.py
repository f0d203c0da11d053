"""A job's events in the words of the enrichment API: one `data:` line each, with `type` and `event`, `completed` last.

Numbers rise: an event's own number times ten, and one more for each further message of the same event.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from towpath.core.errors import ErrorCode
from towpath.db.engine import Database
from towpath.enrichment.service.results import job_result
from towpath.enrichment.types import STATUS_OF, LlmEvent
from towpath.jobs.registry import job_type
from towpath.jobs.store.event_log import read_events, read_last_value
from towpath.jobs.store.jobs import find_last_restart, get_job
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import EventType, JobEvent, JobState

STEP = 10
TYPE_QUESTION = "type"
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
MODEL_COUNTS = ("total_models", "completed_models")
"""What the last message of a stream still tells as the ones before it."""
MODEL_FIELDS: dict[str, Any] = {
    "total_models": 0,
    "completed_models": 0,
    "running_models": [],
    "current_model": None,
    "current_attempt": 1,
    "max_attempts": 1,
    "last_error_summary": None,
}


def questions_of(classification: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what a job that is held for its entity's type asks a person: the ids that `continue` answers."""
    options = classification.get("alternative_interpretations") or []
    return [
        {
            "id": TYPE_QUESTION,
            "question": f"Is this entity a {classification.get('expected_type')}?",
            "options": [{"id": option, "label": option} for option in options],
        }
    ]


async def has_every_message(database: Database, job: JobRow, position: int | None) -> bool:
    """Return whether a reader who comes back has seen a job to its end: the stream would close without a message."""
    if position is None or not job.state.final:
        return False
    after = event_before(position)
    while events := await read_events(database, job.id, after=after):
        async for _ in numbered_messages(database, job, events, position):
            return False
        after = events[-1].seq
    return True


async def find_first_event(database: Database, job: JobRow, position: int | None) -> int:
    """Find the event after which a stream begins: behind a reader's position, else with the last restart."""
    return await find_last_restart(database, job.id) if position is None else event_before(position)


def event_before(position: int) -> int:
    """Return the event before the one that a message belongs to: more messages may have come of that."""
    return max((position - 1) // STEP, 0)


async def numbered_messages(
    database: Database, job: JobRow, events: Sequence[JobEvent], position: int | None
) -> AsyncIterator[tuple[int, dict[str, Any]]]:
    """Yield the messages of some events behind a position, each with its number."""
    for event in events:
        for number, message in enumerate(await _messages(database, job, event)):
            place = event.seq * STEP + number
            if position is None or place > position:
                yield place, message


async def _messages(database: Database, job: JobRow, event: JobEvent) -> list[dict[str, Any]]:
    if event.type in ENDS:
        return await _end(database, job, event)
    vocabulary = job_type(job.kind).events
    if event.type in vocabulary.hidden:
        return []
    state = STATES.get(event.type, JobState.RUNNING)
    data = vocabulary.data_of(event.type, event.data)
    if event.type == LlmEvent.CLASSIFICATION_MISMATCH_PAUSE:
        data = {**data, "questions": questions_of(data["classification"])}
    return [_message(job, event, vocabulary.name_of(event.type), state, data)]


async def _end(database: Database, job: JobRow, event: JobEvent) -> list[dict[str, Any]]:
    final = ENDS[EventType(event.type)]
    now = await get_job(database, job.organization, job.id)
    result = await job_result(database, now)
    error = event.data.get("error") or {}
    counts = {
        "total_entities": event.data.get("total", 0),
        "completed_entities": event.data.get("succeeded", 0),
        "failed_entities": event.data.get("failed", 0),
        "skipped_entities": event.data.get("skipped", 0),
        "last_error_summary": error.get("message"),
        **{name: int(await read_last_value(database, job.id, name) or 0) for name in MODEL_COUNTS},
    }
    messages: list[tuple[str, dict[str, Any]]] = []
    if job_type(job.kind).events.has_summary:
        reason = "cancelled" if final is JobState.CANCELLED else error.get("code")
        if final is JobState.FAILED and counts["total_entities"] <= event.data.get("processed", 0):
            # All of them had their turn: nothing was stopped.
            reason = None
        messages.append((LlmEvent.BATCH_COMPLETED, {"stopped_early_reason": reason}))
    if final is JobState.FAILED:
        messages.append(
            ("error", {"error_message": error.get("message"), "code": error.get("code", ErrorCode.INTERNAL)})
        )
        messages.append(("failed", {"result": result}))
    if final is JobState.CANCELLED:
        messages.append(("cancelled", {"result": result}))
    messages.append(("completed", {"result": result, "error_message": error.get("message")}))
    return [_message(job, event, name, final, {**counts, **data}) for name, data in messages]


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
