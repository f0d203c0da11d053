"""AI jobs and threads as their API shows them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from fastapi import Request

from towpath.accounts.types import organization_uuid
from towpath.ai.domain.results import make_title
from towpath.ai.service.conversations import Question
from towpath.ai.service.results import find_last_query
from towpath.ai.store.tables import AiJobRow, ChatLinkRow
from towpath.ai.types import (
    ActionType,
    AiParams,
    AiState,
    Conversation,
    GenerateQueryBody,
    StoredAction,
    Thread,
    Turn,
    to_public_code,
)
from towpath.api.http.links import public_base
from towpath.api.http.responses import moment
from towpath.api.http.state import AppState
from towpath.core.errors import BadInputError, ErrorCode
from towpath.core.spreadsheets import escape_csv
from towpath.jobs.params import params_of
from towpath.jobs.rows import plain_warnings
from towpath.jobs.store.tables import JobRow

MAX_WAIT = 60.0
PREFER_WAIT = re.compile(r"(?:^|[,;\s])wait=(\d{1,4})(?:$|[,;\s])")


def make_chat_url(state: AppState, request: Request, conversation_id: UUID | str) -> str:
    """Return the address of a conversation's page."""
    return f"{public_base(request, state.settings)}/chat/{conversation_id}"


def show_job(state: AppState, request: Request, question: Question) -> dict[str, Any]:
    """Show the state and progress of a question's job."""
    job, details, ai_state = question.job, question.details, question.state
    params = params_of(job, AiParams)
    answer: dict[str, Any] = {
        "id": str(job.id),
        "state": ai_state,
        "prompt": params.prompt,
        "conversationId": str(job.conversation_id),
        "modelId": str(params.model_id),
        "branchId": None if params.branch_id is None else str(params.branch_id),
        "topicName": details.topic or params.topic_name,
        "organizationId": str(organization_uuid(job.organization)),
        "userId": _actor_id(job, job.user_id),
        "omniChatUrl": make_chat_url(state, request, str(job.conversation_id)),
        "createdAt": moment(job.created_at),
        "updatedAt": moment(max(job.updated_at, details.progress_at or job.updated_at)),
        "attempt": job.attempt,
        "warnings": plain_warnings(job),
        "cost": {"usd": job.cost_usd, "inputTokens": job.input_tokens, "outputTokens": job.output_tokens},
    }
    if job.deadline is not None:
        answer["deadline"] = moment(job.deadline)
    if question.queue_position is not None:
        answer["queuePosition"] = question.queue_position
    if ai_state is not AiState.QUEUED and job.started_at is not None:
        answer["executionStartedAt"] = moment(job.started_at)
    if ai_state is AiState.EXECUTING:
        answer["progress"] = _progress(details)
    if ai_state is AiState.COMPLETE:
        answer["resultSummary"] = details.summary
    if ai_state is AiState.FAILED:
        answer["error"] = show_error(job)
    if ai_state in {AiState.COMPLETE, AiState.FAILED}:
        answer["completedAt"] = moment(job.completed_at)
    if ai_state is AiState.CANCELLED:
        answer |= {"cancelledAt": moment(job.completed_at), "cancelledBy": _actor_id(job, details.cancelled_by)}
    return answer


def _actor_id(job: JobRow, user_id: UUID | None) -> str:
    """Return a user's id; the organization's own where nobody in person has acted."""
    return str(user_id or organization_uuid(job.organization))


def _progress(details: AiJobRow) -> dict[str, Any] | None:
    if details.progress_at is None:
        return None
    return {
        "iteration": details.iteration,
        "message": details.message,
        "updatedAt": moment(details.progress_at),
    }


def show_error(job: JobRow) -> dict[str, Any]:
    """Show a failed job's error in the codes of this API; `detail` is the inner one where they differ."""
    code = job.error_code or ErrorCode.INTERNAL
    public = to_public_code(code)
    error = {"message": job.error_message or "the job failed", "code": public}
    return error if public == code else {**error, "detail": code}


