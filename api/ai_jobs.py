"""AI jobs behind their routes and pages: who may, what is accepted, how it is shown, how it is drawn."""

from __future__ import annotations

import asyncio
import base64
import binascii
import mimetypes
from collections.abc import Sequence
from uuid import UUID, uuid4

from fastapi import Request, Response

from towpath.accounts.store.auth import get_user
from towpath.accounts.types import KeyKind, Principal, organization_uuid
from towpath.ai.domain.charts import UndrawableError, chart_spec, read_rows, render_png, render_svg
from towpath.ai.domain.results import last_drawable
from towpath.ai.domain.semantics.content import topic_of
from towpath.ai.domain.words import more_rows
from towpath.ai.semantic_types import Content
from towpath.ai.store.jobs import create_ai_job
from towpath.ai.store.lists import get_ai_job
from towpath.ai.store.models import ASKABLE, get_model, whole_model
from towpath.ai.store.tables import ModelRow
from towpath.ai.store.threads import get_conversation, read_thread, read_turn
from towpath.ai.types import (
    MAX_PROMPT,
    AiJobBody,
    AiParams,
    AiState,
    Attachment,
    ChartType,
    ModelKind,
    StoredAction,
    ThreadHead,
)
from towpath.api.http.deadlines import read_deadline
from towpath.api.http.idempotency import Slot
from towpath.api.http.links import public_base
from towpath.api.http.responses import json_answer
from towpath.api.http.state import AppState
from towpath.api.routes.attachments import make_attachment
from towpath.api.webhook_targets import read_target
from towpath.core.errors import BadInputError, ErrorCode, ForbiddenError, NotFoundError, TooLargeError
from towpath.core.texts import shorten
from towpath.db.engine import Connection
from towpath.db.tables import AttachmentRow, JobRow
from towpath.jobs.policy import seer_of
from towpath.jobs.store.jobs import lock_job
from towpath.jobs.types import JobKind
from towpath.llm.store.attachments import add_attachments
from towpath.webhooks.store.endpoints import add_target
from towpath.webhooks.types import WebhookFields

MAX_ATTACHED_BYTES = 10 << 20
MAX_NAME = 80
ROUTE = "POST /v1/ai/jobs"


def assert_asked(prompt: str) -> None:
    """Refuse a prompt that asks nothing.

    Raises:
        BadInputError: It is blank.
    """
    if not prompt.strip():
        raise BadInputError("prompt is empty", field="prompt")


async def acting_user(state: AppState, caller: Principal, user_id: UUID | None) -> UUID | None:
    """As whom a caller acts.

    Raises:
        ForbiddenError: A personal token names another user.
        NotFoundError: No such user in the organization.
    """
    if user_id is None or user_id == caller.user_id:
        return caller.user_id
    if caller.kind is KeyKind.PERSONAL:
        raise ForbiddenError("userId: a personal access token acts as its own user")
    if user_id == organization_uuid(caller.organization):
        # The organization itself, as answers name it where nobody in person has asked.
        return None
    user = await get_user(state.db, user_id)
    if user is None or user.organization != caller.organization:
        raise NotFoundError(f"userId: no user {user_id}")
    return user_id


async def find_model(
    state: AppState, organization: str, model_id: UUID, branch_id: UUID | None, *topics: str | None
) -> tuple[ModelRow, Content]:
    """The model that a question is asked of, a branch where one is named, and its content.

    Args:
        topics: Names that must be among its topics.

    Raises:
        NotFoundError: No such shared model, branch of it, or topic.
        BadInputError: Its layers do not make a valid model.
    """
    row = await get_model(state.db, organization, model_id, kinds=ASKABLE)
    if branch_id is not None:
        branch = await get_model(state.db, organization, branch_id, kinds=(ModelKind.BRANCH,))
        if branch.base_model_id != row.id:
            raise NotFoundError(f"branchId: {branch_id} is no branch of the model {model_id}")
        row = branch
    content = await whole_model(state.db, row)
    for name in topics:
        if name is not None:
            topic_of(content, name)
    return row, content


def chosen_llm(state: AppState, wanted: str | None, *, default: str) -> str:
    """The language model that answers.

    Args:
        state: The façade's parts.
        wanted: A model key; None: the default.
        default: What a setting says; auto: the server's choice.

    Raises:
        BadInputError: It cannot be asked, or there is none.
    """
    model = wanted or default
    if model == "auto":
        return state.catalog.automatic()
    state.catalog.check(model, "llm")
    return model


def chat_url(state: AppState, request: Request, conversation_id: UUID | str) -> str:
    """The page of a conversation."""
    return f"{public_base(request, state.settings)}/chat/{conversation_id}"


async def start(
    request: Request,
    state: AppState,
    caller: Principal,
    body: AiJobBody,
    *,
    webhook: WebhookFields,
    user_id: UUID | None,
    digest: bytes,
    idempotency_key: str | None,
) -> Response:
    """Accept a job with its thread, and start it.

    Raises:
        Conflict: The thread has an active job; nothing is created.
    """
    user = await acting_user(state, caller, user_id)
    assert_asked(body.prompt)
    await find_model(state, caller.organization, body.model_id, body.branch_id, body.topic_name)
    target = await read_target(request, state, webhook)
    if body.progress_webhook_enabled and target is None:
        raise BadInputError("progressWebhookEnabled needs a webhookUrl", field="progressWebhookEnabled")
    if body.conversation_id is not None:
        await get_conversation(state.db, caller.organization, body.conversation_id, seer_of(caller))
    files = [await _file(state, caller.organization, place, one) for place, one in enumerate(body.attachments)]
    thread_id = body.conversation_id or uuid4()
    job = _job(state, caller, body, thread_id, user, [one.id for one in files])
    job.deadline = read_deadline(request)
    answer = {
        "jobId": str(job.id),
        "conversationId": str(thread_id),
        "omniChatUrl": chat_url(state, request, thread_id),
    }
    slot = Slot(caller.organization, ROUTE, idempotency_key)
    async with state.db.joined() as (inside, connection):
        if known := await slot.open(connection):
            return known.replay(digest)
        stored = await _accept(state, connection, job, body, user)
        if target is not None:
            await add_target(connection, job.id, target)
        await slot.keep(connection, digest, 201, answer)
        if files:
            # Before the commit: a job must not be seen without its files.
            await add_attachments(inside, files)
    state.gateway.start_soon(stored)
    return json_answer(answer, 201)


