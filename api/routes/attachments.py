"""Source files for enrichments: read once when they come, as text or as an image."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, File, Request, Response, UploadFile

from towpath.accounts.types import Principal
from towpath.api.http.auth import Operator
from towpath.api.http.bodies import body_of, read_body
from towpath.api.http.idempotency import IdempotencyKey, respond_once, slot_of
from towpath.api.http.routing import BODY_LIMIT, ApiRoute
from towpath.api.http.state import AppState, State
from towpath.core.errors import BadInputError
from towpath.enrichment.bodies import AttachmentBody
from towpath.llm.service import add_attachments, delete_attachment, make_attachment, read_base64
from towpath.llm.store.tables import AttachmentRow

router = APIRouter(prefix="/api/attachments", tags=["enrichment"], route_class=ApiRoute)

MAX_FILES = 20


def _view(row: AttachmentRow) -> dict[str, Any]:
    shown = row.model_dump(mode="json", include={"id", "filename", "media_type", "mode", "size_bytes", "sha256"})
    return {**shown, "extraction_kind": row.mode}


async def _read(
    state: AppState, caller: Principal, filename: str, media_type: str | None, data: bytes
) -> AttachmentRow:
    limit = state.settings.attachment_max_bytes
    return await make_attachment(state.reader, caller.organization, filename, media_type, data, max_bytes=limit)


@router.post("", summary="Upload files", openapi_extra={BODY_LIMIT: "enrichment_max_bytes"})
async def upload(
    request: Request,
    state: State,
    caller: Operator,
    files: Annotated[list[UploadFile], File(description="One or several.")],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Text, HTML, Markdown and PDF become text; images are shown to models that see."""
    await state.limits.assert_room_for_bytes(caller.organization)
    if len(files) > MAX_FILES:
        raise BadInputError(f"files: at most {MAX_FILES} in one call", field="files")
    rows = [await _read(state, caller, file.filename or "file", file.content_type, await file.read()) for file in files]
    parts = [[row.filename, row.media_type, row.sha256] for row in rows]
    answer = [_view(row) for row in rows]

    async def add(inside: AppState) -> list[dict[str, Any]]:
        await add_attachments(inside.db, rows)
        return answer

    digest = hashlib.sha256(orjson.dumps(parts)).digest()
    return await respond_once(state, slot_of(request, caller, idempotency_key), digest, add)


@router.post("/base64", summary="Upload a file as JSON", openapi_extra=body_of(AttachmentBody))
async def upload_base64(
    request: Request, state: State, caller: Operator, idempotency_key: IdempotencyKey = None
) -> Response:
    """The same for one file whose bytes are base64."""
    await state.limits.assert_room_for_bytes(caller.organization)
    body, digest = await read_body(request, state, AttachmentBody)
    data = read_base64(body.content_base64, "content_base64")
    row = await _read(state, caller, body.filename, body.media_type, data)
    answer = _view(row)

    async def add(inside: AppState) -> dict[str, Any]:
        await add_attachments(inside.db, [row])
        return answer

    return await respond_once(state, slot_of(request, caller, idempotency_key), digest, add)


@router.delete("/{attachment_id}", summary="Delete a file")
async def delete(state: State, caller: Operator, attachment_id: UUID) -> dict[str, Any]:
    """Jobs that have begun keep what they read."""
    await delete_attachment(state.db, caller.organization, attachment_id)
    return {"id": str(attachment_id), "deleted": True}
