"""Links to threads: who was given one is let in while its row is there and not revoked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from psycopg.rows import class_row

from towpath.core.errors import NotFoundError
from towpath.db.engine import Connection, Database

COLUMNS = "id, write, created_by, created_at, expires_at, revoked_at"


@dataclass(frozen=True, slots=True)
class ChatLink:
    """A link.

    Attributes:
        write: Whether its bearer may ask and cancel.
        created_by: The user or key that made it.
    """

    id: UUID
    write: bool
    created_by: UUID | None
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


async def add_link(
    database: Database, organization: str, conversation_id: UUID, *, write: bool, by: UUID | None, seconds: int
) -> ChatLink:
    """Make a link to a thread, which the caller has seen.

    Args:
        seconds: How long it holds.
    """
    async with database.transaction() as connection, connection.cursor(row_factory=class_row(ChatLink)) as cursor:
        await cursor.execute(
            f"""
            INSERT INTO chat_links (id, organization, conversation_id, write, created_by, expires_at)
            VALUES (%s, %s, %s, %s, %s, now() + make_interval(secs => %s)) RETURNING {COLUMNS}
            """,
            (uuid4(), organization, conversation_id, write, by, seconds),
        )
        made = await cursor.fetchone()
    assert made is not None
    return made


async def list_links(database: Database, organization: str, conversation_id: UUID) -> list[ChatLink]:
    """The links to a thread that have not expired, newest first; revoked ones too."""
    async with database.transaction() as connection, connection.cursor(row_factory=class_row(ChatLink)) as cursor:
        await cursor.execute(
            f"SELECT {COLUMNS} FROM chat_links WHERE organization = %s AND conversation_id = %s AND expires_at > now()"
            " ORDER BY created_at DESC, id",
            (organization, conversation_id),
        )
        return await cursor.fetchall()


async def revoke_link(database: Database, organization: str, conversation_id: UUID, link_id: UUID) -> None:
    """Let nobody in by a link from now on; again changes nothing.

    Raises:
        NotFoundError: The thread has no such link.
    """
    async with database.transaction() as connection:
        done = await connection.execute(
            "UPDATE chat_links SET revoked_at = coalesce(revoked_at, now())"
            " WHERE id = %s AND conversation_id = %s AND organization = %s",
            (link_id, conversation_id, organization),
        )
        if not done.rowcount:
            raise NotFoundError(f"no link {link_id} to this conversation")


async def link_holds(database: Database, link_id: UUID) -> bool:
    """Whether a link lets its bearer in."""
    async with database.transaction() as connection:
        found = await connection.execute(
            "SELECT 1 FROM chat_links WHERE id = %s AND revoked_at IS NULL AND expires_at > now()", (link_id,)
        )
        return await found.fetchone() is not None


async def sweep_links(connection: Connection) -> None:
    """Forget links that have expired."""
    await connection.execute("DELETE FROM chat_links WHERE expires_at < now()")
