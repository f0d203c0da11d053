"""Who calls: keys, sign-in tokens and the session cookie, and what each route asks of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import jwt
from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPBearer

from api.state import AppState, State
from contracts.auth import KeyKind, Principal, Role, Scope
from contracts.errors import Forbidden, Unauthorized
from domain.auth import KEY_FORM
from stores import auth as store
from stores.tables import UserRow

COOKIE = "towpath_session"
CSRF_HEADER = "X-CSRF-Token"
TOKEN_SECONDS = 3600
STREAM_TOKEN_SECONDS = 300
ALGORITHM = "HS256"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

# Only for the OpenAPI document: `authenticate` reads the headers itself, because both may come at once.
bearer = HTTPBearer(auto_error=False, description="An API key, or the token of a sign-in.")
header_key = APIKeyHeader(name="X-API-Key", auto_error=False, description="An API key.")


def _presented(request: Request) -> str | None:
    """The one credential of a request.

    Raises:
        Unauthorized: Two different ones, or an Authorization header of another kind.
    """
    found: set[str] = set()
    for value in request.headers.getlist("authorization"):
        kind, _, credential = value.strip().partition(" ")
        if kind.lower() != "bearer" or not credential.strip():
            raise Unauthorized("Authorization must be `Bearer <key>`")
        found.add(_folded(credential))
    found |= {_folded(value) for value in request.headers.getlist("x-api-key") if value.strip()}
    if len(found) > 1:
        raise Unauthorized("the request carries two different keys")
    return next(iter(found), None)


def _folded(credential: str) -> str:
    text = credential.strip()
    # Keys are not case-sensitive; a token is.
    return text.lower() if text.lower().startswith("ent_") else text


async def authenticate(
    request: Request,
    state: State,
    _bearer: Annotated[Any, Depends(bearer)] = None,
    _header: Annotated[Any, Depends(header_key)] = None,
) -> Principal:
    """The caller of a request.

    Raises:
        Unauthorized: No key, a wrong, expired or revoked one, or two different ones.
        Forbidden: A write by cookie without its CSRF token.
    """
    credential = _presented(request)
    if credential is None:
        return await _by_cookie(request, state)
    if KEY_FORM.fullmatch(credential):
        return await _by_key(state, credential)
    if credential.count(".") == 2:
        return await _by_token(state, credential)
    raise Unauthorized("this key is not valid")


async def authenticate_embeddings(
    request: Request,
    state: State,
    _bearer: Annotated[Any, Depends(bearer)] = None,
    _header: Annotated[Any, Depends(header_key)] = None,
) -> Principal:
    """The caller of the embeddings API: without a key the default tenant, where the setting opens it."""
    keyless = _presented(request) is None and COOKIE not in request.cookies
    if keyless and state.settings.embeddings_open:
        return Principal(
            organization=store.DEFAULT_ORGANIZATION,
            kind=KeyKind.ORGANIZATION,
            role=Role.OPERATOR,
            scopes=frozenset(Scope),
        )
    return await authenticate(request, state)


async def _by_key(state: AppState, key: str) -> Principal:
    known = state.keys.get(key)
    if known is None:
        known = await _look_up(state, key)
        state.keys.put(key, known)
    return known


async def _look_up(state: AppState, key: str) -> Principal:
    found = await store.find_key(state.db, key)
    if found is None:
        raise Unauthorized("this key is not valid")
    row, user = found
    role = row.role
    if row.kind is KeyKind.PERSONAL:
        if user is None:
            raise Unauthorized("this key's user is gone")
        role = user.role if role.covers(user.role) else role
    now = datetime.now(UTC)
    if row.last_used_at is None or now - row.last_used_at > store.USE_NOTED_EVERY:
        asyncio.get_running_loop().create_task(store.note_use(state.db, row.id))
    return Principal(
        organization=row.organization,
        user_id=row.user_id,
        key_id=row.id,
        kind=row.kind,
        role=role,
        scopes=frozenset(Scope(scope) for scope in row.scopes),
    )


async def _by_token(state: AppState, token: str) -> Principal:
    claims = _claims(state, token, "session")
    return await _of_user(state, claims)


async def _by_cookie(request: Request, state: AppState) -> Principal:
    token = request.cookies.get(COOKIE)
    if token is None:
        raise Unauthorized("a key is required: send `Authorization: Bearer <key>`")
    claims = _claims(state, token, "session")
    if request.method not in SAFE_METHODS and request.headers.get(CSRF_HEADER) != claims.get("csrf"):
        raise Forbidden(f"a write by cookie needs the header {CSRF_HEADER}")
    return await _of_user(state, claims)


async def _of_user(state: AppState, claims: dict[str, Any]) -> Principal:
    user = await store.get_user(state.db, UUID(claims["sub"]))
    if user is None:
        raise Unauthorized("this user is gone")
    return Principal(
        organization=user.organization,
        user_id=user.id,
        kind=KeyKind.PERSONAL,
        role=user.role,
        scopes=frozenset(Scope),
    )


def session_token(state: AppState, user: UserRow, csrf: str) -> str:
    """A short-lived token for a signed-in user."""
    return _sign(state, {"sub": str(user.id), "csrf": csrf}, "session", TOKEN_SECONDS)


def stream_token(state: AppState, organization: str, job_id: UUID) -> str:
    """A token that opens one job's stream for five minutes."""
    return _sign(state, {"sub": str(job_id), "org": organization}, "stream", STREAM_TOKEN_SECONDS)


