"""The endpoint of a job: `webhookUrl` and its companions in the body of a start, or in its headers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from towpath.api.http.bodies import read_body_with_members
from towpath.api.http.requests import add_header
from towpath.api.http.routing import make_validation_error
from towpath.api.http.state import AppState
from towpath.core.json_values import read_json
from towpath.webhooks.domain.signing import standard_form
from towpath.webhooks.types import JobEndpoint, WebhookFields

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
    return _validate({name: value for name, value in members.items() if name in NAMES})


def take_members(options: dict[str, bytes]) -> WebhookFields:
    """Take the webhook's members out of what a streamed body holds beside its items."""
    members = {name: options.pop(name) for name in MEMBERS if name in options}
    return _validate({name: read_json(raw, name) for name, raw in members.items()})


async def read_job_endpoint(request: Request, state: AppState, fields: WebhookFields) -> JobEndpoint | None:
    """Read the endpoint that a start names for its own job; None: it names none.

    Args:
        request: Its headers are read where the body says nothing.
        state: The façade's parts.
        fields: What the body says.

    Raises:
        BadInputError: No URL, one that leads to a private address, a broken secret, or companions without a URL.
        TooLargeError: The metadata are.
    """
    if fields.webhook_url is None:
        fields = _read_headers(request, fields)
    endpoint = await state.endpoints.read_job_endpoint(fields)
    secret = fields.webhook_signing_secret
    if endpoint is not None and secret is not None and standard_form(secret) != secret:
        # The official packages take this form alone; it is shown once, to who has just sent the secret.
        add_header(request.scope, "Towpath-Webhook-Secret", standard_form(secret))
    return endpoint


def _read_headers(request: Request, fields: WebhookFields) -> WebhookFields:
    texts: dict[str, Any] = {
        name: text for name, header in HEADERS.items() if (text := request.headers.get(header)) is not None
    }
    if not texts:
        return fields
    if "webhook_metadata" in texts:
        header = "Towpath-Webhook-Metadata"
        # A header has bytes, which the server below reads as Latin-1.
        texts["webhook_metadata"] = read_json(texts["webhook_metadata"].encode("latin-1"), header)
    return _validate(texts)


def _validate(members: Mapping[str, Any]) -> WebhookFields:
    try:
        return WebhookFields.model_validate(members)
    except ValidationError as error:
        raise make_validation_error(WebhookFields, error) from error
