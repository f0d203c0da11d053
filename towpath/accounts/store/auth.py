"""Organisations, users, keys and invitations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from towpath.accounts.domain.keys import generate_slugs, hash_key, key_prefix
from towpath.accounts.store.tables import ApiKeyRow, InvitationRow, OrganizationRow, UserRow
from towpath.accounts.types import DEFAULT_ORGANIZATION, KeyKind, Role, Scope
from towpath.core.errors import ConflictError, NotFoundError, UnauthorizedError
from towpath.core.names import name_key, normalize_email
from towpath.db.engine import Connection, Database

TAKEN = "this organization or this address is taken; ask its owner for an invitation"
KeyCheck = Callable[[ApiKeyRow], None]
"""Raises where something must not be done to a key; asked while the key's row is locked."""


async def ensure_default_organization(connection: Connection) -> None:
    """Create the first organization unless it exists; several processes may do so at once."""
    await connection.execute(
        "INSERT INTO organizations (id, name) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        (DEFAULT_ORGANIZATION, "Default"),
    )


async def ensure_bootstrap_key(database: Database, key: str) -> None:
    """Create the first organization and its first key unless they exist; several processes may do so at once."""
    async with database.transaction() as connection:
        await ensure_default_organization(connection)
        await connection.execute(
            """
            INSERT INTO api_keys (id, organization, kind, name, key_prefix, key_hash, role, scopes)
            VALUES (gen_random_uuid(), %s, 'organization', 'first key', %s, %s, 'admin', '{read,write}')
            ON CONFLICT (key_hash) DO NOTHING
            """,
            (DEFAULT_ORGANIZATION, key_prefix(key), hash_key(key)),
        )


async def find_key(database: Database, key: str) -> tuple[ApiKeyRow, UserRow | None] | None:
    """Return a key that is neither revoked nor expired, with its user."""
    return await _live_key(database, col(ApiKeyRow.key_hash) == hash_key(key))


async def _live_key(database: Database, which: ColumnElement[bool]) -> tuple[ApiKeyRow, UserRow | None] | None:
    async with database.session() as session:
        row = (await session.exec(select(ApiKeyRow).where(which))).one_or_none()
        if row is None or not row.live:
            return None
        user = await session.get(UserRow, row.user_id) if row.user_id else None
    return row, user


async def note_uses(database: Database, uses: Mapping[UUID, int]) -> None:
    """Add to the counts of keys how often each was used, and that it was just now."""
    async with database.transaction() as connection:
        await connection.execute(
            """
            UPDATE api_keys SET use_count = use_count + used.times, last_used_at = now()
            FROM (
                SELECT id FROM api_keys WHERE id = ANY(%(ids)s::uuid[]) ORDER BY id FOR UPDATE
            ) AS locked JOIN unnest(%(ids)s::uuid[], %(times)s::bigint[]) AS used (id, times) USING (id)
            WHERE api_keys.id = locked.id
            """,
            {"ids": list(uses), "times": list(uses.values())},
        )


async def add_key(database: Database, key: str, row: ApiKeyRow, *, maker: UUID | None = None) -> ApiKeyRow:
    """Store a key; only its hash is kept.

    Args:
        maker: The key of the call, which must still be valid; None: no key makes it.

    Raises:
        UnauthorizedError: It was revoked or has expired meanwhile.
    """
    row.key_hash, row.key_prefix = hash_key(key), key_prefix(key)
    async with database.session() as session:
        await _assert_live(session, maker)
        session.add(row)
        await session.flush()
        await session.refresh(row)
    return row


async def list_keys(database: Database, organization: str) -> list[ApiKeyRow]:
    """Return the keys of an organisation, newest first."""
    async with database.session() as session:
        query = select(ApiKeyRow).where(ApiKeyRow.organization == organization)
        return list((await session.exec(query.order_by(col(ApiKeyRow.created_at).desc()))).all())


async def get_key(database: Database, organization: str, key_id: UUID) -> ApiKeyRow:
    """Return a key.

    Raises:
        NotFoundError: No such key in this organisation.
    """
    async with database.session() as session:
        row = await session.get(ApiKeyRow, key_id)
    if row is None or row.organization != organization:
        raise NotFoundError(f"no key {key_id}")
    return row


async def _assert_live(session: AsyncSession, key_id: UUID | None) -> None:
    """Hold the key of a call while it makes another: who revokes it waits, and then finds what it has made."""
    if key_id is None:
        return
    row = (await session.exec(select(ApiKeyRow).where(ApiKeyRow.id == key_id).with_for_update(read=True))).one_or_none()
    if row is None or not row.live:
        raise UnauthorizedError("this key is not valid any more")


async def _locked_key(session: AsyncSession, organization: str, key_id: UUID, check: KeyCheck) -> ApiKeyRow:
    query = select(ApiKeyRow).where(ApiKeyRow.id == key_id, ApiKeyRow.organization == organization).with_for_update()
    row = (await session.exec(query)).one_or_none()
    if row is None:
        raise NotFoundError(f"no key {key_id}")
    check(row)
    return row


