"""Who calls: keys, sign-in tokens, sessions and links to a thread, and what each route asks of them."""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPBearer

from towpath.accounts.domain.keys import KEY_FORM, key_prefix
from towpath.accounts.service.callers import Session, authenticate_key, authenticate_session, normalize_credential
from towpath.accounts.tokens import read_token, sign_token
from towpath.accounts.types import DEFAULT_ORGANIZATION, KeyKind, Principal, Role, Scope
from towpath.ai.service.links import is_link_valid
from towpath.api.http.limits import count_request
from towpath.api.http.requests import note_caller
from towpath.api.http.state import AppState, State
from towpath.core.errors import ForbiddenError, UnauthorizedError

COOKIE = "towpath_session"
CALLER = "towpath.principal"
CSRF_HEADER = "X-CSRF-Token"
STREAM_TOKEN_SECONDS = 300
CHAT_COOKIE = "towpath_chat"
CHAT_SECONDS = 24 * 3600
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

# Only for the OpenAPI document: `authenticate` reads the headers itself, because both may come at once.
bearer = HTTPBearer(auto_error=False, description="An API key, or the token of a sign-in.")
header_key = APIKeyHeader(name="X-API-Key", auto_error=False, description="An API key.")


@dataclass(frozen=True, slots=True)
class ChatPass:
    """What a link to a thread lets its bearer do there."""

    organization: str
    write: bool
    csrf: str


def read_credential(request: Request) -> str | None:
    """Return the one credential in a request's headers.

    Raises:
        UnauthorizedError: Two different ones, or an Authorization header of another kind.
    """
    credentials: set[str] = set()
    for value in request.headers.getlist("authorization"):
        kind, _, credential = value.strip().partition(" ")
        if kind.lower() != "bearer" or not credential.strip():
            raise UnauthorizedError("Authorization must be `Bearer <key>`")
        credentials.add(normalize_credential(credential))
    credentials |= {normalize_credential(value) for value in request.headers.getlist("x-api-key") if value.strip()}
    if len(credentials) > 1:
        raise UnauthorizedError("the request carries two different keys")
    return next(iter(credentials), None)


async def authenticate(
    request: Request,
    state: State,
    _bearer: Annotated[Any, Depends(bearer)] = None,
    _header: Annotated[Any, Depends(header_key)] = None,
) -> Principal:
    """Return the caller of a request.

    Raises:
        UnauthorizedError: No key, a wrong, expired or revoked one, or two different ones.
        ForbiddenError: A write by cookie without its CSRF token.
        LimitReachedError: The organization has used up its requests.
    """
    # A route that takes a body has asked before it was read.
    caller: Principal | None = request.scope.get(CALLER)
    if caller is None:
        caller = request.scope[CALLER] = await _caller_of(request, state)
        await count_request(request, state, caller.organization)
    return caller


async def _caller_of(request: Request, state: AppState) -> Principal:
    credential = read_credential(request)
    if credential is None:
        return await _by_cookie(request, state)
    if KEY_FORM.fullmatch(credential):
        # Also of a key that is refused: its owner asks why.
        note_caller(request.scope, key=key_prefix(credential))
        caller = await authenticate_key(state.accounts, credential)
    elif credential.count(".") == 2:
        caller = (await authenticate_session(state.accounts, credential)).caller
    else:
        raise UnauthorizedError("this key is not valid")
    note_caller(request.scope, organization=caller.organization)
    return caller


async def authenticate_embeddings(
    request: Request,
    state: State,
    _bearer: Annotated[Any, Depends(bearer)] = None,
    _header: Annotated[Any, Depends(header_key)] = None,
) -> Principal:
    """Return the caller of the embeddings API: without a key the default tenant, where the setting opens it."""
    keyless = read_credential(request) is None and COOKIE not in request.cookies
    if keyless and state.settings.embeddings_open:
        note_caller(request.scope, organization=DEFAULT_ORGANIZATION)
        await count_request(request, state, DEFAULT_ORGANIZATION)
        return Principal(
            organization=DEFAULT_ORGANIZATION,
            kind=KeyKind.ORGANIZATION,
            role=Role.OPERATOR,
            scopes=frozenset(Scope),
        )
    return await authenticate(request, state)


async def _by_cookie(request: Request, state: AppState) -> Principal:
    session = await read_session(request, state)
    if request.method not in SAFE_METHODS and not is_same_csrf(request.headers.get(CSRF_HEADER), session.csrf):
        raise ForbiddenError(f"a write by cookie needs the header {CSRF_HEADER}")
    return session.caller


async def read_session(request: Request, state: AppState) -> Session:
    """Return the session of a request's cookie. Whether a write carries the CSRF token is the reader's to check.

    Raises:
        UnauthorizedError: There is none, it has ended, or its user or key is gone.
    """
    token = request.cookies.get(COOKIE)
    if token is None:
        raise UnauthorizedError("a key is required: send `Authorization: Bearer <key>`")
    session = await authenticate_session(state.accounts, token)
    note_caller(request.scope, organization=session.caller.organization)
    await count_request(request, state, session.caller.organization)
    return session


def is_same_csrf(token: str | None, expected: str) -> bool:
    """Return whether a write carries its session's CSRF token; takes as long for every wrong one."""
    return hmac.compare_digest((token or "").encode(), expected.encode())


def read_session_tokens(request: Request) -> list[str]:
    """Return what may be tokens of sessions in a request, in its headers and its cookie."""
    tokens = [value.partition(" ")[2].strip() for value in request.headers.getlist("authorization")]
    return [*tokens, request.cookies.get(COOKIE, "")]


