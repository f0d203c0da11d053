"""Reads the body of a start with a document: JSON, or a form whose file goes into the store as it comes."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeVar, cast

import orjson
from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from towpath.api.http.media import media_type
from towpath.api.http.routing import MULTIPART, invalid, warn_of_unknown
from towpath.api.http.state import AppState
from towpath.api.http.uploads import body_pieces
from towpath.api.webhook_targets import webhook_fields
from towpath.core.errors import BadInputError, ErrorCode, TooLargeError, TowpathError
from towpath.core.json_values import assert_text, read_json, write_json
from towpath.documents.files import on_disk
from towpath.documents.kinds import HEAD_BYTES, detect_kind
from towpath.documents.types import DocumentKind
from towpath.extraction.store.blobs import add_blob
from towpath.extraction.types import DocumentRef
from towpath.webhooks.types import WebhookFields

MAX_JSON = 2 << 20
FORM_ROOM = 1 << 20
PIECE = 1 << 20
COUNTED = frozenset({DocumentKind.PDF, DocumentKind.TIFF})
"""Kinds whose pages are counted in no time."""
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Sent:
    """A start as it was sent.

    Attributes:
        given: Its members; objects and arrays of a form are read from their JSON text.
        document: The file, stored; None: there was none.
        digest: Of everything.
        webhook: Where its end is told.
        pages: Of the file, where they can be counted at once.
    """

    given: dict[str, Any]
    document: DocumentRef | None
    digest: bytes
    webhook: WebhookFields
    pages: int | None = None


async def read_start(request: Request, state: AppState, organization: str, model: type[Model]) -> tuple[Model, Sent]:
    """The body as a model, with its file in the store.

    Raises:
        RequestValidationError: It is not what the route takes.
        TooLargeError: Beyond the limit.
        BadInputError: No form and no JSON, or a kind of file that is not read.
    """
    if media_type(request.headers) == MULTIPART:
        limit = state.settings.document_max_bytes + FORM_ROOM
        async with state.uploads.turn(request, organization, limit=limit, setting="document_max_bytes"):
            given, document, pages = await _form(request, state, organization)
    else:
        # The document that it names is kept as well.
        await state.limits.room_for_bytes(organization)
        raw = b"".join([piece async for piece in body_pieces(request, limit=MAX_JSON)])
        given, document, pages = _json(raw), None, None
    body = _validated(model, given)
    warn_of_unknown(request, body)
    sha256 = None if document is None else document.sha256
    digest = hashlib.sha256(write_json([given, sha256], options=orjson.OPT_SORT_KEYS)).digest()
    return body, Sent(given, document, digest, webhook_fields(given), pages)


def _json(raw: bytes) -> dict[str, Any]:
    found = read_json(raw or b"null")
    if not isinstance(found, dict):
        raise BadInputError("the body must be an object", code=ErrorCode.INVALID_VALUE)
    return found


def _validated(model: type[Model], given: Mapping[str, Any]) -> Model:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise invalid(model, error) from error


async def _form(
    request: Request, state: AppState, organization: str
) -> tuple[dict[str, Any], DocumentRef | None, int | None]:
    limit = state.settings.document_max_bytes + FORM_ROOM
    # It is made by a generator function, and closed as one.
    pieces = cast(AsyncGenerator[bytes, None], body_pieces(request, limit=limit, setting="document_max_bytes"))
    parser = MultiPartParser(request.headers, pieces, max_files=1, max_part_size=MAX_JSON)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise BadInputError(f"the form cannot be read: {error.message}") from error
    given: dict[str, Any] = {}
    document = pages = None
    try:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                if name != "file":
                    raise BadInputError(f"{name}: the document goes into the field file", field=name)
                document, pages = await _stored(state, organization, value)
            else:
                given[name] = _value(name, value)
    finally:
        await form.close()
    return given, document, pages


def _value(name: str, text: str) -> Any:
    """A field of a form: JSON where it is, else the text itself."""
    assert_text(name, "a field's name")
    assert_text(text, name)
    if text[:1] in {"{", "[", '"'} or text in {"true", "false", "null"} or text.replace(".", "", 1).isdigit():
        try:
            return read_json(text.encode(), name)
        except BadInputError as error:
            if error.code is not ErrorCode.INVALID_JSON:
                raise
            return text
    return text


async def _stored(state: AppState, organization: str, file: UploadFile) -> tuple[DocumentRef, int | None]:
    name = (file.filename or "document")[:255]
    for text in (name, file.content_type or ""):
        assert_text(text, "file")
    head = await file.read(HEAD_BYTES)
    # A kind that is not read is refused before anything of it is kept.
    kind = detect_kind(name, file.content_type, head)
    await file.seek(0)
    pages = await _counted(state, file.file, kind) if kind in COUNTED else None
    await file.seek(0)

    async def pieces() -> AsyncIterator[bytes]:
        while piece := await file.read(PIECE):
            yield piece

    blob = await add_blob(state.db, organization, pieces(), most_bytes=state.settings.document_max_bytes, name=name)
    ref = DocumentRef(file_name=name, media_type=file.content_type, size=blob.size, sha256=blob.sha256.hex())
    return ref, pages


async def _counted(state: AppState, file: BinaryIO, kind: DocumentKind) -> int | None:
    """How many pages a file has; None: that it cannot be read is for its job to tell.

    Raises:
        TooLargeError: It has more than are read.
    """
    async with on_disk(file) as path:
        try:
            return (await state.reader.describe(path, kind)).pages
        except TooLargeError:
            raise
        except TowpathError:
            return None
