"""Questions over semantic models: who may ask what, and how a question becomes a job."""

from __future__ import annotations

import base64
import binascii
import mimetypes
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from towpath.accounts.store.auth import get_user
from towpath.accounts.types import KeyKind, Principal, organization_uuid
from towpath.ai.domain.semantics.content import get_topic
from towpath.ai.service.parts import AiParts
from towpath.ai.store.jobs import create_ai_job, create_call, read_actions
from towpath.ai.store.models import ASKABLE, get_model, load_content
from towpath.ai.store.threads import get_conversation
from towpath.ai.types import (
    AI_JOB,
    MAX_PROMPT,
    QUERY_GENERATION,
    TOPIC_CHOICE,
    ActionType,
    AiJobBody,
    AiParams,
    Attachment,
    ConversationBase,
    GenerateQueryBody,
    ModelKind,
    PickTopicBody,
    QuestionBody,
    StoredAction,
    to_public_code,
)
from towpath.core.errors import (
    BadInputError,
    ErrorCode,
    ForbiddenError,
    ModelTimeoutError,
    NotFoundError,
    TooLargeError,
    TowpathError,
)
from towpath.core.texts import shorten
from towpath.db.engine import Connection, Database
from towpath.jobs.policy import seer_of
from towpath.jobs.store.jobs import lock_job
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import JobState
from towpath.llm.service import make_attachment
from towpath.llm.store.attachments import add_attachments
from towpath.llm.store.tables import AttachmentRow
from towpath.webhooks.store.endpoints import add_job_endpoint
from towpath.webhooks.types import JobEndpoint

MAX_ATTACHED_BYTES = 10 << 20
MAX_NAME = 80
WAIT_SECONDS = 120.0


class AiFaultError(TowpathError):
    """500: the question found no answer."""


@dataclass(frozen=True, slots=True)
class QuestionDraft:
    """A question that has passed all checks and is not stored yet.

    Attributes:
        job: Its job.
        thread: The conversation that it begins or goes on with.
        files: What came with it.
        target: Where its end is announced.
    """

    job: JobRow
    thread: ConversationBase
    files: Sequence[AttachmentRow] = ()
    target: JobEndpoint | None = None


def assert_prompt(prompt: str) -> None:
    """Refuse a prompt that asks nothing.

    Raises:
        BadInputError: It is blank.
    """
    if not prompt.strip():
        raise BadInputError("prompt is empty", field="prompt")


