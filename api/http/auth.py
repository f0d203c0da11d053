"""Who calls: keys, sign-in tokens, sessions and links to a thread, and what each route asks of them."""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar
from uuid import UUID

import jwt
from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPBearer

from towpath.accounts.domain.keys import KEY_FORM, key_prefix
from towpath.accounts.store import auth as store
from towpath.accounts.store.sessions import find_session
from towpath.accounts.types import KeyKind, Principal, Role, Scope
from towpath.ai.store.links import link_holds
from towpath.api.http.requests import note_caller
from towpath.api.http.state import AppState, State
from towpath.core.errors import ForbiddenError, UnauthorizedError
from towpath.db.tables import ApiKeyRow, UserRow

COOKIE = "towpath_session"
CALLER = "towpath.principal"
CSRF_HEADER = "X-CSRF-Token"
TOKEN_SECONDS = 3600
STREAM_TOKEN_SECONDS = 300
CHAT_COOKIE = "towpath_chat"
CHAT_SECONDS = 24 * 3600
ALGORITHM = "HS256"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

# Only for the OpenAPI document: `authenticate` reads the headers itself, because both may come at once.
bearer = HTTPBearer(auto_error=False, description="An API key, or the token of a sign-in.")
header_key = APIKeyHeader(name="X-API-Key", auto_error=False, description="An API key.")


@dataclass(frozen=True, slots=True)
class Session:
    """What a session cookie stands for; `csrf` must go with its writes."""

    caller: Principal
    csrf: str


@dataclass(frozen=True, slots=True)
class ChatPass:
    """What a link to a thread lets its bearer do there."""

    organization: str
    write: bool
    csrf: str


def presented(request: Request) -> str | None:
    """The one credential in a request's headers.

    Raises:
        UnauthorizedError: Two different ones, or an Authorization header of another kind.
    """
    found: set[str] = set()
    for value in request.headers.getlist("authorization"):
        kind, _, credential = value.strip().partition(" ")
        if kind.lower() != "bearer" or not credential.strip():
            raise UnauthorizedError("Authorization must be `Bearer <key>`")
        found.add(folded(credential))
    found |= {folded(value) for value in request.headers.getlist("x-api-key") if value.strip()}
    if len(found) > 1:
        raise UnauthorizedError("the request carries two different keys")
    return next(iter(found), None)


def folded(credential: str) -> str:
    """A credential as it is looked up."""
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
        UnauthorizedError: No key, a wrong, expired or revoked one, or two different ones.
        ForbiddenError: A write by cookie without its CSRF token.
        LimitReached: The organization has used up its requests.
    """
    # A route that takes a body has asked before it was read.
    known: Principal | None = request.scope.get(CALLER)
    if known is None:
        known = request.scope[CALLER] = await _caller_of(request, state)
        await state.limits.count_request(request.scope, known.organization)
    return known


async def _caller_of(request: Request, state: AppState) -> Principal:
    credential = presented(request)
    if credential is None:
        return await _by_cookie(request, state)
    if KEY_FORM.fullmatch(credential):
        # Also of a key that is refused: its owner asks why.
        note_caller(request.scope, key=key_prefix(credential))
        caller = await _by_key(state, credential)
    elif credential.count(".") == 2:
        caller = await _by_token(state, credential)
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
    """The caller of the embeddings API: without a key the default tenant, where the setting opens it."""
    keyless = presented(request) is None and COOKIE not in request.cookies
    if keyless and state.settings.embeddings_open:
        note_caller(request.scope, organization=store.DEFAULT_ORGANIZATION)
        await state.limits.count_request(request.scope, store.DEFAULT_ORGANIZATION)
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
        found = await store.find_key(state.db, key)
        if found is None:
            raise UnauthorizedError("this key is not valid")
        known = _of_key(*found)
        state.keys.put(key, known)
    if known.key_id is not None:
        state.key_uses.note(known.key_id)
    return known


def _of_key(row: ApiKeyRow, user: UserRow | None) -> Principal:
    role = row.role
    if row.kind is KeyKind.PERSONAL:
        if user is None or not user.may_enter:
            raise UnauthorizedError("this key's user was removed or is deactivated")
        role = user.role if role.covers(user.role) else role
    return Principal(
        organization=row.organization,
        user_id=row.user_id,
        key_id=row.id,
        kind=row.kind,
        role=role,
        scopes=frozenset(Scope(scope) for scope in row.scopes),
        expires_at=row.expires_at,
    )


async def _by_token(state: AppState, token: str) -> Principal:
    return await _of_session(state, _claims(state, token, "session"))


async def _by_cookie(request: Request, state: AppState) -> Principal:
    session = await read_session(request, state)
    if request.method not in SAFE_METHODS and not same_csrf(request.headers.get(CSRF_HEADER), session.csrf):
        raise ForbiddenError(f"a write by cookie needs the header {CSRF_HEADER}")
    return session.caller


async def read_session(request: Request, state: AppState) -> Session:
    """The session of a request's cookie. Whether a write carries the CSRF token is the reader's to check.

    Raises:
        UnauthorizedError: There is none, it has ended, or its user or key is gone.
    """
    token = request.cookies.get(COOKIE)
    if token is None:
        raise UnauthorizedError("a key is required: send `Authorization: Bearer <key>`")
    claims = _claims(state, token, "session")
    caller = await _of_session(state, claims)
    note_caller(request.scope, organization=caller.organization)
    await state.limits.count_request(request.scope, caller.organization)
    return Session(caller=caller, csrf=str(claims["csrf"]))


def same_csrf(given: str | None, expected: str) -> bool:
    """Whether a write carries its session's CSRF token; takes as long for every wrong one."""
    return hmac.compare_digest((given or "").encode(), expected.encode())


