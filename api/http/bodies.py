"""Bodies that routes read themselves, and what the OpenAPI document says of them."""

from __future__ import annotations

import hashlib
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from towpath.api.http.routing import make_validation_error, warn_of_unknown_fields
from towpath.api.http.state import AppState
from towpath.api.http.uploads import read_whole
from towpath.core.errors import BadInputError, ErrorCode
from towpath.core.json_values import read_json

Model = TypeVar("Model", bound=BaseModel)

MAX_DEPTH = 6


async def read_body(request: Request, state: AppState, model: type[Model]) -> tuple[Model, bytes]:
    """Read a JSON body.

    Returns:
        The body as a model, and the digest of its bytes.

    Raises:
        RequestValidationError: It is not what the route takes.
        BadInputError: It is no JSON, or holds a value that no part can hold.
    """
    body, digest, _ = await read_body_with_members(request, state, model)
    return body, digest


async def read_body_with_members(
    request: Request, state: AppState, model: type[Model]
) -> tuple[Model, bytes, dict[str, Any]]:
    """Read a JSON body whose members are also needed as they were sent.

    Returns:
        The body as a model, the digest of its bytes, and its members.

    Raises:
        RequestValidationError: It is not what the route takes.
        BadInputError: It is no JSON, or holds a value that no part can hold.
    """
    raw = await read_whole(request, limit=state.settings.enrichment_max_bytes, setting="enrichment_max_bytes")
    if not raw.strip():
        raise BadInputError("the body is required", code=ErrorCode.MISSING_FIELD)
    members = read_json(raw)
    try:
        body = model.model_validate(members)
    except ValidationError as error:
        raise make_validation_error(model, error) from error
    warn_of_unknown_fields(request, body)
    return body, hashlib.sha256(raw).digest(), members


def body_of(model: type[BaseModel], *, file: bool = False, text: str | None = None) -> dict[str, Any]:
    """Return the OpenAPI entry of a body; also the types of body that the route takes.

    Args:
        model: Its type.
        file: Whether it may also come as a form with a `file`.
        text: A type of text that it may also come as.
    """
    schema = model.model_json_schema(by_alias=True)
    example = schema.pop("example", None)
    whole = _inline(schema, schema.pop("$defs", {}), 0)
    content: dict[str, Any] = {"application/json": {"schema": whole, "example": example}}
    if file:
        document = {"type": "string", "format": "binary", "description": "The document itself."}
        form = {**whole, "properties": {"file": document, **whole.get("properties", {})}}
        content["multipart/form-data"] = {"schema": form}
    if text is not None:
        content[text] = {"schema": {"type": "string"}}
    return {"requestBody": {"required": True, "content": content}}


def _inline(node: Any, definitions: dict[str, Any], depth: int) -> Any:
    """Return a schema without references: what nobody else uses has no place among the document's components."""
    if isinstance(node, list):
        return [_inline(item, definitions, depth) for item in node]
    if not isinstance(node, dict):
        return node
    target = node.get("$ref")
    if isinstance(target, str):
        if depth > MAX_DEPTH:
            return {}
        siblings = {name: value for name, value in node.items() if name != "$ref"}
        return {**_inline(definitions.get(target.rpartition("/")[2], {}), definitions, depth + 1), **siblings}
    return {name: _inline(value, definitions, depth) for name, value in node.items()}
