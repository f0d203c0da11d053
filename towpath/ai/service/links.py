"""Links to conversations: who was given one is let in until it expires or is revoked."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from towpath.accounts.types import Principal
from towpath.ai.service.conversations import get_conversation
from towpath.ai.service.parts import AiParts
from towpath.ai.store import links as store
from towpath.ai.store.tables import ChatLinkRow
from towpath.db.engine import Database


async def create_link(
    parts: AiParts, caller: Principal, conversation_id: UUID, *, write: bool, seconds: int
) -> ChatLinkRow:
    """Create a link to a conversation that the caller may see.

    Args:
        parts: The façade's parts.
        caller: Who gives it away.
        conversation_id: The conversation.
        write: Whether its bearer may also ask and cancel.
        seconds: How long it is valid.

    Raises:
        NotFoundError: The conversation is not there, or not to be seen.
    """
    thread = await get_conversation(parts, caller, conversation_id)
    created_by = caller.user_id or caller.key_id
    return await store.add_link(
        parts.database, caller.organization, thread.id, write=write, created_by=created_by, seconds=seconds
    )


async def list_links(parts: AiParts, caller: Principal, conversation_id: UUID) -> Sequence[ChatLinkRow]:
    """List the links to a conversation that have not expired, newest first; revoked ones too.

    Raises:
        NotFoundError: The conversation is not there, or not to be seen.
    """
    thread = await get_conversation(parts, caller, conversation_id)
    return await store.list_links(parts.database, caller.organization, thread.id)


async def revoke_link(parts: AiParts, caller: Principal, conversation_id: UUID, link_id: UUID) -> None:
    """Let nobody in by a link from now on.

    Raises:
        NotFoundError: The conversation is not there or not to be seen, or has no such link.
    """
    thread = await get_conversation(parts, caller, conversation_id)
    await store.revoke_link(parts.database, caller.organization, thread.id, link_id)


async def is_link_valid(database: Database, link_id: UUID) -> bool:
    """Return whether a link lets its bearer in."""
    return await store.is_link_valid(database, link_id)