async def _of_session(state: AppState, claims: dict[str, Any]) -> Principal:
    session_id = _session_id(claims)
    found = None if session_id is None else await find_session(state.db, session_id)
    if found is None:
        raise UnauthorizedError("this sign-in was ended")
    key, user = found
    if key is not None:
        state.key_uses.note(key.id)
        return _of_key(key, user).model_copy(update={"session_id": session_id})
    assert user is not None
    return Principal(
        organization=user.organization,
        user_id=user.id,
        kind=KeyKind.PERSONAL,
        role=user.role,
        scopes=frozenset(Scope),
        session_id=session_id,
    )


def _session_id(claims: dict[str, Any]) -> UUID | None:
    try:
        return UUID(str(claims.get("jti")))
    except ValueError:
        # A token from before sign-ins were kept.
        return None


def session_token(state: AppState, session_id: UUID, csrf: str) -> str:
    """The token of a sign-in, for the header or the cookie; it is taken as long as the sign-in is there."""
    return _sign(state, {"sub": str(session_id), "jti": str(session_id), "csrf": csrf}, "session", TOKEN_SECONDS)


def presented_sessions(request: Request, state: AppState) -> set[UUID]:
    """The sign-ins whose tokens a request carries, in its header or its cookie, whether they are still there or not."""
    tokens = [value.partition(" ")[2].strip() for value in request.headers.getlist("authorization")]
    tokens.append(request.cookies.get(COOKIE, ""))
    found = set()
    for token in tokens:
        try:
            session_id = _session_id(_claims(state, token, "session"))
        except UnauthorizedError:
            continue
        if session_id is not None:
            found.add(session_id)
    return found


def stream_token(state: AppState, organization: str, job_id: UUID) -> str:
    """A token that opens one job's stream for five minutes."""
    return _sign(state, {"sub": str(job_id), "org": organization}, "stream", STREAM_TOKEN_SECONDS)


def stream_organization(state: AppState, token: str, job_id: UUID) -> str:
    """The organisation that a stream token speaks for.

    Raises:
        UnauthorizedError: The token is not valid, or is another job's.
    """
    claims = _claims(state, token, "stream")
    if claims["sub"] != str(job_id):
        raise UnauthorizedError("this token is for another job")
    return str(claims["org"])


def chat_link_token(state: AppState, organization: str, conversation_id: UUID, link_id: UUID, *, write: bool) -> str:
    """A token that opens a thread's page for 24 hours, as `?token=`.

    Args:
        link_id: The link's row, by which it can be revoked.
        write: Whether its bearer may ask and cancel.
    """
    claims = {"sub": str(conversation_id), "org": organization, "write": write, "jti": str(link_id)}
    return _sign(state, claims, "chat", CHAT_SECONDS)


