"""`towpath keys`, against a real database."""

from __future__ import annotations

import re
from functools import partial

import pytest

from tests.integration.cli.conftest import Towpath
from towpath.accounts.store.auth import find_key
from towpath.db.engine import Database


@pytest.fixture
def run(towpath: Towpath) -> Towpath:
    return partial(towpath, "keys")


async def test_a_key_is_made_shown_once_listed_and_revoked(run, database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute("INSERT INTO organizations (id, name) VALUES ('acme', 'Acme')")

    made = await run("create", "nightly", "--organization", "acme", "--role", "operator", "--read-only", "--days", "2")
    assert made.exit_code == 0, made.output
    key = made.output.strip()
    assert re.fullmatch(r"ent_[a-z2-7]{40}", key)
    found = await find_key(database, key)
    assert found is not None
    row, _ = found
    assert (row.organization, row.role, row.scopes) == ("acme", "operator", ["read"])

    listed = await run("list", "--organization", "acme")
    assert key[:12] in listed.output
    assert key not in listed.output

    revoked = await run("revoke", str(row.id), "--organization", "acme")
    assert revoked.exit_code == 0
    assert await find_key(database, key) is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create", "x", "--organization", "nobody"), "no such organization"),
        (("revoke", "00000000-0000-0000-0000-000000000000"), "no key"),
    ],
)
async def test_what_does_not_exist_is_one_clear_line(run, arguments: tuple[str, ...], said: str) -> None:
    result = await run(*arguments)

    assert result.exit_code == 2
    assert said in result.output


async def test_a_database_that_does_not_answer_is_one_clear_line(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOWPATH_DATABASE_URL", "postgresql://nobody@127.0.0.1:9/none")

    result = await run("list")

    assert result.exit_code == 2
    assert "the database does not answer" in result.output
