"""Every secret at rest under the newest key, so that the older keys can be let go."""

from __future__ import annotations

from typing import Any

from psycopg import sql

from towpath.db.engine import Database
from towpath.net.urls import document_shown, show_endpoint
from towpath.secrets.urls import MARK, Show, reseal_url
from towpath.secrets.vault import Vault

BATCH_ROWS = 2_000

SEALED = (
    ("connections", "id", "config"),
    ("webhooks", "id", "secret"),
    ("webhooks", "id", "previous_secret"),
    ("job_webhooks", "job_id", "secret"),
    ("organizations", "id", "webhook_secret"),
)
"""Tables with their key and a column of sealed secrets."""

IN_PARAMS = sql.SQL("params -> 'document' ->> 'url'")
INTO_PARAMS = sql.SQL("params = jsonb_set(params, '{document,url}', to_jsonb(%s::text))")
URLS: tuple[tuple[str, str, sql.Composable, sql.Composable, Show], ...] = (
    *(
        (table, key, sql.Identifier("url"), sql.SQL("url = %s"), show_endpoint)
        for table, key in (("webhooks", "id"), ("job_webhooks", "job_id"), ("deliveries", "id"))
    ),
    ("jobs", "id", IN_PARAMS, INTO_PARAMS, document_shown),
)
"""Tables with their key, where a URL is, how it is written, and how it is shown."""


async def reseal_columns(database: Database, vault: Vault) -> int:
    """Seal the columns of secrets anew, a table at a time, each in one transaction.

    Returns:
        How many secrets they hold.

    Raises:
        UnavailableError: One was sealed with a key that the vault does not hold; its table stays as it was.
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


async def seal_urls(database: Database, vault: Vault, *, again: bool = False) -> int:
    """Seal the URLs that an earlier version has stored in plain text, some thousand rows a transaction.

    Args:
        database: The database.
        vault: A vault with a key.
        again: Whether those that are sealed already are sealed anew, with the newest key.

    Returns:
        How many this call has sealed.

    Raises:
        UnavailableError: One was sealed with a key that the vault does not hold; its transaction changes nothing.
    """
    return sum([await _seal_table(database, vault, *location, again=again) for location in URLS])


async def _seal_table(
    database: Database,
    vault: Vault,
    table: str,
    key: str,
    value: sql.Composable,
    change: sql.Composable,
    show: Show,
    *,
    again: bool,
) -> int:
    names = {"table": sql.Identifier(table), "key": sql.Identifier(key), "value": value, "change": change}
    read = sql.SQL(
        "SELECT {key}, {value} FROM {table} WHERE {value} IS NOT NULL AND (%(again)s OR {value} NOT LIKE %(mark)s)"
        " AND (%(after)s::uuid IS NULL OR {key} > %(after)s) ORDER BY {key} LIMIT %(limit)s FOR UPDATE"
    ).format(**names)
    write = sql.SQL("UPDATE {table} SET {change} WHERE {key} = %s").format(**names)
    values: dict[str, Any] = {"again": again, "mark": f"{MARK}%", "after": None, "limit": BATCH_ROWS}
    count = 0
    while True:
        async with database.transaction() as connection:
            rows = await (await connection.execute(read, values)).fetchall()
            sealed = [(reseal_url(vault, url, show), row, url) for row, url in rows]
            async with connection.cursor() as cursor:
                await cursor.executemany(write, [(url, row) for url, row, before in sealed if url != before])
        count += sum(url.startswith(MARK) for url, _, _ in sealed)
        if len(rows) < BATCH_ROWS:
            return count
        values["after"] = rows[-1][0]