async def exchange_chat_link(state: AppState, token: str, conversation_id: UUID) -> tuple[str, int]:
    """A cookie's value for a link's token, so that the token stays in no history.

    Returns:
        The value, and the seconds that are left of the link's day.

    Raises:
        UnauthorizedError: The token is not valid or was revoked, or is another thread's.
    """
    claims = await _chat_claims(state, token, "chat", conversation_id)
    left = max(int(claims["exp"] - time.time()), 1)
    kept = {name: claims[name] for name in ("sub", "org", "write", "jti")} | {"csrf": secrets.token_urlsafe(24)}
    return _sign(state, kept, "chat-page", left), left


async def read_chat_pass(state: AppState, cookie: str, conversation_id: UUID) -> ChatPass:
    """What a thread's cookie lets its bearer do.

    Raises:
        UnauthorizedError: It is not valid or its link was revoked, or it is another thread's.
    """
    claims = await _chat_claims(state, cookie, "chat-page", conversation_id)
    return ChatPass(organization=str(claims["org"]), write=bool(claims["write"]), csrf=str(claims["csrf"]))


async def _chat_claims(state: AppState, token: str, audience: str, conversation_id: UUID) -> dict[str, Any]:
    claims = _claims(state, token, audience)
    if claims["sub"] != str(conversation_id):
        raise UnauthorizedError("this link is for another conversation")
    # One of before links were rows has no id: it cannot be revoked, so it does not hold.
    if "jti" not in claims or not await link_holds(state.db, UUID(claims["jti"])):
        raise UnauthorizedError("this link was revoked or has expired")
    return claims


def _sign(state: AppState, claims: dict[str, Any], audience: str, seconds: int) -> str:
    ends = datetime.now(UTC) + timedelta(seconds=seconds)
    return jwt.encode({**claims, "aud": audience, "exp": ends}, state.secret, algorithm=ALGORITHM)


def _claims(state: AppState, token: str, audience: str) -> dict[str, Any]:
    try:
        return jwt.decode(
            token, state.secret, algorithms=[ALGORITHM], audience=audience, options={"require": ["exp", "sub"]}
        )
    except jwt.InvalidTokenError as error:
        raise UnauthorizedError("this token is not valid or has expired") from error


Caller = Annotated[Principal, Depends(authenticate)]


def allowed(caller: Principal, role: Role, scope: Scope) -> Principal:
    """The caller, who has a role and a scope.

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
    """What a dependency asks of the caller; `api.permissions` makes a table of it.

    Attributes:
        unless: What lets others in, too.
    """

    role: Role
    scope: Scope
    unless: str | None = None


Check = TypeVar("Check", bound=Callable[..., Any])


def asks(role: Role, scope: Scope, *, unless: str | None = None) -> Callable[[Check], Check]:
    """Say of a dependency what it asks for, as `needs`."""

    def mark(check: Check) -> Check:
        check.needs = Needs(role, scope, unless)  # type: ignore[attr-defined]
        return check

    return mark


def require(role: Role, scope: Scope) -> Callable[[Principal], Coroutine[Any, Any, Principal]]:
    """A dependency that asks for a role and a scope."""

    @asks(role, scope)
    async def check(caller: Caller) -> Principal:
        return allowed(caller, role, scope)

    return check


def require_embeddings(scope: Scope) -> Callable[[Principal], Coroutine[Any, Any, Principal]]:
    """The same for the embeddings API, which may be open."""

    @asks(Role.OPERATOR, scope, unless="`TOWPATH_EMBEDDINGS_OPEN` lets everyone in")
    async def check(caller: Annotated[Principal, Depends(authenticate_embeddings)]) -> Principal:
        return allowed(caller, Role.OPERATOR, scope)

    return check


Reader = Annotated[Principal, Depends(require(Role.OPERATOR, Scope.READ))]
Operator = Annotated[Principal, Depends(require(Role.OPERATOR, Scope.WRITE))]
Editor = Annotated[Principal, Depends(require(Role.EDITOR, Scope.WRITE))]
EmbeddingsReader = Annotated[Principal, Depends(require_embeddings(Scope.READ))]
EmbeddingsOperator = Annotated[Principal, Depends(require_embeddings(Scope.WRITE))]
Owner = Annotated[Principal, Depends(require(Role.OWNER, Scope.WRITE))]


@asks(Role.ADMIN, Scope.READ, unless="`TOWPATH_DOCS_OPEN` lets everyone in")
async def docs_reader(request: Request, state: State) -> None:
    """Who may read `/docs`: everyone where the setting says so, else admins."""
    if not state.settings.docs_open:
        await require(Role.ADMIN, Scope.READ)(await authenticate(request, state))
