"""Accounts in the database: those from before there was a normal form stay usable; a new password ends what was."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psycopg
from alembic import command

from tests.integration.jobs.test_job_list import at
from towpath.accounts.store.accounts import change_user, set_password
from towpath.accounts.store.auth import find_user, register_owner
from towpath.accounts.store.sessions import find_session, open_user_session
from towpath.accounts.types import Role
from towpath.db.engine import Database

OLD = {
    "plain@a.example": "plain@a.example",
    "ｗide@a.example": "wide@a.example",
    "twin@a.example": "twin@a.example",
    "twin\u200b@a.example": "twin\u200b@a.example",
    "ada@bücher.example": "ada@xn--bcher-kva.example",
}
"""Addresses as they were stored, and as they are afterwards."""


async def test_old_accounts_are_found_by_every_spelling_that_is_theirs(make_database: Callable[[], str]) -> None:
    url = make_database()
    await asyncio.to_thread(at, url, lambda config: command.downgrade(config, "0014"))
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO organizations (id, name) VALUES ('org', '日本'), ('acme', 'Acme')")
        for number, email in enumerate(OLD):
            connection.execute(
                "INSERT INTO users (id, organization, email, password_hash, role, created_at)"
                " VALUES (gen_random_uuid(), 'acme', %s, 'x', 'owner', now() + %s * interval '1 second')",
                (email, number),
            )

    await asyncio.to_thread(at, url, lambda config: command.upgrade(config, "head"))

    database = Database(url)
    for before, after in OLD.items():
        for spelling in (before, after, before.upper()):
            found = await find_user(database, spelling)
            assert found is not None and found.email == after, spelling
    wide = await find_user(database, "WIDE@a.example")
    assert wide is not None and wide.role is Role.OWNER
    # The organization keeps its id; the next one of a name without ASCII letters gets one of its own.
    other = await register_owner(database, "b@b.example", "x", "中国")
    assert other.organization.startswith("org-")
    await change_user(database, "acme", wide.id, lambda _: None, active=False)
    await database.close()

    for go, target in ((command.downgrade, "0014"), (command.upgrade, "head")):
        await asyncio.to_thread(at, url, lambda config, go=go, target=target: go(config, target))


async def test_a_sign_in_that_a_new_password_overtakes_is_none(database: Database) -> None:
    """The password was right when it was verified, and is another when the sign-in is stored."""
    ada = await register_owner(database, "ada@overtaken.example", "old", "Overtaken Works")
    before = await open_user_session(database, ada, seconds=60)
    assert before is not None and await find_session(database, before) is not None

    await set_password(database, ada.id, "new")

    assert await find_session(database, before) is None
    assert await open_user_session(database, ada, seconds=60) is None
