"""Links to conversations: who was given one is let in while its row is there and not revoked."""

from __future__ import annotations

from datetime import datetime
from typing import cast
from uuid import UUID

from sqlalchemy import func
from sqlmodel import col, select

from towpath.ai.store.tables import ChatLinkRow
from towpath.core.errors import NotFoundError
from towpath.db.engine import Connection, Database


async def add_link(
    database: Database, organization: str, conversation_id: UUID, *, write: bool, created_by: UUID | None, seconds: int
) -> ChatLinkRow:
    """Store a link to a conversation, which the caller has seen; it is valid for so many seconds."""
    row = ChatLinkRow(
        organization=organization, conversation_id=conversation_id, write=write, created_by=created_by,
        # By the clock of Postgres, which also tells when it is over.
        expires_at=cast(datetime, func.now() + func.make_interval(0, 0, 0, 0, 0, 0, seconds)),
    )  # fmt: skip
    async with database.session() as session:
        session.add(row)
        await session.flush()
        await session.refresh(row)
    return row


async def list_links(database: Database, organization: str, conversation_id: UUID) -> list[ChatLinkRow]:
    """List the links to a conversation that have not expired, newest first; revoked ones too."""
    query = select(ChatLinkRow).where(
        ChatLinkRow.organization == organization,
        ChatLinkRow.conversation_id == conversation_id,
        col(ChatLinkRow.expires_at) > func.now(),
    )
    async with database.session() as session:
        rows = await session.exec(query.order_by(col(ChatLinkRow.created_at).desc(), col(ChatLinkRow.id)))
        return list(rows.all())


async def revoke_link(database: Database, organization: str, conversation_id: UUID, link_id: UUID) -> None:
    """Let nobody in by a link from now on; again changes nothing.

    Raises:
        NotFoundError: The conversation has no such link.
    """
    async with database.transaction() as connection:
        updated = await connection.execute(
            "UPDATE chat_links SET revoked_at = coalesce(revoked_at, now())"
            " WHERE id = %s AND conversation_id = %s AND organization = %s",
            (link_id, conversation_id, organization),
        )
        if not updated.rowcount:
            raise NotFoundError(f"no link {link_id} to this conversation")


async def is_link_valid(database: Database, link_id: UUID) -> bool:
    """Return whether a link lets its bearer in."""
    async with database.transaction() as connection:
        rows = await connection.execute(
            "SELECT 1 FROM chat_links WHERE id = %s AND revoked_at IS NULL AND expires_at > now()", (link_id,)
        )
        return await rows.fetchone() is not None


async def sweep_links(connection: Connection) -> None:
    """Delete links that have expired."""
    await connection.execute("DELETE FROM chat_links WHERE expires_at < now()")
