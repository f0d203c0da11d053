"""Entities read from a URL of the caller's; nothing is stored."""

from __future__ import annotations

import base64
from typing import Any

from towpath.core.errors import (
    BadInputError,
    ErrorCode,
    ModelError,
    ProviderDownError,
    TooLargeError,
    TowpathError,
    UnavailableError,
)
from towpath.core.json_values import read_json
from towpath.enrichment.bodies import FetchBody
from towpath.net.http import GuardedClient

LIST_KEYS = ("data", "results", "items")


async def fetch_entities(client: GuardedClient, body: FetchBody) -> list[dict[str, Any]]:
    """Read a list of objects, or an object that holds one under `data`, `results` or `items`.

    Raises:
        ProviderDownError: The source does not answer.
        ModelError: The source refuses.
        BadInputError: The URL or the credentials cannot be used, or the source gives no list of objects.
    """
    headers = _credentials(body)
    try:
        fetched = await client.fetch(body.url, headers)
    except UnavailableError as error:
        raise ProviderDownError(f"url: {error.detail}") from error
    except (BadInputError, TooLargeError) as error:
        if error.code is ErrorCode.ADDRESS_REFUSED or "is no URL" in error.detail or "names no host" in error.detail:
            raise BadInputError(f"url: {error.detail}", code=error.code, field="url") from error
        raise ModelError(f"url: {error.detail}", code=ErrorCode.SOURCE_FAILED) from error
    except TowpathError as error:
        raise ModelError(f"url: {error.detail}", code=ErrorCode.SOURCE_FAILED) from error
    try:
        entities = read_json(fetched.body, "the answer")
    except BadInputError as error:
        raise BadInputError(f"url: {error.detail}", code=error.code, field="url") from error
    if isinstance(entities, dict):
        entities = next((entities[key] for key in LIST_KEYS if isinstance(entities.get(key), list)), entities)
    if not isinstance(entities, list) or not all(isinstance(entity, dict) for entity in entities):
        raise BadInputError("url: the answer holds no list of objects", field="url")
    return entities


def _credentials(body: FetchBody) -> dict[str, str]:
    auth = body.auth
    needed: dict[str, tuple[str, ...]] = {
        "none": (),
        "bearer": ("bearer_token",),
        "api_key": ("api_key_header", "api_key_value"),
        "basic": ("basic_username",),
    }
    for name in needed[auth.auth_type]:
        if not getattr(auth, name):
            raise BadInputError(
                f"auth.{name} is required for {auth.auth_type}", code=ErrorCode.MISSING_FIELD, field=f"auth.{name}"
            )
    headers = {"Accept": "application/json"}
    if auth.auth_type == "bearer":
        headers["Authorization"] = f"Bearer {auth.bearer_token}"
    elif auth.auth_type == "api_key":
        headers[str(auth.api_key_header)] = str(auth.api_key_value)
    elif auth.auth_type == "basic":
        pair = f"{auth.basic_username}:{auth.basic_password or ''}".encode()
        headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
    if any("\r" in value or "\n" in value or not value.isascii() for value in headers.values()):
        raise BadInputError("auth: credentials hold characters that no header takes", field="auth")
    return headers
