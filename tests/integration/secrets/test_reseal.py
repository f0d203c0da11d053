"""Secrets under a new key."""

from __future__ import annotations

from uuid import uuid4

import pytest

from towpath.ai.databases.types import DatabaseConfig, DatabaseKind
from towpath.ai.store.connections import add_connection, get_connection, open_config, seal_config
from towpath.ai.store.tables import ConnectionRow
from towpath.core.errors import UnavailableError
from towpath.db.engine import Database
from towpath.secrets.service import reseal_secrets
from towpath.secrets.vault import Vault
from towpath.webhooks.store.endpoints import add_endpoint, get_endpoint, set_standing_secret
from towpath.webhooks.types import WebhookEvent

OLD, NEW = "an old passphrase", "a new passphrase"


async def test_after_a_change_of_key_the_old_one_is_not_needed_any_more(database: Database) -> None:
    organization, old, both, new = uuid4().hex, Vault([OLD]), Vault([NEW, OLD]), Vault([NEW])
    config = DatabaseConfig(kind=DatabaseKind.POSTGRES, url="postgresql://a:b@c/d")
    async with database.transaction() as connection:
        await connection.execute("INSERT INTO organizations (id, name) VALUES (%s, 'x')", (organization,))
        receiver = await add_endpoint(
            connection, organization, "https://example.com", old.seal("s"), [WebhookEvent.COMPLETE]
        )
    row = await add_connection(
        database,
        ConnectionRow(organization=organization, name="x", kind="postgres", config=seal_config(old, config)),
    )
    await set_standing_secret(database, organization, old.seal("standing"))
    with pytest.raises(UnavailableError, match="TOWPATH_ENCRYPTION_KEYS"):
        await reseal_secrets(database, new)

    assert await reseal_secrets(database, both) == 3

    assert open_config(new, await get_connection(database, organization, row.id)) == config
    assert new.open((await get_endpoint(database, organization, receiver.id)).secret) == "s"
    assert await reseal_secrets(database, new) == 3
