"""AI jobs and threads as their API shows them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from fastapi import Request

from towpath.accounts.types import organization_uuid
from towpath.ai.domain.results import title_of
from towpath.ai.store.jobs import state_of
from towpath.ai.store.tables import AiJobRow
from towpath.ai.types import (
    ActionType,
    AiState,
    Conversation,
    GenerateQueryBody,
    StoredAction,
    Thread,
    Turn,
    public_code,
)
from towpath.api.http.links import public_base
from towpath.api.http.responses import moment
from towpath.api.http.state import AppState
from towpath.core.errors import BadInputError, ErrorCode, NotFoundError
from towpath.core.spreadsheets import escape_csv
from towpath.jobs.rows import plain_warnings
from towpath.jobs.store.tables import JobRow

MAX_WAIT = 60.0
PREFER_WAIT = re.compile(r"(?:^|[,;\s])wait=(\d{1,4})(?:$|[,;\s])")


def chat_url(state: AppState, request: Request, conversation_id: UUID | str) -> str:
    """Return the address of a conversation's page."""
    return f"{public_base(request, state.settings)}/chat/{conversation_id}"


def job_answer(
    state: AppState, request: Request, job: JobRow, more: AiJobRow, place: int | None = None
) -> dict[str, Any]:
    """Show a job's state and progress."""
    word = state_of(job)
    found: dict[str, Any] = {
        "id": str(job.id),
        "state": word,
        "prompt": job.params["prompt"],
        "conversationId": str(job.conversation_id),
        "modelId": job.params["model_id"],
        "branchId": job.params["branch_id"],
        "topicName": more.topic or job.params["topic_name"],
        "organizationId": str(organization_uuid(job.organization)),
        "userId": _who(job, job.user_id),
        "omniChatUrl": chat_url(state, request, str(job.conversation_id)),
        "createdAt": moment(job.created_at),
        "updatedAt": moment(max(job.updated_at, more.progress_at or job.updated_at)),
        "attempt": job.attempt,
        "warnings": plain_warnings(job),
        "cost": {"usd": job.cost_usd, "inputTokens": job.input_tokens, "outputTokens": job.output_tokens},
    }
    if job.deadline is not None:
        found["deadline"] = moment(job.deadline)
    if place is not None:
        found["queuePosition"] = place
    if word is not AiState.QUEUED and job.started_at is not None:
        found["executionStartedAt"] = moment(job.started_at)
    if word is AiState.EXECUTING:
        found["progress"] = _progress(more)
    if word is AiState.COMPLETE:
        found["resultSummary"] = more.summary
    if word is AiState.FAILED:
        found["error"] = public_error(job)
    if word in {AiState.COMPLETE, AiState.FAILED}:
        found["completedAt"] = moment(job.completed_at)
    if word is AiState.CANCELLED:
        found |= {"cancelledAt": moment(job.completed_at), "cancelledBy": _who(job, more.cancelled_by)}
    return found


def _who(job: JobRow, user_id: UUID | None) -> str:
    """Return a user's id; the organization's own where nobody in person has acted."""
    return str(user_id or organization_uuid(job.organization))


def _progress(more: AiJobRow) -> dict[str, Any] | None:
    if more.progress_at is None:
        return None
    return {"iteration": more.iteration, "message": more.message, "updatedAt": moment(more.progress_at)}


def public_error(job: JobRow) -> dict[str, Any]:
    """Show a failed job's error in the codes of this API; `detail` is the inner one where they differ."""
    code = job.error_code or ErrorCode.INTERNAL
    public = public_code(code)
    error = {"message": job.error_message or "the job failed", "code": public}
    return error if public == code else {**error, "detail": code}


def result_answer(state: AppState, request: Request, turn: Turn, thread: str) -> dict[str, Any]:
    """Show a job's full result.

    Raises:
        NotFoundError: It is not COMPLETE, or its time is over.
    """
    assert_readable(state, turn)
    return {
        "topic": turn.topic,
        "message": turn.answer,
        "resultSummary": turn.answer,
        "omniChatUrl": chat_url(state, request, thread),
        "actions": [action_answer(one) for one in turn.actions],
    }


def assert_readable(state: AppState, turn: Turn) -> None:
    """Refuse a result that is not there yet, or not any more.

    Raises:
        NotFoundError: With the reason.
    """
    if turn.state is not AiState.COMPLETE:
        raise NotFoundError(f"the job {turn.job_id} is {turn.state}; there is a result when it is COMPLETE")
    days = state.settings.ai_result_days
    if turn.ended_at is not None and datetime.now(UTC) - turn.ended_at > timedelta(days=days):
        raise NotFoundError(f"the result of the job {turn.job_id} was kept for {days} days")