def show_result(state: AppState, request: Request, turn: Turn) -> dict[str, Any]:
    """Show a job's full result."""
    return {
        "topic": turn.topic,
        "message": turn.answer,
        "resultSummary": turn.answer,
        "omniChatUrl": make_chat_url(state, request, str(turn.conversation_id)),
        "actions": [show_action(action) for action in turn.actions],
    }


def show_action(action: StoredAction) -> dict[str, Any]:
    """Show one action of a result."""
    answer: dict[str, Any] = {
        "type": action.type,
        "message": action.message,
        "timestamp": moment(action.at),
        "modelSeconds": round(action.model_seconds, 3),
        "databaseSeconds": round(action.database_seconds, 3),
    }
    if action.type is ActionType.GENERATE_QUERY:
        answer["result"] = show_query(action)
    if action.chart is not None:
        answer["chart"] = action.chart
    if action.notes and action.type is not ActionType.GENERATE_QUERY:
        answer["notes"] = action.notes
    return answer


def show_query(action: StoredAction) -> dict[str, Any]:
    """Show what a query brought."""
    answer = {
        "queryName": action.title or make_title(action.columns) or f"Query {action.number}",
        "query": None if action.query is None else action.query.model_dump(mode="json"),
        "status": "success" if action.error is None else "error",
        "csvResult": escape_csv(action.csv or ""),
        "csvResultWasTruncated": action.truncated,
        "hasResults": action.rows > 0,
        "totalRowCount": action.rows,
        "totalRowCountIsExact": action.exact,
        "notes": action.notes,
    }
    return answer if action.error is None else {**answer, "error": action.error}


def show_call(body: GenerateQueryBody, job: JobRow, action: StoredAction | None) -> dict[str, Any]:
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
            answer["result"] = show_query(action)
    if body.workbook_url:
        answer["notes"] = ["workbookUrl: there are no workbooks here, so that none is given"]
    return answer


def show_rows(turn: Turn) -> dict[str, Any]:
    """Show the rows of the last query as objects, by the names of their fields.

    Raises:
        NotFoundError: No query brought rows.
    """
    action = find_last_query(turn)
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


def _value(kind: str, text: str) -> Any:
    if text == "":
        return None
    if kind == "boolean":
        return text == "true"
    if kind == "number":
        number = float(text)
        return int(number) if number.is_integer() else number
    return text


def show_link(link: ChatLinkRow) -> dict[str, Any]:
    """Show a link to a conversation, without its token."""
    return {
        "linkId": str(link.id),
        "write": link.write,
        "createdBy": None if link.created_by is None else str(link.created_by),
        "createdAt": moment(link.created_at),
        "expiresAt": moment(link.expires_at),
        "revokedAt": moment(link.revoked_at),
    }


def show_conversation(conversation: Conversation) -> dict[str, Any]:
    """Show a conversation in a list."""
    return {
        "id": str(conversation.id),
        "name": conversation.name,
        "lastUserPrompt": conversation.last_prompt,
        "createdAt": moment(conversation.created_at),
        "updatedAt": moment(conversation.updated_at),
    }


def show_thread(state: AppState, request: Request, thread: Thread) -> dict[str, Any]:
    """Show a thread with its messages, `user` and `assistant` in turn."""
    messages: list[dict[str, Any]] = []
    url = make_chat_url(state, request, thread.conversation.id)
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
    return {**show_conversation(thread.conversation), "messages": messages, "earlierTurns": thread.earlier}


def read_wait(headers: Mapping[str, str]) -> float:
    """Read the seconds of `Prefer: wait=N`; 0: none.

    Raises:
        BadInputError: More than 60.
    """
    preference = PREFER_WAIT.search(headers.get("prefer", ""))
    if preference is None:
        return 0.0
    seconds = float(preference[1])
    if seconds > MAX_WAIT:
        raise BadInputError(f"Prefer: wait takes up to {MAX_WAIT:g} seconds", field="Prefer")
    return seconds


def show_page_info(*, has_more: bool, cursor: str | None, size: int, total: int) -> dict[str, Any]:
    """Describe a page of a list."""
    return {
        "hasNextPage": has_more,
        "nextCursor": cursor if has_more else None,
        "pageSize": size,
        "totalRecords": total,
    }