def sign_stream_token(state: AppState, organization: str, job_id: UUID) -> str:
    """Return a token that opens one job's stream for five minutes."""
    return sign_token(state.secret, {"sub": str(job_id), "org": organization}, "stream", STREAM_TOKEN_SECONDS)


def read_stream_token(state: AppState, token: str, job_id: UUID) -> str:
    """Return the organisation that a stream token speaks for.

    Raises:
        UnauthorizedError: The token is not valid, or is another job's.
    """
    claims = read_token(state.secret, token, "stream")
    if claims["sub"] != str(job_id):
        raise UnauthorizedError("this token is for another job")
    return str(claims["org"])


def sign_chat_link(state: AppState, organization: str, conversation_id: UUID, link_id: UUID, *, write: bool) -> str:
    """Return a token that opens a thread's page for 24 hours, as `?token=`.

    Args:
        link_id: The link's row, by which it can be revoked.
        write: Whether its bearer may ask and cancel.
    """
    claims = {"sub": str(conversation_id), "org": organization, "write": write, "jti": str(link_id)}
    return sign_token(state.secret, claims, "chat", CHAT_SECONDS)


async def exchange_chat_link(state: AppState, token: str, conversation_id: UUID) -> tuple[str, int]:
    """Return a cookie's value for a link's token, so that the token stays in no history.

    Returns:
        The value, and the seconds that are left of the link's day.

    Raises:
        UnauthorizedError: The token is not valid or was revoked, or is another thread's.
    """
    claims = await _chat_claims(state, token, "chat", conversation_id)
    left = max(int(claims["exp"] - time.time()), 1)
    page_claims = {name: claims[name] for name in ("sub", "org", "write", "jti")} | {"csrf": secrets.token_urlsafe(24)}
    return sign_token(state.secret, page_claims, "chat-page", left), left


async def read_chat_pass(state: AppState, cookie: str, conversation_id: UUID) -> ChatPass:
    """Return what a thread's cookie lets its bearer do.

    Raises:
        UnauthorizedError: It is not valid or its link was revoked, or it is another thread's.
    """
    claims = await _chat_claims(state, cookie, "chat-page", conversation_id)
    return ChatPass(organization=str(claims["org"]), write=bool(claims["write"]), csrf=str(claims["csrf"]))


async def _chat_claims(state: AppState, token: str, audience: str, conversation_id: UUID) -> dict[str, Any]:
    claims = read_token(state.secret, token, audience)
    if claims["sub"] != str(conversation_id):
        raise UnauthorizedError("this link is for another conversation")
    # One of before links were rows has no id: it cannot be revoked, so it does not hold.
    if "jti" not in claims or not await is_link_valid(state.db, UUID(claims["jti"])):
        raise UnauthorizedError("this link was revoked or has expired")
    return claims


Caller = Annotated[Principal, Depends(authenticate)]


def assert_allowed(caller: Principal, role: Role, scope: Scope) -> Principal:
    """Return the caller, who has a role and a scope.

    Raises:
        ForbiddenError: One of them is lacking.
    """
    if scope not in caller.scopes:
        raise ForbiddenError(f"this key lacks the scope {scope}")
    if not caller.role.covers(role):
        raise ForbiddenError(f"this needs the role {role}; the key has {caller.role}")
    return caller


@dataclass(frozen=True, slots=True)
class Needs:
    """What a dependency requires of the caller; the documentation has a table of it.

    Attributes:
        unless: What lets others in, too.
    """

    role: Role
    scope: Scope
    unless: str | None = None


Check = TypeVar("Check", bound=Callable[..., Any])


def declare_needs(role: Role, scope: Scope, *, unless: str | None = None) -> Callable[[Check], Check]:
    """Say of a dependency what it asks for, as `needs`."""

    def mark(check: Check) -> Check:
        check.needs = Needs(role, scope, unless)  # type: ignore[attr-defined]
        return check

    return mark


def require(role: Role, scope: Scope) -> Callable[[Principal], Coroutine[Any, Any, Principal]]:
    """Return a dependency that asks for a role and a scope."""

    @declare_needs(role, scope)
    async def check(caller: Caller) -> Principal:
        return assert_allowed(caller, role, scope)

    return check


def require_embeddings(scope: Scope) -> Callable[[Principal], Coroutine[Any, Any, Principal]]:
    """Return the same for the embeddings API, which may be open."""

    @declare_needs(Role.OPERATOR, scope, unless="`TOWPATH_EMBEDDINGS_OPEN` lets everyone in")
    async def check(caller: Annotated[Principal, Depends(authenticate_embeddings)]) -> Principal:
        return assert_allowed(caller, Role.OPERATOR, scope)

    return check


Reader = Annotated[Principal, Depends(require(Role.OPERATOR, Scope.READ))]
Operator = Annotated[Principal, Depends(require(Role.OPERATOR, Scope.WRITE))]
Editor = Annotated[Principal, Depends(require(Role.EDITOR, Scope.WRITE))]
EmbeddingsReader = Annotated[Principal, Depends(require_embeddings(Scope.READ))]
EmbeddingsOperator = Annotated[Principal, Depends(require_embeddings(Scope.WRITE))]
Owner = Annotated[Principal, Depends(require(Role.OWNER, Scope.WRITE))]


@declare_needs(Role.ADMIN, Scope.READ, unless="`TOWPATH_DOCS_OPEN` lets everyone in")
async def docs_reader(request: Request, state: State) -> None:
    """Let everyone read `/docs` where the setting says so, else admins."""
    if not state.settings.docs_open:
        await require(Role.ADMIN, Scope.READ)(await authenticate(request, state))