def action_answer(action: StoredAction) -> dict[str, Any]:
    """Show one action of a result."""
    found: dict[str, Any] = {
        "type": action.type,
        "message": action.message,
        "timestamp": moment(action.at),
        "modelSeconds": round(action.model_seconds, 3),
        "databaseSeconds": round(action.database_seconds, 3),
    }
    if action.type is ActionType.GENERATE_QUERY:
        found["result"] = query_answer(action)
    if action.chart is not None:
        found["chart"] = action.chart
    if action.notes and action.type is not ActionType.GENERATE_QUERY:
        found["notes"] = action.notes
    return found


def query_answer(action: StoredAction) -> dict[str, Any]:
    """Show what a query brought."""
    found = {
        "queryName": action.title or title_of(action.columns) or f"Query {action.number}",
        "query": None if action.query is None else action.query.model_dump(mode="json"),
        "status": "success" if action.error is None else "error",
        "csvResult": escape_csv(action.csv or ""),
        "csvResultWasTruncated": action.truncated,
        "hasResults": action.rows > 0,
        "totalRowCount": action.rows,
        "totalRowCountIsExact": action.exact,
        "notes": action.notes,
    }
    return found if action.error is None else {**found, "error": action.error}


def call_answer(body: GenerateQueryBody, job: JobRow, action: StoredAction | None) -> dict[str, Any]:
    """Show the query of a single question, and what it brought.

    Args:
        body: What was asked.
        job: Its job.
        action: Its last query; None: there is none.
    """
    answer: dict[str, Any] = {"topic": (job.result or {}).get("topic"), "query": None, "error": None}
    if action is not None:
        answer["query"] = None if action.query is None else action.query.model_dump(mode="json")
        if action.error is not None:
            answer["error"] = {"message": "the query does not run", "detail": action.error}
        elif body.run_query:
            answer["result"] = query_answer(action)
    if body.workbook_url:
        answer["notes"] = ["workbookUrl: there are no workbooks here, so that none is given"]
    return answer


def rows_answer(turn: Turn) -> dict[str, Any]:
    """Show the rows of the last query as objects, by the names of their fields.

    Raises:
        NotFoundError: No query brought rows.
    """
    action = last_query(turn)
    names = [column.name for column in action.columns]
    rows = list(csv.reader(io.StringIO(action.csv or "")))[1:]
    kinds = {column.name: column for column in action.columns}
    shaped = [{name: _value(kinds[name].type, text) for name, text in zip(names, row, strict=True)} for row in rows]
    return {
        "columns": [column.model_dump(mode="json") for column in action.columns],
        "rows": shaped,
        "truncated": action.truncated,
        "totalRowCount": action.rows,
        "totalRowCountIsExact": action.exact,
        "notes": action.notes,
    }


def last_query(turn: Turn) -> StoredAction:
    """Return the last query that ran.

    Raises:
        NotFoundError: There is none.
    """
    found = next((one for one in reversed(turn.actions) if one.csv is not None and one.error is None), None)
    if found is None:
        raise NotFoundError(f"the job {turn.job_id} has no rows")
    return found


def _value(kind: str, text: str) -> Any:
    if text == "":
        return None
    if kind == "boolean":
        return text == "true"
    if kind == "number":
        number = float(text)
        return int(number) if number.is_integer() else number
    return text


def conversation_answer(one: Conversation) -> dict[str, Any]:
    """Show a thread in a list."""
    return {
        "id": str(one.id),
        "name": one.name,
        "lastUserPrompt": one.last_prompt,
        "createdAt": moment(one.created_at),
        "updatedAt": moment(one.updated_at),
    }


def thread_answer(state: AppState, request: Request, thread: Thread) -> dict[str, Any]:
    """Show a thread with its messages, `user` and `assistant` in turn."""
    messages: list[dict[str, Any]] = []
    url = chat_url(state, request, thread.conversation.id)
    for turn in thread.turns:
        messages.append({"role": "user", "content": turn.prompt, "timestamp": moment(turn.created_at)})
        if not turn.active:
            messages.append(
                {
                    "role": "assistant",
                    "content": turn.answer if turn.answer is not None else turn.error,
                    "timestamp": moment(turn.ended_at),
                    "jobId": str(turn.job_id),
                    "omniChatUrl": url,
                }
            )
    return {**conversation_answer(thread.conversation), "messages": messages, "earlierTurns": thread.earlier}


def read_wait(headers: Mapping[str, str]) -> float:
    """Read the seconds of `Prefer: wait=N`; 0: none.

    Raises:
        BadInputError: More than 60.
    """
    found = PREFER_WAIT.search(headers.get("prefer", ""))
    if found is None:
        return 0.0
    seconds = float(found[1])
    if seconds > MAX_WAIT:
        raise BadInputError(f"Prefer: wait takes up to {MAX_WAIT:g} seconds", field="Prefer")
    return seconds


def page_info(*, more: bool, cursor: str | None, size: int, total: int) -> dict[str, Any]:
    """Describe a page of a list."""
    return {"hasNextPage": more, "nextCursor": cursor if more else None, "pageSize": size, "totalRecords": total}
