"""Where the end of a job is told: `webhookUrl` and its companions in the body of a start, or in its headers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from towpath.api.http.bodies import read_body_with_members
from towpath.api.http.requests import add_header
from towpath.api.http.routing import make_validation_error
from towpath.api.http.state import AppState
from towpath.core.errors import BadInputError, TooLargeError
from towpath.core.json_values import read_json, write_json
from towpath.secrets.urls import seal_endpoint
from towpath.webhooks.domain.signing import PREFIX, signing_key, standard_form
from towpath.webhooks.store.endpoints import JobEndpoint
from towpath.webhooks.types import MAX_METADATA_BYTES, WebhookFields

HEADERS = {
    "webhook_url": "towpath-webhook-url",
    "webhook_signing_secret": "towpath-webhook-secret",
    "webhook_metadata": "towpath-webhook-metadata",
}
MEMBERS = ("webhookUrl", "webhookSigningSecret", "webhookMetadata")
NAMES = (*MEMBERS, *HEADERS)
Model = TypeVar("Model", bound=BaseModel)


async def read_start(request: Request, state: AppState, model: type[Model]) -> tuple[Model, bytes, WebhookFields]:
    """Read the JSON body of a start.

    Returns:
        The body as a model, the digest of its bytes, and what it says of webhooks.

    Raises:
        RequestValidationError: It is not what the route takes.
        BadInputError: It is no JSON, or holds a value that no part can hold.
    """
    body, digest, members = await read_body_with_members(request, state, model)
    return body, digest, webhook_fields(members)


def webhook_fields(members: Mapping[str, Any]) -> WebhookFields:
    """Read what the members of a whole body say of webhooks."""
    return _fields({name: value for name, value in members.items() if name in NAMES})


def take_members(options: dict[str, bytes]) -> WebhookFields:
    """Take the webhook's members out of what a streamed body holds beside its items."""
    found = {name: options.pop(name) for name in MEMBERS if name in options}
    return _fields({name: read_json(raw, name) for name, raw in found.items()})


async def read_target(request: Request, state: AppState, fields: WebhookFields) -> JobEndpoint | None:
    """The target of a start; none: nobody is told.

    Args:
        request: Its headers are looked at where the body says nothing.
        state: The façade's parts.
        fields: What the body says.

    Raises:
        BadInputError: No URL, one that leads to a private address, a broken secret, or companions without a URL.
    """
    if fields.webhook_url is None:
        fields = _of_headers(request, fields)
    if fields.webhook_url is None:
        if fields.webhook_signing_secret is not None or fields.webhook_metadata is not None:
            raise BadInputError("webhookUrl is required with the other webhook fields", field="webhookUrl")
        return None
    await check_url(state, fields.webhook_url, "webhookUrl")
    secret = fields.webhook_signing_secret
    if secret is not None:
        signing_key(secret, field="webhookSigningSecret")
        if not secret.startswith(PREFIX):
            # The official packages take this form alone; it is told once, to who has just sent the secret.
            add_header(request.scope, "Towpath-Webhook-Secret", standard_form(secret))
    if fields.webhook_metadata is not None and len(write_json(fields.webhook_metadata)) > MAX_METADATA_BYTES:
        raise TooLargeError(f"webhookMetadata is larger than {MAX_METADATA_BYTES} bytes")
    return JobEndpoint(
        seal_endpoint(state.vault, fields.webhook_url),
        None if secret is None else state.vault.seal(secret),
        fields.webhook_metadata,
    )


async def check_url(state: AppState, url: str, field: str) -> None:
    """Refuse a URL that no notice may go to.

    Raises:
        BadInputError: With the field's name.
    """
    try:
        await state.receivers.check(url)
    except BadInputError as error:
        raise BadInputError(f"{field}: {error.detail}", code=error.code, field=field) from error


def _of_headers(request: Request, fields: WebhookFields) -> WebhookFields:
    found: dict[str, Any] = {
        name: text for name, header in HEADERS.items() if (text := request.headers.get(header)) is not None
    }
    if not found:
        return fields
    if "webhook_metadata" in found:
        header = "Towpath-Webhook-Metadata"
        # A header has bytes, which the server below reads as Latin-1.
        found["webhook_metadata"] = read_json(found["webhook_metadata"].encode("latin-1"), header)
    return _fields(found)


def _fields(found: Mapping[str, Any]) -> WebhookFields:
    try:
        return WebhookFields.model_validate(found)
    except ValidationError as error:
        raise make_validation_error(WebhookFields, error) from error