async def change_key(
    database: Database, organization: str, key_id: UUID, changes: dict[str, object], check: KeyCheck
) -> ApiKeyRow:
    """Change a key's name, role or end.

    Raises:
        NotFoundError: No such key in this organisation.
    """
    async with database.session() as session:
        row = await _locked_key(session, organization, key_id, check)
        for name, value in changes.items():
            setattr(row, name, value)
        session.add(row)
        await session.flush()
        await _bring_down(session, row)
        await session.refresh(row)
    return row


async def _bring_down(session: AsyncSession, maker: ApiKeyRow) -> None:
    """What a key has made, and they in turn, can do no more than it, and no longer."""
    children = select(ApiKeyRow).where(col(ApiKeyRow.parent_id) == maker.id, col(ApiKeyRow.revoked_at).is_(None))
    for key in (await session.exec(children.with_for_update())).all():
        if not maker.role.covers(key.role):
            key.role = maker.role
        if maker.expires_at is not None and (key.expires_at is None or key.expires_at > maker.expires_at):
            key.expires_at = maker.expires_at
        session.add(key)
        await session.flush()
        await _bring_down(session, key)


async def rotate_key(
    database: Database, organization: str, key_id: UUID, key: str, check: KeyCheck, *, caller: UUID | None = None
) -> ApiKeyRow:
    """Put a key with the same rights in an old one's place: that is revoked, and what it has made is now the new one's.

    Args:
        caller: The key of the call, which must still be valid; None: it is a sign-in.

    Raises:
        NotFoundError: No such key in this organisation.
        UnauthorizedError: The key of the call was revoked or has expired meanwhile.
    """
    async with database.session() as session:
        if caller != key_id:
            await _assert_live(session, caller)
        old = await _locked_key(session, organization, key_id, check)
        row = new_key(
            old.organization, name=old.name, kind=old.kind, role=old.role, scopes=list(map(Scope, old.scopes)),
            user_id=old.user_id, expires_at=old.expires_at, parent_id=old.parent_id,
        )  # fmt: skip
        row.key_hash, row.key_prefix = hash_key(key), key_prefix(key)
        old.revoked_at = datetime.now(UTC)
        session.add_all([old, row])
        await session.flush()
        await session.exec(update(ApiKeyRow).where(col(ApiKeyRow.parent_id) == old.id).values(parent_id=row.id))
        await session.refresh(row)
    return row


async def revoke_key(
    database: Database, organization: str, key_id: UUID, check: KeyCheck = lambda _: None, *, children: bool = True
) -> list[UUID]:
    """Make a key useless from now on, with those that it has made, and they in turn.

    Args:
        children: False: the key alone.

    Returns:
        The keys that were valid until now.

    Raises:
        NotFoundError: No such key in this organisation.
    """
    check(await get_key(database, organization, key_id))
    async with database.transaction() as connection:
        return await revoke_keys(connection, [key_id], children=children)


async def revoke_keys(connection: Connection, roots: Sequence[UUID], *, children: bool = True) -> list[UUID]:
    """Revoke keys, by default with all that they have made; return those that were valid until now."""
    revoked: list[UUID] = []
    while True:
        cursor = await connection.execute(
            """
            WITH RECURSIVE tree AS (
                SELECT id FROM api_keys WHERE id = ANY(%(roots)s::uuid[])
                UNION SELECT child.id FROM api_keys child JOIN tree ON child.parent_id = tree.id WHERE %(children)s
            )
            UPDATE api_keys SET revoked_at = now() WHERE id IN (SELECT id FROM tree) AND revoked_at IS NULL RETURNING id
            """,
            {"roots": list(roots), "children": children},
        )
        key_ids = [row[0] for row in await cursor.fetchall()]
        if not key_ids:
            break
        # Once more: a key that was just being made is seen only now that its maker is ours.
        revoked += key_ids
    await revoke_unused_grants(connection, revoked)
    return revoked


async def revoke_unused_grants(connection: Connection, makers: Sequence[UUID]) -> None:
    """Take back what users or keys have given and nobody has used yet: invitations, resets, and links to threads."""
    for statement in (
        "DELETE FROM invitations WHERE used_at IS NULL AND created_by = ANY(%s::uuid[])",
        "DELETE FROM password_resets WHERE created_by = ANY(%s::uuid[])",
        "UPDATE chat_links SET revoked_at = now() WHERE revoked_at IS NULL AND created_by = ANY(%s::uuid[])",
    ):
        await connection.execute(statement, (list(makers),))


async def find_user(database: Database, email: str) -> UserRow | None:
    """Return a user by address, in whatever spelling; one who was removed is not found."""
    spellings = _spellings(email)
    query = select(UserRow).where(col(UserRow.email).in_(spellings), col(UserRow.removed_at).is_(None))
    async with database.session() as session:
        users = {user.email: user for user in (await session.exec(query)).all()}
    return next((users[spelling] for spelling in spellings if spelling in users), None)


