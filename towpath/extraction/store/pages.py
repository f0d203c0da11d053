"""Pages of documents as they were read: stored the moment they are done, under the document's digest."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter

from towpath.db.engine import Connection, Database
from towpath.documents.types import PageBody, PageContent

PAGE = TypeAdapter(PageContent)
LEVEL = 1


@dataclass(frozen=True, slots=True)
class PagesSummary:
    """What matters of some pages beside their content.

    Attributes:
        lowest_confidence: Of the least certain page; 1 where there is nothing to doubt.
        truncated: The numbers of the pages that hold more than was stored of them.
    """

    lowest_confidence: float
    truncated: list[int]


def _decompress_page(body: bytes) -> PageContent:
    return PAGE.validate_json(zlib.decompress(body))


async def compress_pages(pages: Sequence[PageBody]) -> list[tuple[PageBody, bytes]]:
    """Compress pages in a thread.

    Returns:
        Each page with what is stored of it.
    """
    return await asyncio.to_thread(lambda: [(page, zlib.compress(page.json, LEVEL)) for page in pages])


async def save_pages(
    connection: Connection, organization: str, sha256: bytes, variant: str, pages: Sequence[tuple[PageBody, bytes]]
) -> None:
    """Store pages; those that are there stay.

    Args:
        connection: The transaction.
        organization: Whose document.
        sha256: The digest of the document.
        variant: How the pages were read; other ways are other pages.
        pages: As `compress_pages` returns them.
    """
    async with connection.cursor() as cursor:
        await cursor.executemany(
            """
            INSERT INTO document_pages (organization, sha256, variant, page, body, confidence, truncated)
            VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
            """,
            [(organization, sha256, variant, page.page, body, page.confidence, page.truncated) for page, body in pages],
        )


async def summarize_pages(
    database: Database, organization: str, sha256: bytes, variant: str, numbers: Sequence[int]
) -> PagesSummary:
    """Summarize pages without reading their content.

    Args:
        database: Where the pages are.
        organization: Whose document.
        sha256: The digest of the document.
        variant: How the pages were read.
        numbers: The numbers of the pages.
    """
    async with database.statement() as connection:
        cursor = await connection.execute(
            "SELECT coalesce(min(confidence), 1),"
            " coalesce(array_agg(page ORDER BY page) FILTER (WHERE truncated), '{}')"
            " FROM document_pages WHERE organization = %s AND sha256 = %s AND variant = %s AND page = ANY(%s)",
            (organization, sha256, variant, list(numbers)),
        )
        lowest, truncated = await cursor.fetchone() or (1.0, [])
        return PagesSummary(float(lowest), truncated)


async def list_stored_pages(
    database: Database, organization: str, sha256: bytes, variant: str, numbers: Sequence[int]
) -> set[int]:
    """Return which of some pages are stored.

    Args:
        database: Where the pages are.
        organization: Whose document.
        sha256: The digest of the document.
        variant: How the pages were read.
        numbers: The numbers of the pages.
    """
    async with database.statement() as connection:
        cursor = await connection.execute(
            "SELECT page FROM document_pages"
            " WHERE organization = %s AND sha256 = %s AND variant = %s AND page = ANY(%s)",
            (organization, sha256, variant, list(numbers)),
        )
        return {row[0] for row in await cursor.fetchall()}


async def read_pages(
    database: Database, organization: str, sha256: bytes, variant: str, numbers: Sequence[int]
) -> list[PageContent]:
    """Read those of some pages that are stored, in order.

    Args:
        database: Where the pages are.
        organization: Whose document.
        sha256: The digest of the document.
        variant: How the pages were read.
        numbers: The numbers of the pages.
    """
    async with database.statement() as connection:
        cursor = await connection.execute(
            "SELECT body FROM document_pages"
            " WHERE organization = %s AND sha256 = %s AND variant = %s AND page = ANY(%s) ORDER BY page",
            (organization, sha256, variant, list(numbers)),
        )
        return [_decompress_page(row[0]) for row in await cursor.fetchall()]


async def save_picture(database: Database, organization: str, sha256: bytes, page: int, jpeg: bytes) -> None:
    """Store a page's picture, for whoever reviews it; one that is there stays."""
    async with database.statement() as connection:
        await connection.execute(
            "INSERT INTO document_images (organization, sha256, page, data) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            (organization, sha256, page, jpeg),
        )


async def read_picture(database: Database, organization: str, sha256: bytes, page: int) -> bytes | None:
    """Read a page's picture, a JPEG; None: there is none."""
    async with database.statement() as connection:
        cursor = await connection.execute(
            "SELECT data FROM document_images WHERE organization = %s AND sha256 = %s AND page = %s",
            (organization, sha256, page),
        )
        row = await cursor.fetchone()
    return None if row is None else bytes(row[0])


async def list_pictured_pages(database: Database, organization: str, sha256: bytes) -> set[int]:
    """Return the numbers of the pages that have a picture."""
    async with database.statement() as connection:
        cursor = await connection.execute(
            "SELECT page FROM document_images WHERE organization = %s AND sha256 = %s", (organization, sha256)
        )
        return {row[0] for row in await cursor.fetchall()}


async def sweep_pages(connection: Connection, *, days: int, limit: int) -> int:
    """Delete cached pages and images that are older than so many days.

    Returns:
        How many rows went.
    """
    pages = await connection.execute(
        """
        DELETE FROM document_pages WHERE (organization, sha256, variant, page) IN (
            SELECT organization, sha256, variant, page FROM document_pages
            WHERE at < now() - make_interval(days => %s) LIMIT %s
        )
        """,
        (days, limit),
    )
    images = await connection.execute(
        """
        DELETE FROM document_images WHERE (organization, sha256, page) IN (
            SELECT organization, sha256, page FROM document_images
            WHERE at < now() - make_interval(days => %s) LIMIT %s
        )
        """,
        (days, limit),
    )
    return pages.rowcount + images.rowcount
