"""Pages of documents as they were read: kept the moment they are done, under the document's digest."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Sequence

from pydantic import TypeAdapter

from towpath.db.engine import Connection, Database
from towpath.documents.types import PageBody, PageContent

PAGE = TypeAdapter(PageContent)
LEVEL = 1


def _opened(body: bytes) -> PageContent:
    return PAGE.validate_json(zlib.decompress(body))


async def packed(pages: Sequence[PageBody]) -> list[tuple[PageBody, bytes]]:
    """Pages with what is kept of them, made smaller in a thread."""
    return await asyncio.to_thread(lambda: [(page, zlib.compress(page.json, LEVEL)) for page in pages])


async def keep_pages(
    connection: Connection, organization: str, sha256: bytes, variant: str, pages: Sequence[tuple[PageBody, bytes]]
) -> None:
    """Keep pages; one that is there stays.

    Args:
        variant: How they were read; other ways are other pages.
        pages: As `packed` gives them.
    """
    async with connection.cursor() as cursor:
        await cursor.executemany(
            """
            INSERT INTO document_pages (organization, sha256, variant, page, body, confidence, truncated)
            VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
            """,
            [(organization, sha256, variant, page.page, body, page.confidence, page.truncated) for page, body in pages],
        )


async def least_confidence(
    database: Database, organization: str, sha256: bytes, variant: str, numbers: Sequence[int]
) -> float:
    """How sure the least sure of some pages is; 1 where there is nothing to doubt."""
    async with database.statement() as connection:
        found = await connection.execute(
            "SELECT coalesce(min(confidence), 1) FROM document_pages"
            " WHERE organization = %s AND sha256 = %s AND variant = %s AND page = ANY(%s)",
            (organization, sha256, variant, list(numbers)),
        )
        return float((await found.fetchone() or (1.0,))[0])


async def cut_numbers(
    database: Database, organization: str, sha256: bytes, variant: str, numbers: Sequence[int]
) -> list[int]:
    """Which of some pages hold more than was kept of them."""
    async with database.statement() as connection:
        found = await connection.execute(
            "SELECT page FROM document_pages WHERE organization = %s AND sha256 = %s AND variant = %s"
            " AND page = ANY(%s) AND truncated ORDER BY page",
            (organization, sha256, variant, list(numbers)),
        )
        return [row[0] for row in await found.fetchall()]


async def kept_numbers(
    database: Database, organization: str, sha256: bytes, variant: str, numbers: Sequence[int]
) -> set[int]:
    """Which of some pages are there."""
    async with database.statement() as connection:
        found = await connection.execute(
            "SELECT page FROM document_pages"
            " WHERE organization = %s AND sha256 = %s AND variant = %s AND page = ANY(%s)",
            (organization, sha256, variant, list(numbers)),
        )
        return {row[0] for row in await found.fetchall()}


async def read_pages(
    database: Database,
    organization: str,
    sha256: bytes,
    variant: str,
    numbers: Sequence[int] | None = None,
    *,
    limit: int | None = None,
) -> list[PageContent]:
    """Kept pages, in order.

    Args:
        numbers: Which; None: all that are there.
        limit: How many at most.
    """
    async with database.statement() as connection:
        found = await connection.execute(
            """
            SELECT body FROM document_pages
            WHERE organization = %(org)s AND sha256 = %(sha)s AND variant = %(variant)s
              AND (%(pages)s::int[] IS NULL OR page = ANY(%(pages)s)) ORDER BY page LIMIT %(limit)s
            """,
            {
                "org": organization,
                "sha": sha256,
                "variant": variant,
                "pages": None if numbers is None else list(numbers),
                "limit": limit,
            },
        )
        return [_opened(row[0]) for row in await found.fetchall()]


async def keep_image(database: Database, organization: str, sha256: bytes, page: int, data: bytes) -> None:
    """Keep a page's picture, a JPEG, for who reviews it."""
    async with database.statement() as connection:
        await connection.execute(
            "INSERT INTO document_images (organization, sha256, page, data) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            (organization, sha256, page, data),
        )


async def read_image(database: Database, organization: str, sha256: bytes, page: int) -> bytes | None:
    """A page's picture, a JPEG; None: there is none."""
    async with database.statement() as connection:
        found = await connection.execute(
            "SELECT data FROM document_images WHERE organization = %s AND sha256 = %s AND page = %s",
            (organization, sha256, page),
        )
        row = await found.fetchone()
    return None if row is None else bytes(row[0])


async def imaged_pages(database: Database, organization: str, sha256: bytes) -> set[int]:
    """Pages that have a picture."""
    async with database.statement() as connection:
        found = await connection.execute(
            "SELECT page FROM document_images WHERE organization = %s AND sha256 = %s", (organization, sha256)
        )
        return {row[0] for row in await found.fetchall()}
