"""`towpath limits`, against a real database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from towpath.accounts.limits import LimitName
from towpath.accounts.store.auth import ensure_bootstrap_key
from towpath.accounts.store.usage import get_own_limits
from towpath.cli import app
from towpath.db.engine import Database

Run = Callable[..., Awaitable[Result]]


@pytest.fixture
def run(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.setenv("TOWPATH_DATABASE_URL", database_url)
    monkeypatch.setenv("TOWPATH_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")

    async def call(*arguments: str) -> Result:
        # The command runs an event loop of its own.
        return await asyncio.to_thread(CliRunner().invoke, app, ["limits", *arguments])

    return call


async def test_an_organization_gets_limits_of_its_own_and_loses_them(run: Run, database: Database) -> None:
    await ensure_bootstrap_key(database, "ent_" + "a" * 40)
    given = await run("default", "--set", "requests=12000", "--set", "open_streams=0")
    assert given.exit_code == 0, given.output
    assert "12,000" in given.output
    assert await get_own_limits(database, "default") == {LimitName.REQUESTS: 12000, LimitName.STREAMS: 0}
    taken = await run("default", "--set", "requests=default")
    assert taken.exit_code == 0
    assert await get_own_limits(database, "default") == {LimitName.STREAMS: 0}


@pytest.mark.parametrize("change", ["requests", "nothing=1", "requests=many", "requests=-1", f"requests={1 << 63}"])
async def test_what_is_no_limit_is_refused(run: Run, change: str) -> None:
    refused = await run("default", "--set", change)
    assert refused.exit_code == 2
    assert f"--set {change}" in refused.output


async def test_an_organization_that_is_not_there_is_named(run: Run) -> None:
    refused = await run("nobody", "--set", "requests=1")
    assert refused.exit_code == 2
    assert "there is no organization nobody" in refused.output
