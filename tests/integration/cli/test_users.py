"""`towpath users`, against a real database: an operator whom nobody lets in any more."""

from __future__ import annotations

import re
from functools import partial

import pytest

from tests.integration.cli.conftest import Towpath
from towpath.accounts.store.accounts import reset_user
from towpath.accounts.store.auth import find_user, register_owner
from towpath.accounts.store.sessions import find_session, open_user_session
from towpath.db.engine import Database


@pytest.fixture
def run(towpath: Towpath) -> Towpath:
    return partial(towpath, "users")


async def test_a_user_is_listed_deactivated_activated_and_given_a_reset(run, database: Database) -> None:
    ada = await register_owner(database, "ada@example.com", "x", "Lamp Works")
    bob = await register_owner(database, "bob@example.com", "x", "Other Works")
    async with database.transaction() as connection:
        await connection.execute("UPDATE users SET organization = 'lamp-works' WHERE id = %s", (bob.id,))
    session = await open_user_session(database, ada, seconds=60)

    listed = await run("list", "--organization", "lamp-works")
    assert "ada@example.com" in listed.output and "bob@example.com" in listed.output

    assert (await run("deactivate", "ADA@example.com")).exit_code == 0
    assert session is not None and await find_session(database, session) is None
    assert "deactivated" in (await run("list", "--organization", "lamp-works")).output
    last = await run("deactivate", "bob@example.com")
    assert (last.exit_code, "last owner" in last.output) == (2, True)
    refused = await run("reset-password", "ada@example.com")
    assert (refused.exit_code, "towpath users activate" in refused.output) == (2, True)

    assert (await run("activate", "ada@example.com")).exit_code == 0
    made = await run("reset-password", "ada@example.com")
    assert made.exit_code == 0, made.output
    token = re.fullmatch(r"/password-reset\?token=([0-9a-f]{48})", made.output.strip())
    assert token is not None
    found = await reset_user(database, token.group(1))
    assert found is not None and found.id == ada.id
    assert (await find_user(database, "ada@example.com")) is not None


@pytest.mark.parametrize("command", ["deactivate", "activate", "reset-password"])
async def test_who_is_not_known_is_one_clear_line(run, command: str) -> None:
    result = await run(command, "nobody@example.com")

    assert result.exit_code == 2
    assert "no user nobody@example.com" in result.output