def stream_organization(state: AppState, token: str, job_id: UUID) -> str:
    """The organisation that a stream token speaks for.

    Raises:
        Unauthorized: The token is not valid, or is another job's.
    """
    claims = _claims(state, token, "stream")
    if claims["sub"] != str(job_id):
        raise Unauthorized("this token is for another job")
    return str(claims["org"])


def _sign(state: AppState, claims: dict[str, Any], audience: str, seconds: int) -> str:
    ends = datetime.now(UTC) + timedelta(seconds=seconds)
    return jwt.encode({**claims, "aud": audience, "exp": ends}, state.secret, algorithm=ALGORITHM)


def _claims(state: AppState, token: str, audience: str) -> dict[str, Any]:
    try:
        return jwt.decode(
            token, state.secret, algorithms=[ALGORITHM], audience=audience, options={"require": ["exp", "sub"]}
        )
    except jwt.InvalidTokenError as error:
        raise Unauthorized("this token is not valid or has expired") from error


Caller = Annotated[Principal, Depends(authenticate)]


def _allowed(caller: Principal, role: Role, scope: Scope) -> Principal:
    if scope not in caller.scopes:
        raise Forbidden(f"this key lacks the scope {scope}")
    if not caller.role.covers(role):
        raise Forbidden(f"this needs the role {role}; the key has {caller.role}")
    return caller


def require(role: Role, scope: Scope) -> Callable[[Principal], Coroutine[Any, Any, Principal]]:
    """A dependency that asks for a role and a scope."""

    async def check(caller: Caller) -> Principal:
        return _allowed(caller, role, scope)

    return check


def require_embeddings(scope: Scope) -> Callable[[Principal], Coroutine[Any, Any, Principal]]:
    """The same for the embeddings API, which may be open."""

    async def check(caller: Annotated[Principal, Depends(authenticate_embeddings)]) -> Principal:
        return _allowed(caller, Role.OPERATOR, scope)

    return check


Reader = Annotated[Principal, Depends(require(Role.OPERATOR, Scope.READ))]
Operator = Annotated[Principal, Depends(require(Role.OPERATOR, Scope.WRITE))]
Editor = Annotated[Principal, Depends(require(Role.EDITOR, Scope.WRITE))]
EmbeddingsReader = Annotated[Principal, Depends(require_embeddings(Scope.READ))]
EmbeddingsOperator = Annotated[Principal, Depends(require_embeddings(Scope.WRITE))]
Owner = Annotated[Principal, Depends(require(Role.OWNER, Scope.WRITE))]


async def docs_reader(request: Request, state: State) -> None:
    """Who may read `/docs`: everyone where the setting says so, else admins."""
    if not state.settings.docs_open:
        await require(Role.ADMIN, Scope.READ)(await authenticate(request, state))


class Throttle:
    """Counts attempts by name in a window of time; a process of its own memory is enough to slow guessing.

    Args:
        most: Attempts in one window.
        seconds: The window.
    """

    def __init__(self, *, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._attempts: dict[str, list[float]] = {}

    def wait(self, name: str) -> int:
        """Count an attempt.

        Returns:
            Seconds to wait before the next one; 0: go on.
        """
        now = time.monotonic()
        recent = [at for at in self._attempts.get(name, []) if now - at < self._seconds]
        if len(recent) >= self._most:
            return int(self._seconds - (now - recent[0])) + 1
        self._attempts[name] = [*recent, now]
        if len(self._attempts) > 10_000:
            self._attempts.pop(next(iter(self._attempts)))
        return 0