async def resolve_user(database: Database, caller: Principal, user_id: UUID | None) -> UUID | None:
    """Decide as whom a caller acts.

    Returns:
        A user; None: the organization itself.

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
    user = await get_user(database, user_id)
    if user is None or user.organization != caller.organization:
        raise NotFoundError(f"userId: no user {user_id}")
    return user_id


async def assert_askable(
    database: Database, organization: str, model_id: UUID, branch_id: UUID | None, *topics: str | None
) -> None:
    """Refuse a question of a model, or of a branch of it, that cannot be asked of it.

    Args:
        database: Holds the models.
        organization: Whose.
        model_id: The model.
        branch_id: A branch of it.
        topics: Names that must be among its topics.

    Raises:
        NotFoundError: No such shared model, branch of it, or topic.
        BadInputError: Its layers do not make a valid model.
    """
    row = await get_model(database, organization, model_id, kinds=ASKABLE)
    if branch_id is not None:
        branch = await get_model(database, organization, branch_id, kinds=(ModelKind.BRANCH,))
        if branch.base_model_id != row.id:
            raise NotFoundError(f"branchId: {branch_id} is no branch of the model {model_id}")
        row = branch
    content = await load_content(database, row)
    for name in topics:
        if name is not None:
            get_topic(content, name)


async def check_question(parts: AiParts, caller: Principal, body: AiJobBody, user_id: UUID | None) -> UUID | None:
    """Check who asks and what is asked, before anything else of a request is read.

    Args:
        parts: The façade's parts.
        caller: Who asks.
        body: The question.
        user_id: As whom; None: as the caller.

    Returns:
        The user as whom the caller acts; None: the organization.

    Raises:
        ForbiddenError: A personal token names another user.
        NotFoundError: No such user, model, branch or topic.
        BadInputError: The prompt is blank, or the model is not valid.
    """
    user = await resolve_user(parts.database, caller, user_id)
    assert_prompt(body.prompt)
    await assert_askable(parts.database, caller.organization, body.model_id, body.branch_id, body.topic_name)
    return user


async def draft_question(
    parts: AiParts, caller: Principal, body: AiJobBody, *, user: UUID | None, target: JobEndpoint | None
) -> QuestionDraft:
    """Make the job of a checked question, with its conversation and its files; nothing is stored yet.

    Args:
        parts: The façade's parts.
        caller: Who asks.
        body: The question.
        user: As whom it is asked, see `check_question`.
        target: Where its end is announced; None: nowhere.

    Raises:
        NotFoundError: No such conversation.
        BadInputError: An attached file or the language model is not usable, or progress has nowhere to go to.
        TooLargeError: An attached file is too large.
    """
    if body.progress_webhook_enabled and target is None:
        raise BadInputError("progressWebhookEnabled needs a webhookUrl", field="progressWebhookEnabled")
    if body.conversation_id is not None:
        await get_conversation(parts.database, caller.organization, body.conversation_id, seer_of(caller))
    files = [
        await _read_attachment(parts, caller.organization, place, attachment)
        for place, attachment in enumerate(body.attachments)
    ]
    thread = _draft_conversation(caller, body, body.conversation_id or uuid4(), user)
    job = _question_job(parts, caller, body, thread.id, user, [file.id for file in files])
    return QuestionDraft(job, thread, files, target)


async def accept_question(database: Database, connection: Connection, draft: QuestionDraft, *, max_jobs: int) -> JobRow:
    """Store a question with everything that belongs to it, in the caller's transaction.

    Args:
        database: The transaction as a database.
        connection: The transaction.
        draft: The question.
        max_jobs: How many jobs of the organization may be in flight.

    Raises:
        ConflictError: The thread has an active job; the transaction must roll back.
        LimitReachedError: The organization has as many jobs as it may.
    """
    await create_ai_job(connection, draft.job, draft.thread, most=max_jobs)
    stored = await lock_job(connection, draft.job.organization, draft.job.id)
    if draft.target is not None:
        await add_job_endpoint(connection, draft.job.id, draft.target)
    if draft.files:
        # Before the commit: a job must not be seen without its files.
        await add_attachments(database, draft.files)
    return stored


async def ask_in_thread(parts: AiParts, caller: Principal, conversation_id: UUID, prompt: str) -> JobRow:
    """Accept the next question of a thread, of the model that it was about; its job is to be started.

    Raises:
        ConflictError: One is being answered.
        BadInputError: The prompt is empty or too long.
    """
    if not prompt.strip() or len(prompt) > MAX_PROMPT:
        raise BadInputError(f"prompt: 1 to {MAX_PROMPT:,} characters", field="prompt")
    database = parts.database
    thread = await get_conversation(database, caller.organization, conversation_id, seer_of(caller))
    body = AiJobBody(model_id=thread.model_id, branch_id=thread.branch_id, prompt=prompt)
    await assert_askable(database, caller.organization, body.model_id, body.branch_id)
    job = _question_job(parts, caller, body, thread.id, caller.user_id or thread.user_id, [])
    draft = QuestionDraft(job, _draft_conversation(caller, body, thread.id, thread.user_id))
    async with database.joined() as (inside, connection):
        return await accept_question(inside, connection, draft, max_jobs=parts.max_jobs(caller.organization))


def _question_job(
    parts: AiParts, caller: Principal, body: AiJobBody, thread_id: UUID, user: UUID | None, files: Sequence[UUID]
) -> JobRow:
    params = AiParams(
        prompt=body.prompt,
        llm=parts.catalog.choose(body.llm, default=parts.default_llm),
        model_id=body.model_id,
        branch_id=body.branch_id,
        topic_name=body.topic_name,
        conversation_id=thread_id,
        progress_webhook=body.progress_webhook_enabled,
        attachment_ids=list(files),
    )
    return JobRow(
        id=uuid4(),
        organization=caller.organization,
        kind=AI_JOB,
        params=params.model_dump(mode="json"),
        created_by=caller.key_id,
        conversation_id=thread_id,
        user_id=user,
    )


def _draft_conversation(caller: Principal, body: AiJobBody, thread_id: UUID, user: UUID | None) -> ConversationBase:
    return ConversationBase(
        id=thread_id,
        organization=caller.organization,
        user_id=user,
        model_id=body.model_id,
        branch_id=body.branch_id,
        name=shorten(body.prompt.strip().splitlines()[0], MAX_NAME),
        last_prompt=body.prompt,
    )


async def _read_attachment(parts: AiParts, organization: str, place: int, attachment: Attachment) -> AttachmentRow:
    field = f"attachments[{place}].data"
    try:
        data = base64.b64decode(attachment.data, validate=True)
    except binascii.Error as error:
        raise BadInputError(f"{field} is not base64: {error}", code=ErrorCode.INVALID_ENCODING, field=field) from error
    if len(data) > MAX_ATTACHED_BYTES:
        raise TooLargeError(f"{field} is larger than {MAX_ATTACHED_BYTES} bytes")
    suffix = mimetypes.guess_extension(attachment.mime_type.split(";")[0].strip().lower()) or ""
    name = attachment.name or f"attachment-{place + 1}{suffix}"
    return await make_attachment(
        parts.reader,
        organization,
        name,
        attachment.mime_type,
        data,
        max_bytes=parts.attachment_max_bytes,
        field=field,
    )


async def draft_topic_choice(parts: AiParts, caller: Principal, body: PickTopicBody) -> JobRow:
    """Make the job that chooses the topic of a single question.

    Raises:
        NotFoundError: No such model or topic.
        BadInputError: The prompt is blank, or no language model can be asked.
    """
    return await _draft_call(
        parts, caller, TOPIC_CHOICE, body, known=body.current_topic_name, topics=body.potential_topic_names
    )


async def draft_query_generation(parts: AiParts, caller: Principal, body: GenerateQueryBody) -> JobRow:
    """Make the job that finds the query of a single question.

    Raises:
        NotFoundError: No such model or topic.
        BadInputError: The prompt is blank, or no language model can be asked.
    """
    topic = body.topic_name or body.current_topic_name
    return await _draft_call(parts, caller, QUERY_GENERATION, body, topic=topic, run=body.run_query)


async def accept_call(connection: Connection, job: JobRow, *, max_jobs: int) -> None:
    """Store a single question, in the caller's transaction.

    Raises:
        LimitReachedError: The organization has as many jobs as it may.
    """
    await create_call(connection, job, most=max_jobs)


async def _draft_call(
    parts: AiParts,
    caller: Principal,
    kind: str,
    body: QuestionBody,
    *,
    topic: str | None = None,
    known: str | None = None,
    topics: list[str] | None = None,
    run: bool = True,
) -> JobRow:
    user = await resolve_user(parts.database, caller, body.user_id)
    await assert_askable(
        parts.database, caller.organization, body.model_id, body.branch_id, topic, known, *(topics or ())
    )
    assert_prompt(body.prompt)
    params = AiParams(
        prompt=body.prompt,
        llm=parts.catalog.choose(body.llm, default=parts.default_llm),
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


async def wait_for_call(parts: AiParts, job: JobRow) -> tuple[JobRow, StoredAction | None]:
    """Wait for the answer to a single question.

    Returns:
        The job, and the last query that it has generated.

    Raises:
        ModelTimeoutError: There is no answer in time; the job goes on.
        NotFoundError: There is no topic.
        AiFaultError: The language model gives no answer.
    """
    job = await parts.events.wait_for_end(job, seconds=WAIT_SECONDS)
    if not job.state.final:
        raise ModelTimeoutError(f"not finished within {WAIT_SECONDS:g} s; the job goes on: /v1/jobs/{job.id}")
    if job.state is not JobState.COMPLETED:
        if job.error_code == ErrorCode.TOPIC_NOT_FOUND:
            raise NotFoundError(job.error_message or "no topic", code=ErrorCode.TOPIC_NOT_FOUND)
        code = to_public_code(job.error_code or ErrorCode.INTERNAL)
        raise AiFaultError(job.error_message or "the question failed", code=ErrorCode(code))
    async with parts.database.transaction() as connection:
        actions = (await read_actions(connection, [job.id]))[job.id]
    return job, next((action for action in reversed(actions) if action.type is ActionType.GENERATE_QUERY), None)