def _spellings(email: str) -> list[str]:
    """Return how an address may be stored: as it was typed before there was a normal form, or in that."""
    try:
        return [email.strip().lower(), normalize_email(email)]
    except ValueError:
        return [email.strip().lower()]


async def get_user(database: Database, user_id: UUID) -> UserRow | None:
    """Return a user by id, also one who was removed."""
    async with database.session() as session:
        return await session.get(UserRow, user_id)


async def list_users(database: Database, organization: str) -> Sequence[UserRow]:
    """Return the users of an organisation."""
    async with database.session() as session:
        query = select(UserRow).where(UserRow.organization == organization, col(UserRow.removed_at).is_(None))
        return (await session.exec(query.order_by(col(UserRow.created_at)))).all()


async def organization_name(database: Database, organization: str) -> str:
    """Return what an organisation is called; its id where that is not known."""
    async with database.session() as session:
        row = await session.get(OrganizationRow, organization)
    return organization if row is None else row.name


async def register_owner(database: Database, email: str, password_hash: str, organization: str) -> UserRow:
    """Make an organisation and its owner.

    Args:
        email: In its normal form.
        organization: The name; its id is made of it.

    Raises:
        ConflictError: The name or the address is taken.
    """
    try:
        async with database.session() as session:
            user = UserRow(
                organization=await _new_organization(session, organization),
                email=email,
                password_hash=password_hash,
                role=Role.OWNER,
            )
            session.add(user)
            await session.flush()
            await session.refresh(user)
    except IntegrityError as error:
        raise ConflictError(TAKEN) from error
    return user


async def _new_organization(session: AsyncSession, name: str) -> str:
    key = name_key(name)
    same = select(OrganizationRow).where(OrganizationRow.name_key == key)
    if key == DEFAULT_ORGANIZATION or (await session.exec(same)).first() is not None:
        raise ConflictError(TAKEN)
    for short in generate_slugs(name):
        if short == DEFAULT_ORGANIZATION:
            # The tenant of the first key, which may be made later than this.
            continue
        row = insert(OrganizationRow).values(id=short, name=name, name_key=key)
        inserted = await session.exec(
            row.on_conflict_do_nothing(index_elements=["id"]).returning(col(OrganizationRow.id))
        )
        if inserted.first() is not None:
            return short
    raise ConflictError(TAKEN)


async def invitation_organization(database: Database, token: str) -> str | None:
    """Return the name of the organisation that an invitation is for; None: there is none that can be used."""
    async with database.session() as session:
        query = (
            select(OrganizationRow.name)
            .join(InvitationRow, col(InvitationRow.organization) == OrganizationRow.id)
            .where(
                InvitationRow.token_hash == hash_key(token),
                col(InvitationRow.used_at).is_(None),
                col(InvitationRow.expires_at) > datetime.now(UTC),
            )
        )
        return (await session.exec(query)).first()


async def invite(
    database: Database, organization: str, email: str, role: Role, token: str, days: int, *, by: UUID | None
) -> InvitationRow:
    """Store an invitation of an address in its normal form; it ends after some days, or with who has made it.

    Args:
        by: The user or key that invites.
    """
    ends = datetime.now(UTC) + timedelta(days=days)
    row = InvitationRow(
        organization=organization, email=email, role=role, token_hash=hash_key(token), expires_at=ends,
        created_by=by,
    )  # fmt: skip
    async with database.session() as session:
        session.add(row)
        await session.flush()
        await session.refresh(row)
    return row


async def register_invited(database: Database, email: str, password_hash: str, token: str) -> UserRow | None:
    """Make the user that an invitation is for; None when the invitation is not valid for this address.

    Raises:
        ConflictError: The address is taken.
    """
    try:
        async with database.session() as session:
            query = select(InvitationRow).where(InvitationRow.token_hash == hash_key(token)).with_for_update()
            invitation = (await session.exec(query)).one_or_none()
            now = datetime.now(UTC)
            if invitation is None or invitation.used_at is not None or invitation.expires_at <= now:
                return None
            if email not in _spellings(invitation.email):
                return None
            invitation.used_at = now
            user = UserRow(
                organization=invitation.organization, email=email, password_hash=password_hash, role=invitation.role
            )
            session.add_all([invitation, user])
            await session.flush()
            await session.refresh(user)
    except IntegrityError as error:
        raise ConflictError("this address is taken") from error
    return user


def new_key(
    organization: str, *, name: str, kind: KeyKind, role: Role, scopes: Sequence[Scope], user_id: UUID | None,
    expires_at: datetime | None, parent_id: UUID | None = None,
) -> ApiKeyRow:  # fmt: skip
    """Return a key's row, before `add_key` gives it its hash."""
    return ApiKeyRow(
        organization=organization,
        kind=kind,
        name=name,
        role=role,
        scopes=[scope.value for scope in scopes],
        user_id=user_id,
        expires_at=expires_at,
        parent_id=parent_id,
        key_prefix="",
        key_hash=b"",
    )
