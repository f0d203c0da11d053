"""Reads questions and their conversations for who may see them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID

from towpath.accounts.types import Principal
from towpath.ai.service.parts import AiParts
from towpath.ai.service.questions import resolve_user
from towpath.ai.store import threads as thread_store
from towpath.ai.store.lists import get_ai_job, list_ai_jobs
from towpath.ai.store.tables import AiJobRow
from towpath.ai.types import AiState, Conversation, Thread, Turn, to_ai_state
from towpath.jobs.policy import seer_of
from towpath.jobs.store.tables import JobRow

Item = TypeVar("Item")
Position = tuple[datetime, UUID]
"""Where a page of a list ends: the moment by which it is sorted, and the id."""


@dataclass(frozen=True, slots=True)
class Question:
    """The job of a question with what it has beside its row.

    Attributes:
        queue_position: Its place among those that wait, from 1; None: it does not wait.
    """

    job: JobRow
    details: AiJobRow
    queue_position: int | None = None

    @property
    def state(self) -> AiState:
        """Return where it stands, in the words of its API."""
        return to_ai_state(self.job.state, self.job.phase)


@dataclass(frozen=True, slots=True)
class ListPage(Generic[Item]):
    """A page of a list.

    Attributes:
        has_more: Whether another page follows.
        total: How many there are on all pages.
    """

    items: Sequence[Item]
    has_more: bool
    total: int


async def list_questions(
    parts: AiParts,
    caller: Principal,
    *,
    state: AiState | None,
    conversation_id: UUID | None,
    model_id: UUID | None,
    before: Position | None,
    size: int,
) -> ListPage[Question]:
    """List the questions that a caller may see, newest first.

    Args:
        parts: The façade's parts.
        caller: Who looks.
        state: Only those that stand here.
        conversation_id: Only those of this conversation.
        model_id: Only those asked of this model.
        before: Where the page before ended.
        size: How many, at most.
    """
    rows, total = await list_ai_jobs(
        parts.database,
        caller.organization,
        seer_of(caller),
        state=state,
        conversation_id=conversation_id,
        model_id=model_id,
        before=before,
        # One more than is shown tells whether another page follows.
        limit=size + 1,
    )
    return ListPage([Question(job, details) for job, details in rows[:size]], len(rows) > size, total)


async def load_question(parts: AiParts, caller: Principal, job_id: UUID, *, wait_seconds: float = 0.0) -> Question:
    """Load one question.

    Args:
        parts: The façade's parts.
        caller: Who looks.
        job_id: Its job.
        wait_seconds: For how long a change of its state is waited for, if it has not ended.

    Raises:
        NotFoundError: It is not there, or not to be seen.
    """
    first = question = await _load_question(parts, caller, job_id)
    if not wait_seconds or first.job.state.final:
        return question
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(wait_seconds), parts.events.subscribed(job_id) as has_news:
            while question.state is first.state:
                await has_news.wait()
                has_news.clear()
                question = await _load_question(parts, caller, job_id)
    return question


async def _load_question(parts: AiParts, caller: Principal, job_id: UUID) -> Question:
    return Question(*await get_ai_job(parts.database, caller.organization, job_id, seer_of(caller)))


async def list_conversations(
    parts: AiParts, caller: Principal, user_id: UUID | None, *, before: Position | None, size: int
) -> ListPage[Conversation]:
    """List conversations, the latest activity first.

    Args:
        parts: The façade's parts.
        caller: Who looks; a personal token sees its own.
        user_id: Whose are listed; None: all that the caller may see.
        before: Where the page before ended.
        size: How many, at most.

    Raises:
        ForbiddenError: A personal token names another user.
        NotFoundError: No such user: nobody's conversations would look like nobody having asked.
    """
    if user_id is not None:
        await resolve_user(parts.database, caller, user_id)
    rows, total = await thread_store.list_conversations(
        parts.database, caller.organization, seer_of(caller) or user_id, before=before, limit=size + 1
    )
    return ListPage(rows[:size], len(rows) > size, total)


async def get_conversation(parts: AiParts, caller: Principal, conversation_id: UUID) -> Conversation:
    """Load what is known of a conversation beside its turns.

    Raises:
        NotFoundError: It is not there, or not to be seen.
    """
    return await thread_store.get_conversation(parts.database, caller.organization, conversation_id, seer_of(caller))


async def get_linked_conversation(parts: AiParts, organization: str, conversation_id: UUID) -> Conversation:
    """Load what is known of a conversation for the bearer of a link to it, which was checked.

    Raises:
        NotFoundError: It is not there any more.
    """
    return await thread_store.get_conversation(parts.database, organization, conversation_id, None)


async def load_thread(parts: AiParts, caller: Principal, conversation_id: UUID) -> Thread:
    """Load a conversation with its turns, the newest 200 of them, oldest first.

    Raises:
        NotFoundError: It is not there, or not to be seen.
    """
    return await thread_store.read_thread(parts.database, caller.organization, conversation_id, seer_of(caller))


async def load_turn(parts: AiParts, caller: Principal, job_id: UUID, *, conversation_id: UUID | None = None) -> Turn:
    """Load one question with all that came of it.

    Args:
        parts: The façade's parts.
        caller: Who looks.
        job_id: Its job.
        conversation_id: The conversation that it must belong to: a link opens no other.

    Raises:
        NotFoundError: It is not there, not to be seen, or of another conversation.
    """
    return await thread_store.read_turn(
        parts.database, caller.organization, job_id, seer_of(caller), conversation_id=conversation_id
    )


async def get_thread_job(parts: AiParts, caller: Principal, conversation_id: UUID, job_id: UUID) -> JobRow:
    """Load the job of a question, if it is one of a conversation's: a link opens no other.

    Raises:
        NotFoundError: It is not there, or of another conversation.
    """
    return await thread_store.get_thread_job(parts.database, caller.organization, conversation_id, job_id)
