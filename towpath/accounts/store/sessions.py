"""Sign-ins: a row for each, without which its token and its cookie are not taken; and what goes with signing in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, func
from sqlmodel import col, select

from towpath.accounts.store.tables import ApiKeyRow, SessionRow, UserRow
from towpath.db.engine import Connection, Database

PLACE_DAYS = 90
"""So long an address from which a user has signed in counts as known."""
SessionOwner = tuple[ApiKeyRow | None, UserRow | None]


async def open_key_session(database: Database, key_id: UUID, *, seconds: int) -> UUID:
    """Store a sign-in with a key.

    Args:
        seconds: How long it lasts at the most; it ends with the key in any case.

    Returns:
        Its id, for the token.
    """
    row = SessionRow(key_id=key_id, expires_at=datetime.now(UTC) + timedelta(seconds=seconds))
    async with database.session() as session:
        session.add(row)
    return row.id


async def open_user_session(database: Database, user: UserRow, *, seconds: int) -> UUID | None:
    """Store a sign-in of a user whose password was verified.

    Args:
        user: As they were then.
        seconds: How long it lasts at the most.

    Returns:
        Its id, for the token; None: the password was changed meanwhile, or the user may not enter any more.
    """
    async with database.transaction() as connection:
        # The lock lets a change of the password go first or see this sign-in, and end it.
        cursor = await connection.execute(
            """
            INSERT INTO sessions (id, user_id, expires_at)
            SELECT gen_random_uuid(), id, now() + make_interval(secs => %s) FROM (
                SELECT id FROM users WHERE id = %s AND password_hash = %s AND active AND removed_at IS NULL FOR SHARE
            ) AS still RETURNING id
            """,
            (seconds, user.id, user.password_hash),
        )
        row = await cursor.fetchone()
        return None if row is None else row[0]


async def find_session(database: Database, session_id: UUID) -> SessionOwner | None:
    """Return who is signed in: a user, or a key with its user. One read by primary keys.

    Returns:
        None: it was ended or is over, the user may not enter any more, or the key is revoked or expired.
    """
    query = (
        select(SessionRow, ApiKeyRow, UserRow)
        .outerjoin(ApiKeyRow, col(ApiKeyRow.id) == col(SessionRow.key_id))
        .outerjoin(UserRow, col(UserRow.id) == func.coalesce(col(SessionRow.user_id), col(ApiKeyRow.user_id)))
        .where(SessionRow.id == session_id, col(SessionRow.expires_at) > func.now())
    )
    async with database.session() as session:
        row = (await session.exec(query)).one_or_none()
    if row is None:
        return None
    open_session, key, user = row
    if open_session.key_id is not None:
        return (key, user) if key is not None and key.live else None
    return (None, user) if user is not None and user.may_enter else None


async def end_session(database: Database, session_id: UUID) -> None:
    """End one sign-in: its token and its cookie are not taken any more."""
    async with database.session() as session:
        await session.exec(delete(SessionRow).where(col(SessionRow.id) == session_id))


async def end_sessions(database: Database, user_id: UUID, *, but: UUID | None = None) -> int:
    """End all sign-ins of a user.

    Args:
        but: One that stays.

    Returns:
        How many there were.
    """
    async with database.transaction() as connection:
        return await end_sessions_in(connection, user_id, but=but)


async def end_sessions_in(connection: Connection, user_id: UUID, *, but: UUID | None = None) -> int:
    """Return the same in a transaction."""
    gone = await connection.execute(
        """
        DELETE FROM sessions WHERE id IS DISTINCT FROM %(but)s::uuid AND (
            user_id = %(user)s OR key_id IN (SELECT id FROM api_keys WHERE user_id = %(user)s AND kind = 'personal')
        )
        """,
        {"user": user_id, "but": but},
    )
    return gone.rowcount


async def note_place(database: Database, user_id: UUID, place: bytes) -> None:
    """Remember from where a user has signed in."""
    async with database.transaction() as connection:
        await connection.execute(
            """
            INSERT INTO sign_in_places (user_id, place) VALUES (%s, %s)
            ON CONFLICT (user_id, place) DO UPDATE SET last_at = now()
            """,
            (user_id, place),
        )


async def is_known_place(database: Database, user_id: UUID, place: bytes) -> bool:
    """Return whether a user has signed in from there in the last 90 days."""
    async with database.statement() as connection:
        cursor = await connection.execute(
            """
            SELECT 1 FROM sign_in_places
            WHERE user_id = %s AND place = %s AND last_at > now() - make_interval(days => %s)
            """,
            (user_id, place, PLACE_DAYS),
        )
        return await cursor.fetchone() is not None


async def sweep_sign_ins(connection: Connection) -> None:
    """Delete sessions and resets that are over, and places that nobody has signed in from for long."""
    await connection.execute("DELETE FROM sessions WHERE expires_at <= now()")
    await connection.execute("DELETE FROM password_resets WHERE expires_at <= now()")
    await connection.execute(
        "DELETE FROM sign_in_places WHERE last_at <= now() - make_interval(days => %s)", (PLACE_DAYS,)
    )
