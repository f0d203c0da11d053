"""Single questions that wait for their answer: each is a small durable job, so nothing is paid twice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import uuid4

from towpath.accounts.types import Principal
from towpath.ai.domain.semantics.content import topic_of
from towpath.ai.store.jobs import create_call, read_actions
from towpath.ai.types import ActionType, AiParams, GenerateQueryBody, PickTopicBody, QuestionBody, StoredAction
from towpath.api.ai_jobs import acting_user, assert_asked, chosen_llm, find_model
from towpath.api.ai_views import public_error, query_answer
from towpath.api.http.idempotency import Slot, job_once
from towpath.api.http.state import AppState
from towpath.core.errors import ErrorCode, ModelTimeoutError, NotFoundError, TowpathError
from towpath.db.engine import Connection
from towpath.db.tables import JobRow
from towpath.jobs.types import JobKind, JobState

WAIT_SECONDS = 120.0


class AiFaultError(TowpathError):
    """500: the question found no answer."""


def _create(state: AppState, caller: Principal) -> Callable[[Connection, JobRow], Awaitable[None]]:
    return partial(create_call, most=state.limits.most_jobs(caller.organization))


async def answer_topic(
    state: AppState, caller: Principal, body: PickTopicBody, slot: Slot, digest: bytes
) -> dict[str, Any]:
    """The topic of a question.

    Raises:
        NotFoundError: No such model or topic.
        AiFaultError: The language model gives no answer.
    """
    job = await _question(
        state, caller, JobKind.TOPIC_CHOICE, body, known=body.current_topic_name, topics=body.potential_topic_names
    )
    job, _ = await _ended(state, await job_once(state, slot, digest, job, _create(state, caller)))
    return {"topicId": (job.result or {}).get("topic")}


async def answer_query(
    state: AppState, caller: Principal, body: GenerateQueryBody, slot: Slot, digest: bytes
) -> dict[str, Any]:
    """The query of a question, and what it brought.

    Raises:
        NotFoundError: No such model or topic.
        AiFaultError: The language model gives no answer.
    """
    topic = body.topic_name or body.current_topic_name
    job = await _question(state, caller, JobKind.QUERY_GENERATION, body, topic=topic, run=body.run_query)
    job, actions = await _ended(state, await job_once(state, slot, digest, job, _create(state, caller)))
    last = next((one for one in reversed(actions) if one.type is ActionType.GENERATE_QUERY), None)
    found: dict[str, Any] = {"topic": (job.result or {}).get("topic"), "query": None, "error": None}
    if last is not None:
        found["query"] = None if last.query is None else last.query.model_dump(mode="json")
        if last.error is not None:
            found["error"] = {"message": "the query does not run", "detail": last.error}
        elif body.run_query:
            found["result"] = query_answer(last)
    if body.workbook_url:
        found["notes"] = ["workbookUrl: there are no workbooks here, so that none is given"]
    return found


async def _question(
    state: AppState,
    caller: Principal,
    kind: JobKind,
    body: QuestionBody,
    *,
    topic: str | None = None,
    known: str | None = None,
    topics: list[str] | None = None,
    run: bool = True,
) -> JobRow:
    user = await acting_user(state, caller, body.user_id)
    _, content = await find_model(state, caller.organization, body.model_id, body.branch_id, topic, known)
    for name in topics or ():
        topic_of(content, name)
    assert_asked(body.prompt)
    params = AiParams(
        prompt=body.prompt,
        llm=chosen_llm(state, body.llm, default=state.settings.ai_model),
        model_id=body.model_id,
        branch_id=body.branch_id,
        topic_name=topic,
        topics=topics,
        run=run,
    )
    return JobRow(
        id=uuid4(),
        organization=caller.organization,
        kind=kind,
        params=params.model_dump(mode="json"),
        created_by=caller.key_id,
        user_id=user,
    )


async def _ended(state: AppState, job: JobRow) -> tuple[JobRow, list[StoredAction]]:
    job = await state.events.wait_for_end(job, seconds=WAIT_SECONDS)
    if not job.state.final:
        raise ModelTimeoutError(f"not finished within {WAIT_SECONDS:g} s; the job goes on: /v1/jobs/{job.id}")
    if job.state is not JobState.COMPLETED:
        if job.error_code == ErrorCode.TOPIC_NOT_FOUND:
            raise NotFoundError(job.error_message or "no topic", code=ErrorCode.TOPIC_NOT_FOUND)
        raise AiFaultError(job.error_message or "the question failed", code=ErrorCode(str(public_error(job)["code"])))
    async with state.db.transaction() as connection:
        return job, (await read_actions(connection, [job.id]))[job.id]
