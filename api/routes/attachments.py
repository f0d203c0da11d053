"""Source files for enrichments: read once when they come, as text or as an image."""

from __future__ import annotations

import base64
import hashlib
import mimetypes
from typing import Annotated, Any
from uuid import UUID, uuid4

import orjson
from fastapi import APIRouter, File, Request, Response, UploadFile

from towpath.api.http.auth import Operator
from towpath.api.http.bodies import body_of, read_body
from towpath.api.http.idempotency import IdempotencyKey, once, slot_of
from towpath.api.http.routing import BODY_LIMIT, ApiRoute
from towpath.api.http.state import AppState, State
from towpath.core.errors import BadInputError, ErrorCode, TooLargeError
from towpath.core.json_values import assert_text
from towpath.db.tables import AttachmentRow
from towpath.enrichment.types import AttachmentBody
from towpath.llm.store.attachments import add_attachments, delete_attachment

router = APIRouter(prefix="/api/attachments", tags=["enrichment"], route_class=ApiRoute)

IMAGES = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})
MAX_FILES = 20


def _view(row: AttachmentRow) -> dict[str, Any]:
    return row.model_dump(mode="json", include={"id", "filename", "media_type", "mode", "size_bytes", "sha256"})


async def make_attachment(
    state: AppState, organization: str, filename: str, media_type: str | None, data: bytes, *, field: str = "files"
) -> AttachmentRow:
    """A file as text, or as an image for models that see; not stored yet.

    Raises:
        TooLargeError: Beyond the limit.
        BadInputError: It cannot be read.
    """
    for text in (filename, media_type or ""):
        assert_text(text, field)
    if len(data) > state.settings.attachment_max_bytes:
        raise TooLargeError(f"{filename} is larger than {state.settings.attachment_max_bytes} bytes")
    media = (media_type or mimetypes.guess_type(filename)[0] or "text/plain").split(";")[0].strip().lower()
    if media in IMAGES:
        mode, content = "image", base64.b64encode(data).decode()
    else:
        try:
            text = await state.reader.text_of(data, name=filename, media_type=media)
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


@router.post("", summary="Upload files", openapi_extra={BODY_LIMIT: "enrichment_max_bytes"})
async def upload(
    request: Request,
    state: State,
    caller: Operator,
    files: Annotated[list[UploadFile], File(description="One or several.")],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Text, HTML, Markdown and PDF become text; images are shown to models that see."""
    await state.limits.room_for_bytes(caller.organization)
    if len(files) > MAX_FILES:
        raise BadInputError(f"files: at most {MAX_FILES} in one call", field="files")
    rows = [
        await make_attachment(state, caller.organization, one.filename or "file", one.content_type, await one.read())
        for one in files
    ]
    told = [[row.filename, row.media_type, row.sha256] for row in rows]
    answer = [_view(row) for row in rows]

    async def add(inside: AppState) -> list[dict[str, Any]]:
        await add_attachments(inside.db, rows)
        return answer

    digest = hashlib.sha256(orjson.dumps(told)).digest()
    return await once(state, slot_of(request, caller, idempotency_key), digest, add)


@router.post("/base64", summary="Upload a file as JSON", openapi_extra=body_of(AttachmentBody))
async def upload_base64(
    request: Request, state: State, caller: Operator, idempotency_key: IdempotencyKey = None
) -> Response:
    """The same for one file whose bytes are base64."""
    await state.limits.room_for_bytes(caller.organization)
    body, digest = await read_body(request, state, AttachmentBody)
    try:
        data = base64.b64decode(body.content_base64, validate=True)
    except ValueError as error:
        raise BadInputError(
            f"content_base64 is not base64: {error}", code=ErrorCode.INVALID_ENCODING, field="content_base64"
        ) from error
    row = await make_attachment(state, caller.organization, body.filename, body.media_type, data)
    answer = _view(row)

    async def add(inside: AppState) -> dict[str, Any]:
        await add_attachments(inside.db, [row])
        return answer

    return await once(state, slot_of(request, caller, idempotency_key), digest, add)


@router.delete("/{attachment_id}", summary="Delete a file")
async def delete(state: State, caller: Operator, attachment_id: UUID) -> dict[str, Any]:
    """Jobs that have begun keep what they read."""
    await delete_attachment(state.db, caller.organization, attachment_id)
    return {"id": str(attachment_id), "deleted": True}
