"""Reads the body of a start with a document: JSON, or a form whose file goes into the store as it comes."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import orjson
from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from towpath.api.http.media import media_type
from towpath.api.http.routing import MULTIPART, make_validation_error, warn_of_unknown_fields
from towpath.api.http.state import AppState
from towpath.api.http.uploads import body_pieces
from towpath.api.http.webhook_fields import webhook_fields
from towpath.core.errors import BadInputError, ErrorCode
from towpath.core.json_values import assert_text, read_json, write_json
from towpath.extraction.service.starts import store_upload
from towpath.extraction.types import DocumentRef
from towpath.webhooks.types import WebhookFields

MAX_JSON = 2 << 20
FORM_ROOM = 1 << 20
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class StartRequest:
    """A start as it was sent.

    Attributes:
        members: What it says; objects and arrays of a form are read from their JSON text.
        document: The file, stored; None: there was none.
        digest: Of everything.
        webhook: Where its end is told.
    """

    members: dict[str, Any]
    document: DocumentRef | None
    digest: bytes
    webhook: WebhookFields


async def read_start(
    request: Request, state: AppState, organization: str, model: type[Model]
) -> tuple[Model, StartRequest]:
    """Read the body as a model, and its file into the store.

    Raises:
        RequestValidationError: It is not what the route takes.
        TooLargeError: Beyond the limit.
        BadInputError: No form and no JSON, or a kind of file that is not read.
    """
    if media_type(request.headers) == MULTIPART:
        limit = state.settings.document_max_bytes + FORM_ROOM
        async with state.uploads.turn(request, organization, limit=limit, setting="document_max_bytes"):
            members, document = await _form(request, state, organization)
    else:
        # The document that it names is kept as well.
        await state.limits.assert_room_for_bytes(organization)
        raw = b"".join([piece async for piece in body_pieces(request, limit=MAX_JSON)])
        members, document = _json(raw), None
    body = _validate(model, members)
    warn_of_unknown_fields(request, body)
    sha256 = None if document is None else document.sha256
    digest = hashlib.sha256(write_json([members, sha256], options=orjson.OPT_SORT_KEYS)).digest()
    return body, StartRequest(members, document, digest, webhook_fields(members))


def _json(raw: bytes) -> dict[str, Any]:
    members = read_json(raw or b"null")
    if not isinstance(members, dict):
        raise BadInputError("the body must be an object", code=ErrorCode.INVALID_VALUE)
    return members


def _validate(model: type[Model], members: Mapping[str, Any]) -> Model:
    try:
        return model.model_validate(members)
    except ValidationError as error:
        raise make_validation_error(model, error) from error


async def _form(request: Request, state: AppState, organization: str) -> tuple[dict[str, Any], DocumentRef | None]:
    limit = state.settings.document_max_bytes + FORM_ROOM
    # It is made by a generator function, and closed as one.
    pieces = cast(AsyncGenerator[bytes, None], body_pieces(request, limit=limit, setting="document_max_bytes"))
    parser = MultiPartParser(request.headers, pieces, max_files=1, max_part_size=MAX_JSON)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise BadInputError(f"the form cannot be read: {error.message}") from error
    members: dict[str, Any] = {}
    document = None
    try:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                if name != "file":
                    raise BadInputError(f"{name}: the document goes into the field file", field=name)
                document = await _store_file(state, organization, value)
            else:
                members[name] = _value(name, value)
    finally:
        await form.close()
    return members, document


def _value(name: str, text: str) -> Any:
    """Read a field of a form: JSON where it is, else the text itself."""
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


async def _store_file(state: AppState, organization: str, file: UploadFile) -> DocumentRef:
    name = (file.filename or "document")[:255]
    for text in (name, file.content_type or ""):
        assert_text(text, "file")
    return await store_upload(state.extraction, organization, file, name=name, media_type=file.content_type)
