"""What the OpenAPI document says of bodies that their routes read themselves."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

MAX_DEPTH = 6


def body_of(model: type[BaseModel], *, file: bool = False, text: str | None = None) -> dict[str, Any]:
    """The OpenAPI entry of a body; also the types of body that the route takes.

    Args:
        model: Its type.
        file: Whether it may also come as a form with a `file`.
        text: A type of text that it may also come as.
    """
    schema = model.model_json_schema(by_alias=True)
    example = schema.pop("example", None)
    whole = _inlined(schema, schema.pop("$defs", {}), 0)
    content: dict[str, Any] = {"application/json": {"schema": whole, "example": example}}
    if file:
        document = {"type": "string", "format": "binary", "description": "The document itself."}
        form = {**whole, "properties": {"file": document, **whole.get("properties", {})}}
        content["multipart/form-data"] = {"schema": form}
    if text is not None:
        content[text] = {"schema": {"type": "string"}}
    return {"requestBody": {"required": True, "content": content}}


def _inlined(node: Any, known: dict[str, Any], depth: int) -> Any:
    """A schema without references: what nobody else uses has no place among the document's components."""
    if isinstance(node, list):
        return [_inlined(one, known, depth) for one in node]
    if not isinstance(node, dict):
        return node
    target = node.get("$ref")
    if isinstance(target, str):
        if depth > MAX_DEPTH:
            return {}
        more = {name: value for name, value in node.items() if name != "$ref"}
        return {**_inlined(known.get(target.rpartition("/")[2], {}), known, depth + 1), **more}
    return {name: _inlined(value, known, depth) for name, value in node.items()}
