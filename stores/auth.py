"""Organisations, users, keys and invitations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select

from contracts.auth import KeyKind, Role, Scope
from contracts.errors import Conflict, NotFound
from domain.auth import hash_key, key_prefix, slug
from stores.db import Database
from stores.tables import ApiKeyRow, InvitationRow, OrganizationRow, UserRow

DEFAULT_ORGANIZATION = "default"
USE_NOTED_EVERY = timedelta(minutes=1)


async def ensure_bootstrap_key(database: Database, key: str) -> None:
    """See that the first organisation and its first key are there; several processes may do so at once."""
    async with database.transaction() as connection:
        await connection.execute(
            "INSERT INTO organizations (id, name) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            (DEFAULT_ORGANIZATION, "Default"),
        )
        await connection.execute(
            """
            INSERT INTO api_keys (id, organization, kind, name, key_prefix, key_hash, role, scopes)
            VALUES (gen_random_uuid(), %s, 'organization', 'first key', %s, %s, 'admin', '{read,write}')
            ON CONFLICT (key_hash) DO NOTHING
            """,
            (DEFAULT_ORGANIZATION, key_prefix(key), hash_key(key)),
        )


async def find_key(database: Database, key: str) -> tuple[ApiKeyRow, UserRow | None] | None:
    """A key that is neither revoked nor expired, with its user."""
    return await _live_key(database, col(ApiKeyRow.key_hash) == hash_key(key))


async def find_key_by_id(database: Database, key_id: UUID) -> tuple[ApiKeyRow, UserRow | None] | None:
    """The same by the key's id."""
    return await _live_key(database, col(ApiKeyRow.id) == key_id)


async def _live_key(database: Database, which: ColumnElement[bool]) -> tuple[ApiKeyRow, UserRow | None] | None:
    async with database.session() as session:
        row = (await session.exec(select(ApiKeyRow).where(which))).one_or_none()
        if row is None or row.revoked_at is not None:
            return None
        if row.expires_at is not None and row.expires_at <= datetime.now(UTC):
            return None
        user = await session.get(UserRow, row.user_id) if row.user_id else None
    return row, user


async def note_use(database: Database, key_id: UUID) -> None:
    """Write when a key was last used, once a minute at most."""
    now = datetime.now(UTC)
    stale = col(ApiKeyRow.last_used_at).is_(None) | (col(ApiKeyRow.last_used_at) < now - USE_NOTED_EVERY)
    async with database.session() as session:
        await session.exec(update(ApiKeyRow).where(col(ApiKeyRow.id) == key_id, stale).values(last_used_at=now))


async def add_key(database: Database, key: str, row: ApiKeyRow) -> ApiKeyRow:
    """Store a key; only its hash is kept."""
    row.key_hash, row.key_prefix = hash_key(key), key_prefix(key)
    async with database.session() as session:
        session.add(row)
        await session.flush()
        await session.refresh(row)
    return row


async def list_keys(database: Database, organization: str) -> list[ApiKeyRow]:
    """The keys of an organisation, newest first."""
    async with database.session() as session:
        query = select(ApiKeyRow).where(ApiKeyRow.organization == organization)
        return list((await session.exec(query.order_by(col(ApiKeyRow.created_at).desc()))).all())


async def get_key(database: Database, organization: str, key_id: UUID) -> ApiKeyRow:
    """One key.

    Raises:
        NotFound: No such key in this organisation.
    """
    async with database.session() as session:
        row = await session.get(ApiKeyRow, key_id)
    if row is None or row.organization != organization:
        raise NotFound(f"no key {key_id}")
    return row


async def change_key(database: Database, organization: str, key_id: UUID, changes: dict[str, object]) -> ApiKeyRow:
    """Change a key's name or end.

    Raises:
        NotFound: No such key in this organisation.
    """
    await get_key(database, organization, key_id)
    if changes:
        async with database.session() as session:
            await session.exec(update(ApiKeyRow).where(col(ApiKeyRow.id) == key_id).values(**changes))
    return await get_key(database, organization, key_id)


async def revoke_key(database: Database, organization: str, key_id: UUID) -> None:
    """Make a key useless from now on.

    Raises:
        NotFound: No such key in this organisation.
    """
    await get_key(database, organization, key_id)
    async with database.session() as session:
        await session.exec(
            update(ApiKeyRow)
            .where(col(ApiKeyRow.id) == key_id, col(ApiKeyRow.revoked_at).is_(None))
            .values(revoked_at=datetime.now(UTC))
        )


async def find_user(database: Database, email: str) -> UserRow | None:
    """A user by address, whatever its case."""
    async with database.session() as session:
        return (await session.exec(select(UserRow).where(UserRow.email == email.lower()))).one_or_none()


async def get_user(database: Database, user_id: UUID) -> UserRow | None:
    """A user by id."""
    async with database.session() as session:
        return await session.get(UserRow, user_id)


async def list_users(database: Database, organization: str) -> Sequence[UserRow]:
    """The users of an organisation."""
    async with database.session() as session:
        query = select(UserRow).where(UserRow.organization == organization)
        return (await session.exec(query.order_by(col(UserRow.created_at)))).all()


async def register_owner(database: Database, email: str, password_hash: str, organization: str) -> UserRow:
    """Make an organisation and its owner.

    Raises:
        Conflict: The name or the address is taken.
    """
    user = UserRow(organization=slug(organization), email=email.lower(), password_hash=password_hash, role=Role.OWNER)
    try:
        async with database.session() as session:
            session.add(OrganizationRow(id=user.organization, name=organization))
            await session.flush()
            session.add(user)
            await session.flush()
            await session.refresh(user)
    except IntegrityError as error:
        raise Conflict("this organization or this address is taken; ask its owner for an invitation") from error
    return user


async def invite(database: Database, organization: str, email: str, role: Role, token: str, days: int) -> datetime:
    """Store an invitation.

    Returns:
        When it ends.
    """
    ends = datetime.now(UTC) + timedelta(days=days)
    async with database.session() as session:
        session.add(
            InvitationRow(
                organization=organization, email=email.lower(), role=role, token_hash=hash_key(token), expires_at=ends
            )
        )
    return ends


async def register_invited(database: Database, email: str, password_hash: str, token: str) -> UserRow | None:
    """Make the user that an invitation is for; None when the invitation is not valid for this address.

    Raises:
        Conflict: The address is taken.
    """
    try:
        async with database.session() as session:
            query = select(InvitationRow).where(InvitationRow.token_hash == hash_key(token)).with_for_update()
            found = (await session.exec(query)).one_or_none()
            now = datetime.now(UTC)
            if found is None or found.used_at is not None or found.expires_at <= now or found.email != email.lower():
                return None
            found.used_at = now
            user = UserRow(
                organization=found.organization, email=found.email, password_hash=password_hash, role=found.role
            )
            session.add_all([found, user])
            await session.flush()
            await session.refresh(user)
    except IntegrityError as error:
        raise Conflict("this address is taken") from error
    return user


def new_key(
    organization: str, *, name: str, kind: KeyKind, role: Role, scopes: Sequence[Scope], user_id: UUID | None,
    expires_at: datetime | None,
) -> ApiKeyRow:  # fmt: skip
    """A key's row, before `add_key` gives it its hash."""
    return ApiKeyRow(
        organization=organization,
        kind=kind,
        name=name,
        role=role,
        scopes=[scope.value for scope in scopes],
        user_id=user_id,
        expires_at=expires_at,
        key_prefix="",
        key_hash=b"",
    )
