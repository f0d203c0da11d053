"""Secrets under a new key."""

from __future__ import annotations

from uuid import uuid4

import pytest

from contracts.databases import DatabaseConfig, DatabaseKind
from contracts.errors import Unavailable
from contracts.webhooks import WebhookEvent
from stores.ai.connections import add_connection, get_connection, opened_config, sealed_config
from stores.ai.tables import ConnectionRow
from stores.db import Database
from stores.reseal import reseal
from stores.vault import Vault
from stores.webhooks.receivers import add_receiver, get_receiver, set_standing_secret

OLD, NEW = "an old passphrase", "a new passphrase"


async def test_after_a_change_of_key_the_old_one_is_not_needed_any_more(database: Database) -> None:
    organization, old, both, new = uuid4().hex, Vault([OLD]), Vault([NEW, OLD]), Vault([NEW])
    config = DatabaseConfig(kind=DatabaseKind.POSTGRES, url="postgresql://a:b@c/d")
    async with database.transaction() as connection:
        await connection.execute("INSERT INTO organizations (id, name) VALUES (%s, 'x')", (organization,))
        receiver = await add_receiver(
            connection, organization, "https://example.com", old.seal("s"), [WebhookEvent.COMPLETE]
        )
    row = await add_connection(
        database,
        ConnectionRow(organization=organization, name="x", kind="postgres", config=sealed_config(old, config)),
    )
    await set_standing_secret(database, organization, old.seal("standing"))
    with pytest.raises(Unavailable, match="TOWPATH_ENCRYPTION_KEYS"):
        await reseal(database, new)

    assert await reseal(database, both) == 3

    assert opened_config(new, await get_connection(database, organization, row.id)) == config
    assert new.open((await get_receiver(database, organization, receiver.id)).secret) == "s"
    assert await reseal(database, new) == 3
