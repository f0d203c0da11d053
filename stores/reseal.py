"""Every secret at rest under the newest key, so that the older keys can be let go."""

from __future__ import annotations

from psycopg import sql

from stores.db import Database
from stores.vault import Vault

SEALED = (
    ("connections", "id", "config"),
    ("webhooks", "id", "secret"),
    ("webhooks", "id", "previous_secret"),
    ("job_webhooks", "job_id", "secret"),
    ("organizations", "id", "webhook_secret"),
)
"""Tables with their key and a column of sealed secrets."""


async def reseal(database: Database, vault: Vault) -> int:
    """Seal everything anew, a table at a time, each in one transaction.

    Returns:
        How many secrets there are.

    Raises:
        Unavailable: One was sealed with a key that the vault does not hold; its table stays as it was.
    """
    count = 0
    for table, key, column in SEALED:
        names = {"table": sql.Identifier(table), "key": sql.Identifier(key), "column": sql.Identifier(column)}
        read = sql.SQL(
            "SELECT {key}, {column} FROM {table} WHERE {column} IS NOT NULL AND {column} <> '' FOR UPDATE"
        ).format(**names)
        write = sql.SQL("UPDATE {table} SET {column} = %s WHERE {key} = %s").format(**names)
        async with database.transaction() as connection:
            rows = await (await connection.execute(read)).fetchall()
            async with connection.cursor() as cursor:
                await cursor.executemany(write, [(vault.reseal(sealed), row) for row, sealed in rows])
        count += len(rows)
    return count
