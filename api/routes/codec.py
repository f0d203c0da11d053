"""The remote codec of the Temporal UI and command line: what Temporal stores encrypted, decrypted for who may see it.

It decrypts the payloads of every tenant. So it asks for an admin's key, or, since the UI has none to send, for a secret
in the path that the UI's operator gave it; and of browsers it serves the UI's own pages alone.
"""

from __future__ import annotations

import hmac
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Request, Response
from google.protobuf.json_format import MessageToJson, Parse, ParseError
from temporalio.api.common.v1 import Payloads

from towpath.accounts.types import Role, Scope
from towpath.api.http.auth import authenticate, require
from towpath.api.http.routing import ApiRoute
from towpath.api.http.state import AppState, State
from towpath.core.errors import BadInputError, ErrorCode, ForbiddenError, NotFoundError, TooLargeError, UnavailableError
from towpath.core.values import format_url_host

router = APIRouter(prefix="/codec", include_in_schema=False, route_class=ApiRoute)

MAX_BYTES = 32 << 20
LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
DECODE, ENCODE = "decode", "encode"
PREFLIGHT_SECONDS = 600


def ui_origins(ui_url: str | None) -> frozenset[str]:
    """Return the origins of the Temporal UI's pages; on this machine by each of its names."""
    if not ui_url:
        return frozenset()
    parts = urlsplit(ui_url)
    host, port = format_url_host(parts.hostname or ""), parts.port
    names = LOOPBACK if host in LOOPBACK else {host}
    return frozenset(f"{parts.scheme}://{name}{'' if port is None else f':{port}'}" for name in names)


def _cors(request: Request, state: AppState) -> dict[str, str]:
    """Return the headers that let the UI's pages read the answer; none: no browser asks.

    Raises:
        ForbiddenError: A page of another origin asks.
    """
    origin = request.headers.get("origin")
    if origin is None:
        return {}
    if origin not in ui_origins(state.settings.temporal_ui_url):
        raise ForbiddenError("only pages of TOWPATH_TEMPORAL_UI_URL may ask for payloads")
    return {"Access-Control-Allow-Origin": origin, "Access-Control-Allow-Credentials": "true", "Vary": "Origin"}


async def _admin(request: Request, state: State) -> None:
    await require(Role.ADMIN, Scope.WRITE)(await authenticate(request, state))


async def _knows_token(token: str, state: State) -> None:
    expected = state.settings.codec_token
    if expected is None or not hmac.compare_digest(token.encode(), expected.encode()):
        # As every path that is not there.
        raise NotFoundError("there is no such page")


Admin = Annotated[None, Depends(_admin)]
KnowsToken = Annotated[None, Depends(_knows_token)]


@router.post("/decode")
async def decode(request: Request, state: State, _: Admin) -> Response:
    """Decrypt payloads for an admin."""
    return await _answer(request, state, encrypt=False)


@router.post("/encode")
async def encode(request: Request, state: State, _: Admin) -> Response:
    """Encrypt payloads for an admin."""
    return await _answer(request, state, encrypt=True)


@router.post("/{token}/decode")
async def decode_for_ui(request: Request, state: State, _: KnowsToken) -> Response:
    """Decrypt payloads for the UI."""
    return await _answer(request, state, encrypt=False)


@router.post("/{token}/encode")
async def encode_for_ui(request: Request, state: State, _: KnowsToken) -> Response:
    """Encrypt payloads for the UI: what a signal or a start from there carries."""
    return await _answer(request, state, encrypt=True)


@router.options("/{action}")
@router.options("/{token}/{action}")
async def preflight(request: Request, state: State) -> Response:
    """What a browser asks before it sends the UI's request."""
    allowed = _cors(request, state)
    if allowed:
        allowed |= {
            "Access-Control-Allow-Methods": "POST",
            "Access-Control-Allow-Headers": "authorization, authorization-extras, content-type, x-namespace",
            "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
        }
    return Response(status_code=204, headers=allowed)


async def _answer(request: Request, state: AppState, *, encrypt: bool) -> Response:
    headers = _cors(request, state)
    codec = state.temporal.data_converter.payload_codec
    assert codec is not None
    sent = await _read(request)
    try:
        converted = await (codec.encode(sent.payloads) if encrypt else codec.decode(sent.payloads))
    except UnavailableError as error:
        # Another attempt would not help.
        raise BadInputError(error.detail, field="payloads") from error
    answer = MessageToJson(Payloads(payloads=converted), indent=None)
    return Response(answer, media_type="application/json", headers={**headers, "Cache-Control": "no-store"})


async def _read(request: Request) -> Payloads:
    raw = bytearray()
    async for piece in request.stream():
        raw += piece
        if len(raw) > MAX_BYTES:
            raise TooLargeError(f"the body is larger than {MAX_BYTES} bytes")
    try:
        return Parse(bytes(raw), Payloads())
    except (ParseError, UnicodeDecodeError) as error:
        raise BadInputError(
            "the body is no JSON of payloads, as Temporal writes them", code=ErrorCode.INVALID_VALUE
        ) from error
