"""Source files of enrichments, kept as the text or image that a model is shown."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlmodel import col, select

from towpath.core.errors import NotFoundError
from towpath.db.engine import Database
from towpath.db.tables import AttachmentRow


async def add_attachments(database: Database, rows: Sequence[AttachmentRow]) -> None:
    """Keep files; all or none."""
    async with database.session() as session:
        session.add_all(rows)


async def get_attachments(database: Database, organization: str, ids: Sequence[UUID]) -> list[AttachmentRow]:
    """Files in the order of their ids.

    Raises:
        NotFoundError: One is not there, or another organisation's.
    """
    if not ids:
        return []
    query = select(AttachmentRow).where(AttachmentRow.organization == organization, col(AttachmentRow.id).in_(ids))
    async with database.session() as session:
        found = {row.id: row for row in (await session.exec(query)).all()}
    for one in ids:
        if one not in found:
            raise NotFoundError(f"no attachment {one}")
    return [found[one] for one in ids]


async def delete_attachment(database: Database, organization: str, attachment_id: UUID) -> None:
    """Delete a file.

    Raises:
        NotFoundError: It is not there.
    """
    row = (await get_attachments(database, organization, [attachment_id]))[0]
    async with database.session() as session:
        await session.delete(row)
