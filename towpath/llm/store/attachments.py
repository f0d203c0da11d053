"""Source files of enrichments, kept as the text or image that a model is shown."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlmodel import col, select

from towpath.core.errors import NotFoundError
from towpath.db.engine import Database
from towpath.llm.store.tables import AttachmentRow


async def add_attachments(database: Database, rows: Sequence[AttachmentRow]) -> None:
    """Store files; all or none."""
    async with database.session() as session:
        session.add_all(rows)


async def get_attachments(database: Database, organization: str, ids: Sequence[UUID]) -> list[AttachmentRow]:
    """Load files in the order of their ids.

    Raises:
        NotFoundError: One is not there, or another organisation's.
    """
    if not ids:
        return []
    query = select(AttachmentRow).where(AttachmentRow.organization == organization, col(AttachmentRow.id).in_(ids))
    async with database.session() as session:
        known = {row.id: row for row in (await session.exec(query)).all()}
    for attachment_id in ids:
        if attachment_id not in known:
            raise NotFoundError(f"no attachment {attachment_id}")
    return [known[attachment_id] for attachment_id in ids]


def as_source(row: AttachmentRow) -> str:
    """Return a text as models are shown it: under its file's name."""
    return f"{row.filename}\n{row.content}"


async def assert_attachments(database: Database, organization: str, ids: Sequence[UUID]) -> None:
    """Look whether files are there, without reading them.

    Raises:
        NotFoundError: One is not there, or another organisation's.
    """
    if not ids:
        return
    query = select(AttachmentRow.id).where(AttachmentRow.organization == organization, col(AttachmentRow.id).in_(ids))
    async with database.session() as session:
        known = set((await session.exec(query)).all())
    for attachment_id in ids:
        if attachment_id not in known:
            raise NotFoundError(f"no attachment {attachment_id}")


async def delete_attachment(database: Database, organization: str, attachment_id: UUID) -> None:
    """Delete a file.

    Raises:
        NotFoundError: It is not there.
    """
    row = (await get_attachments(database, organization, [attachment_id]))[0]
    async with database.session() as session:
        await session.delete(row)