def _job(
    state: AppState, caller: Principal, body: AiJobBody, thread: UUID, user: UUID | None, files: Sequence[UUID]
) -> JobRow:
    params = AiParams(
        prompt=body.prompt,
        llm=chosen_llm(state, body.llm, default=state.settings.ai_model),
        model_id=body.model_id,
        branch_id=body.branch_id,
        topic_name=body.topic_name,
        conversation_id=thread,
        progress_webhook=body.progress_webhook_enabled,
        attachment_ids=list(files),
    )
    return JobRow(
        id=uuid4(),
        organization=caller.organization,
        kind=JobKind.AI_JOB,
        params=params.model_dump(mode="json"),
        created_by=caller.key_id,
        conversation_id=thread,
        user_id=user,
    )


async def _accept(state: AppState, connection: Connection, job: JobRow, body: AiJobBody, user: UUID | None) -> JobRow:
    assert job.conversation_id is not None
    thread = ThreadHead(
        id=job.conversation_id,
        organization=job.organization,
        user_id=user,
        model_id=body.model_id,
        branch_id=body.branch_id,
        name=shorten(body.prompt.strip().splitlines()[0], MAX_NAME),
        last_prompt=body.prompt,
    )
    await create_ai_job(connection, job, thread, most=state.limits.most_jobs(job.organization))
    return await lock_job(connection, job.organization, job.id)


async def _file(state: AppState, organization: str, place: int, given: Attachment) -> AttachmentRow:
    field = f"attachments[{place}].data"
    try:
        data = base64.b64decode(given.data, validate=True)
    except binascii.Error as error:
        raise BadInputError(f"{field} is not base64: {error}", code=ErrorCode.INVALID_ENCODING, field=field) from error
    if len(data) > MAX_ATTACHED_BYTES:
        raise TooLargeError(f"{field} is larger than {MAX_ATTACHED_BYTES} bytes")
    suffix = mimetypes.guess_extension(given.mime_type.split(";")[0].strip().lower()) or ""
    name = given.name or f"attachment-{place + 1}{suffix}"
    return await make_attachment(state, organization, name, given.mime_type, data, field=field)


async def ask(state: AppState, caller: Principal, conversation_id: UUID, prompt: str) -> UUID:
    """Ask the next question of a thread, of the model that it was about.

    Raises:
        Conflict: One is being answered.
        BadInputError: The prompt is empty or too long.
    """
    if not prompt.strip() or len(prompt) > MAX_PROMPT:
        raise BadInputError(f"prompt: 1 to {MAX_PROMPT:,} characters", field="prompt")
    thread = await get_conversation(state.db, caller.organization, conversation_id, seer_of(caller))
    body = AiJobBody(model_id=thread.model_id, branch_id=thread.branch_id, prompt=prompt)
    await find_model(state, caller.organization, body.model_id, body.branch_id)
    job = _job(state, caller, body, thread.id, caller.user_id or thread.user_id, [])
    async with state.db.transaction() as connection:
        stored = await _accept(state, connection, job, body, thread.user_id)
    state.gateway.start_soon(stored)
    return job.id


async def draw(
    state: AppState,
    organization: str,
    user_id: UUID | None,
    job_id: UUID,
    *,
    width: int,
    height: int,
    svg: bool,
    dark: bool = False,
) -> bytes | str:
    """The chart of a job: its last drawable query, or that of its thread where it only changed the style.

    Raises:
        NotFoundError: No such job, or it is not COMPLETE.
        UndrawableError: There is nothing to draw.
    """
    turn = await read_turn(state.db, organization, job_id, user_id)
    if turn.state is not AiState.COMPLETE:
        raise NotFoundError(f"the job {job_id} is {turn.state}; there is a chart when it is COMPLETE")
    job, _, _ = await get_ai_job(state.db, organization, job_id, user_id)
    turns = [turn]
    if job.conversation_id is not None and not any(one.drawable for one in turn.actions):
        thread = await read_thread(state.db, organization, job.conversation_id, user_id)
        turns = [one for one in thread.turns if one.created_at <= turn.created_at]
    found = last_drawable(turns)
    if found is None:
        raise UndrawableError("no query of this thread brought rows")
    return await asyncio.to_thread(_drawn, found[0], found[1], width, height, svg, dark)


def _drawn(
    action: StoredAction, wanted: ChartType | None, width: int, height: int, svg: bool, dark: bool
) -> bytes | str:
    rows = read_rows(action.columns, action.csv or "")
    spec = chart_spec(
        action.columns, rows, wanted=wanted, title=action.title or "", width=width, height=height, dark=dark,
        remark=more_rows(action, len(rows)),
    )  # fmt: skip
    return render_svg(spec) if svg else render_png(spec)
