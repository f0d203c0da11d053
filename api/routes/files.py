"""Files of OpenAI's API: the inputs of batches, and what batches have written."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from towpath.api.http.auth import Operator, Reader
from towpath.api.http.idempotency import IdempotencyKey, replay, slot_of
from towpath.api.http.ids import FileId
from towpath.api.http.media import media_type
from towpath.api.http.responses import json_answer
from towpath.api.http.routing import MULTIPART, ApiRoute, make_validation_error, refuse_unknown
from towpath.api.http.state import State
from towpath.api.http.uploads import body_pieces
from towpath.core.errors import BadInputError, ErrorCode
from towpath.core.json_values import assert_text, write_json
from towpath.serving.service.files import show_file
from towpath.serving.types import ExpiresAfter, FilePurpose, show_file_id

router = APIRouter(prefix="/v1/files", tags=["batches"], route_class=ApiRoute)

FORM_ROOM = 1 << 20
PIECE = 1 << 20
EXPIRY = {"expires_after[anchor]": "anchor", "expires_after[seconds]": "seconds"}
FORM = {
    "requestBody": {
        "required": True,
        "content": {
            MULTIPART: {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "properties": {
                        "file": {"type": "string", "format": "binary", "description": "JSONL: one request a line."},
                        "purpose": {"type": "string", "enum": ["batch"]},
                        "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
                        "expires_after[seconds]": {"type": "integer", "minimum": 3600, "maximum": 2592000},
                    },
                }
            }
        },
    }
}


@dataclass(frozen=True, slots=True)
class Upload:
    """A form with a file, read and checked."""

    file: UploadFile
    name: str
    seconds: int | None

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the file's bytes."""
        await self.file.seek(0)
        while piece := await self.file.read(PIECE):
            yield piece

    async def digest(self) -> bytes:
        """Return the digest of everything."""
        digest = hashlib.sha256(write_json([self.name, self.seconds]))
        async for piece in self.pieces():
            digest.update(piece)
        return digest.digest()


@router.post("", summary="Upload a file of requests", openapi_extra=FORM)
async def upload_file(
    request: Request, state: State, caller: Operator, idempotency_key: IdempotencyKey = None
) -> Response:
    """JSON Lines for a batch: `custom_id`, `method`, `url` and `body` in each line. The only purpose is `batch`."""
    if media_type(request.headers) != MULTIPART:
        raise BadInputError(f"file is required: send a form ({MULTIPART})", code=ErrorCode.MISSING_FIELD, field="file")
    limit, setting = state.settings.served_file_max_bytes + FORM_ROOM, "served_file_max_bytes"
    async with state.uploads.turn(request, caller.organization, limit=limit, setting=setting):
        # It is made by a generator function, and closed as one.
        pieces = cast(AsyncGenerator[bytes, None], body_pieces(request, limit=limit, setting=setting))
        try:
            form = await MultiPartParser(request.headers, pieces, max_files=1).parse()
        except MultiPartException as error:
            raise BadInputError(f"the form cannot be read: {error.message}") from error
        try:
            upload = _read_form(form)
            slot = slot_of(request, caller, idempotency_key)
            digest = b"" if idempotency_key is None else await upload.digest()
            async with state.db.transaction() as connection:
                if known := await slot.claim(connection):
                    return replay(known, digest)
                row = await state.files.store(
                    connection, caller.organization, upload.pieces(), name=upload.name, seconds=upload.seconds
                )
                await slot.save(connection, digest, 200, show_file(row))
        finally:
            await form.close()
    return json_answer(show_file(row))


def _read_form(form: FormData) -> Upload:
    fields = dict(form.multi_items())
    refuse_unknown(fields, ["file", "purpose", *EXPIRY])
    purpose, file = fields.get("purpose"), fields.get("file")
    if purpose is None:
        raise BadInputError("purpose is required", code=ErrorCode.MISSING_FIELD, field="purpose")
    if purpose != FilePurpose.BATCH:
        raise BadInputError("purpose: only files for batches are kept here: batch", field="purpose")
    if not isinstance(file, UploadFile):
        raise BadInputError("file is required, as a file", code=ErrorCode.MISSING_FIELD, field="file")
    name = (file.filename or "file.jsonl")[:255]
    assert_text(name, "file")
    expiry = {member: fields[field] for field, member in EXPIRY.items() if field in fields}
    try:
        seconds = ExpiresAfter.model_validate(expiry).seconds if expiry else None
    except ValidationError as error:
        raise make_validation_error(ExpiresAfter, error, "expires_after") from error
    return Upload(file, name, seconds)


@router.get("", summary="List files")
async def list_files(
    state: State,
    caller: Reader,
    purpose: Annotated[FilePurpose | None, Query(description="Only files for this.")] = None,
    after: Annotated[str | None, Query(description="The last file of the page before.", max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
    order: Annotated[Literal["asc", "desc"], Query(description="By when they were created.")] = "desc",
) -> dict[str, Any]:
    """Files of the organization that have not expired."""
    page = await state.files.list_page(
        caller.organization, purpose=purpose, after=after, ascending=order == "asc", limit=limit
    )
    shown = [show_file(row) for row in page.files]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": page.has_more,
    }


@router.get("/{fileId}", summary="One file")
async def get_file(state: State, caller: Reader, file_id: FileId) -> dict[str, Any]:
    """What is known of a file."""
    return show_file(await state.files.get(caller.organization, file_id))


@router.get("/{fileId}/content", summary="The bytes of a file")
async def read_file(state: State, caller: Reader, file_id: FileId) -> Response:
    """As they were uploaded, or as the batch has written them."""
    row = await state.files.get(caller.organization, file_id)
    headers = {
        "Content-Length": str(row.size),
        "Content-Disposition": f'attachment; filename="{show_file_id(row.id)}.jsonl"',
    }
    return StreamingResponse(state.files.read(row), headers=headers, media_type="application/octet-stream")


@router.delete("/{fileId}", summary="Delete a file")
async def delete_file(state: State, caller: Operator, file_id: FileId) -> dict[str, Any]:
    """A batch that has read it goes on; one that has not fails."""
    await state.files.delete(caller.organization, file_id)
    return {"id": file_id, "object": "file", "deleted": True}
