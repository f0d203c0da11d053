"""What is done to users and invitations of an organisation."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlmodel import col, select

from towpath.accounts.domain.keys import hash_key
from towpath.accounts.store.auth import get_user, revoke_keys, revoke_unused_grants
from towpath.accounts.store.sessions import end_sessions_in
from towpath.accounts.store.tables import InvitationRow, UserRow
from towpath.accounts.types import Role
from towpath.core.errors import ConflictError, NotFoundError
from towpath.db.engine import Connection, Database

OWNERS = [role.value for role in Role if role.covers(Role.OWNER)]
RESET_TIME = timedelta(hours=24)
UserCheck = Callable[[UserRow], None]
"""Raises where something must not be done to a user; asked while the organization is locked."""


async def get_member(database: Database, organization: str, user_id: UUID) -> UserRow:
    """Return a user of an organisation who was not removed.

    Raises:
        NotFoundError: There is none.
    """
    user = await get_user(database, user_id)
    if user is None or user.organization != organization or user.removed_at is not None:
        raise NotFoundError(f"no user {user_id}")
    return user


async def change_user(
    database: Database,
    organization: str,
    user_id: UUID,
    check: UserCheck,
    *,
    active: bool | None = None,
    role: Role | None = None,
) -> UserRow:
    """Lock a user out, let them in again, or change what they may do; who is locked out loses all sessions.

    Args:
        active: None: as it is.
        role: None: as it is.

    Raises:
        NotFoundError: No such user in this organisation.
        ConflictError: The organisation would be without an owner.
    """
    async with database.joined() as (db, connection):
        user = await _locked(db, connection, organization, user_id, check)
        after_active = user.active if active is None else active
        after_role = user.role if role is None else role
        if not (after_active and after_role.covers(Role.OWNER)):
            await _assert_another_owner(connection, user)
        await connection.execute(
            "UPDATE users SET active = %s, role = %s WHERE id = %s", (after_active, after_role.value, user_id)
        )
        if not after_active:
            await _shut_out(connection, user_id)
        elif not after_role.covers(user.role):
            await revoke_unused_grants(connection, [user_id])
    return await get_member(database, organization, user_id)


async def remove_user(database: Database, organization: str, user_id: UUID, check: UserCheck) -> None:
    """Remove a user: sessions end, personal keys and what those have made are revoked, the address becomes free.

    What they asked and decided stays, under their name.

    Raises:
        NotFoundError: No such user in this organisation.
        ConflictError: The organisation would be without an owner.
    """
    async with database.joined() as (db, connection):
        user = await _locked(db, connection, organization, user_id, check)
        await _assert_another_owner(connection, user)
        await connection.execute(
            "UPDATE users SET active = false, removed_at = now(), password_hash = '' WHERE id = %s", (user_id,)
        )
        await _shut_out(connection, user_id)
        await connection.execute("DELETE FROM sign_in_places WHERE user_id = %s", (user_id,))
        own = await connection.execute(
            "SELECT id FROM api_keys WHERE user_id = %s AND kind = 'personal'", (user_id,)
        )  # fmt: skip
        await revoke_keys(connection, [row[0] for row in await own.fetchall()])


async def _locked(db: Database, connection: Connection, organization: str, user_id: UUID, check: UserCheck) -> UserRow:
    """The user, while nobody else changes one of the organisation: two owners must not remove each other at once."""
    await connection.execute("SELECT 1 FROM organizations WHERE id = %s FOR UPDATE", (organization,))
    user = await get_member(db, organization, user_id)
    check(user)
    return user


async def _assert_another_owner(connection: Connection, user: UserRow) -> None:
    if not (user.active and user.role.covers(Role.OWNER)):
        return
    cursor = await connection.execute(
        """
        SELECT 1 FROM users
        WHERE organization = %s AND id <> %s AND active AND removed_at IS NULL AND role = ANY(%s) LIMIT 1
        """,
        (user.organization, user.id, OWNERS),
    )
    if await cursor.fetchone() is None:
        raise ConflictError("this is the last owner of the organization; make another user an owner first")


async def _shut_out(connection: Connection, user_id: UUID) -> None:
    await end_sessions_in(connection, user_id)
    await connection.execute("DELETE FROM password_resets WHERE user_id = %s", (user_id,))
    await revoke_unused_grants(connection, [user_id])


async def set_password(database: Database, user_id: UUID, password_hash: str, *, but: UUID | None = None) -> None:
    """Give a user another password: all sessions end, and an open reset with them.

    Args:
        but: The session that stays: the one in which it was changed.
    """
    async with database.transaction() as connection:
        await _set_password(connection, user_id, password_hash, but)


async def _set_password(connection: Connection, user_id: UUID, password_hash: str, but: UUID | None) -> None:
    await connection.execute("UPDATE users SET password_hash = %s WHERE id = %s", (password_hash, user_id))
    await end_sessions_in(connection, user_id, but=but)
    await connection.execute("DELETE FROM password_resets WHERE user_id = %s", (user_id,))


async def make_reset(database: Database, user_id: UUID, token: str, *, by: UUID | None) -> datetime:
    """Store a user's reset, in the place of an earlier one; it ends after 24 hours, or with who has made it.

    Args:
        by: The user or key that makes it; None: who has the database.

    Returns:
        When it ends.
    """
    ends = datetime.now(UTC) + RESET_TIME
    async with database.transaction() as connection:
        await connection.execute(
            """
            INSERT INTO password_resets (user_id, token_hash, expires_at, created_by) VALUES (%s, %s, %s, %s)
            ON CONFLICT (user_id) DO UPDATE SET token_hash = excluded.token_hash, expires_at = excluded.expires_at,
                created_by = excluded.created_by, created_at = now()
            """,
            (user_id, hash_key(token), ends, by),
        )
    return ends


async def reset_user(database: Database, token: str) -> UserRow | None:
    """Return the user whom a reset is for; None: it is unknown, used or over, or its user may not enter."""
    async with database.statement() as connection:
        cursor = await connection.execute(
            "SELECT user_id FROM password_resets WHERE token_hash = %s AND expires_at > now()", (hash_key(token),)
        )
        row = await cursor.fetchone()
    user = None if row is None else await get_user(database, row[0])
    return user if user is not None and user.may_enter else None


async def use_reset(database: Database, token: str, password_hash: str) -> bool:
    """Set the password for which a reset was made; all sessions of its user end.

    Returns:
        False: it is unknown, used or over, or its user may not enter.
    """
    async with database.transaction() as connection:
        cursor = await connection.execute(
            """
            DELETE FROM password_resets USING users WHERE token_hash = %s AND expires_at > now()
            AND users.id = password_resets.user_id AND users.active AND users.removed_at IS NULL RETURNING user_id
            """,
            (hash_key(token),),
        )
        row = await cursor.fetchone()
        if row is None:
            return False
        await _set_password(connection, row[0], password_hash, None)
        return True


async def list_invitations(database: Database, organization: str) -> list[InvitationRow]:
    """Invitations that can still be used, newest first."""
    async with database.session() as session:
        query = select(InvitationRow).where(
            InvitationRow.organization == organization,
            col(InvitationRow.used_at).is_(None),
            col(InvitationRow.expires_at) > datetime.now(UTC),
        )
        return list((await session.exec(query.order_by(col(InvitationRow.created_at).desc()))).all())


async def revoke_invitation(database: Database, organization: str, invitation_id: UUID) -> None:
    """Make an invitation useless from now on.

    Raises:
        NotFoundError: No such invitation in this organisation, or it was used.
    """
    async with database.transaction() as connection:
        gone = await connection.execute(
            "DELETE FROM invitations WHERE id = %s AND organization = %s AND used_at IS NULL",
            (invitation_id, organization),
        )
    if gone.rowcount == 0:
        raise NotFoundError(f"no invitation {invitation_id}")
