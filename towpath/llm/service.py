"""Source files that language models are shown: read once when they come, as text or as an image."""

from __future__ import annotations

import base64
import hashlib
import mimetypes
from collections.abc import Sequence
from typing import Protocol
from uuid import UUID, uuid4

from towpath.core.errors import BadInputError, ErrorCode, TooLargeError
from towpath.core.json_values import assert_text
from towpath.db.engine import Database
from towpath.llm.store import attachments as store
from towpath.llm.store.tables import AttachmentRow

IMAGES = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})


class TextReader(Protocol):
    """Reads the text of files."""

    async def text_of(self, data: bytes, *, name: str, media_type: str | None) -> str:
        """Return the text of a file.

        Raises:
            BadInputError: It cannot be read.
        """
        ...


async def make_attachment(
    reader: TextReader,
    organization: str,
    filename: str,
    media_type: str | None,
    data: bytes,
    *,
    max_bytes: int,
    field: str = "files",
) -> AttachmentRow:
    """Read a file as text, or take it as an image for models that see; it is not stored yet.

    Args:
        reader: Reads the text of files.
        organization: Whose file.
        filename: Its name; what it is, is guessed from it where no type is given.
        media_type: What the sender says that it is.
        data: Its bytes.
        max_bytes: How large it may be.
        field: Names the file in errors.

    Raises:
        TooLargeError: Beyond the limit.
        BadInputError: It cannot be read.
    """
    for text in (filename, media_type or ""):
        assert_text(text, field)
    if len(data) > max_bytes:
        raise TooLargeError(f"{filename} is larger than {max_bytes} bytes")
    media = (media_type or mimetypes.guess_type(filename)[0] or "text/plain").split(";")[0].strip().lower()
    if media in IMAGES:
        mode, content = "image", base64.b64encode(data).decode()
    else:
        try:
            text = await reader.text_of(data, name=filename, media_type=media)
        except BadInputError as error:
            raise BadInputError(f"{filename}: {error.detail}", code=error.code, field=field) from error
        mode, content = "text", text.replace("\x00", "")
    return AttachmentRow(
        id=uuid4(),
        organization=organization,
        filename=filename[:255],
        media_type=media,
        mode=mode,
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        content=content,
    )


async def add_attachments(database: Database, rows: Sequence[AttachmentRow]) -> None:
    """Store files that were read; all or none."""
    await store.add_attachments(database, rows)


async def delete_attachment(database: Database, organization: str, attachment_id: UUID) -> None:
    """Delete a file; jobs that have read it keep what they read.

    Raises:
        NotFoundError: It is not there.
    """
    await store.delete_attachment(database, organization, attachment_id)


def read_base64(text: str, field: str) -> bytes:
    """Read base64.

    Raises:
        BadInputError: It is none.
    """
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise BadInputError(f"{field} is not base64: {error}", code=ErrorCode.INVALID_ENCODING, field=field) from error
