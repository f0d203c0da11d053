"""Registration, sign-in, one's own password and sessions, keys."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response, status
from pydantic import AfterValidator, Field

from towpath.accounts.domain.keys import KEY_BYTES, make_key
from towpath.accounts.domain.policy import AccountAction, KeyTarget, assert_may
from towpath.accounts.store import accounts, sessions
from towpath.accounts.store import auth as store
from towpath.accounts.types import (
    MAX_DAYS,
    ApiKeyBody,
    ApiKeyCreated,
    ApiKeyList,
    ApiKeyView,
    KeyKind,
    LoginBody,
    PasswordChange,
    PasswordReset,
    Principal,
    RegisterBody,
    Role,
    Scope,
    TokenAnswer,
    UserView,
)
from towpath.api.http.auth import TOKEN_SECONDS, Caller, Operator, Owner, presented_sessions
from towpath.api.http.clients import place_digest, place_of
from towpath.api.http.idempotency import IdempotencyKey, digest_of, once, slot_of
from towpath.api.http.routing import ApiRoute
from towpath.api.http.sign_ins import (
    REGISTRATIONS,
    check_own_password,
    clear_cookies,
    new_password_hash,
    open_user_session,
    user_by_password,
)
from towpath.api.http.state import AppState, State
from towpath.core.bodies import Strict
from towpath.core.errors import BadInputError, ForbiddenError
from towpath.core.values import NUMBER, Moment, not_null
from towpath.core.wire import Wire
from towpath.db.tables import ApiKeyRow, UserRow
from towpath.runtime.exposure import is_loopback

router = APIRouter(prefix="/api/auth", tags=["auth"], route_class=ApiRoute)


class KeyChange(Wire, Strict):
    """The body of `PATCH /api/auth/api-keys/{id}`."""

    name: Annotated[Annotated[str, Field(min_length=1, max_length=200)] | None, AfterValidator(not_null)] = None
    role: Role = Field(default=Role.OPERATOR, description="Not above one's own; left out: it stays.")
    expires_at: Moment | None = None
    expires_in_days: Annotated[int, Field(ge=1, le=MAX_DAYS), NUMBER] | None = None

    def changes(self) -> dict[str, object]:
        """What is to be changed, by column.

        Raises:
            BadInputError: Two ends are given.
        """
        found = self.model_dump(exclude_unset=True)
        if (days := found.pop("expires_in_days", None)) is not None:
            if found.get("expires_at") is not None:
                raise BadInputError("expires_in_days and expires_at: only one of them", field="expires_in_days")
            found["expires_at"] = datetime.now(UTC) + timedelta(days=days)
        return found


def user_view(user: UserRow) -> UserView:
    """A user as answers show one."""
    return UserView.model_validate(user, from_attributes=True)


def _key(row: ApiKeyRow) -> ApiKeyView:
    return ApiKeyView.model_validate(row, from_attributes=True)


@router.post("/register", summary="Register", status_code=status.HTTP_201_CREATED)
async def register(request: Request, state: State, body: RegisterBody) -> UserView:
    """Makes an organisation and its owner where registration is open, or the user whom an owner has invited."""
    return user_view(await register_user(state, body, place=place_of(request)))


async def register_user(state: AppState, body: RegisterBody, *, place: str) -> UserRow:
    """Make a user, by invitation or with an organization of their own.

    Raises:
        ForbiddenError: Registration is by invitation.
        BadInputError: The password is refused, or the invitation is not valid.
        Conflict: The organization or the address is taken.
    """
    if body.invitation is None and not state.settings.open_registration:
        raise ForbiddenError("registration is by invitation of an owner")
    if not is_loopback(place):
        # Each costs a hash and a row; whoever is on this machine has cheaper ways.
        await state.limiter.hit(REGISTRATIONS, place, strict=True)
    if body.invitation is None:
        hashed = await new_password_hash(body.password, email=body.email, organization=body.organization)
        user: UserRow | None = await store.register_owner(state.db, body.email, hashed, body.organization)
    else:
        # Looked for before the password is hashed, which costs.
        organization = await store.invitation_organization(state.db, body.invitation)
        if organization is None:
            raise BadInputError("this invitation is not valid for this address", field="invitation")
        hashed = await new_password_hash(body.password, email=body.email, organization=organization)
        user = await store.register_invited(state.db, body.email, hashed, body.invitation)
    if user is None:
        raise BadInputError("this invitation is not valid for this address", field="invitation")
    # Who chose the password here knows it: others' wrong ones do not keep them out.
    await sessions.note_place(state.db, user.id, place_digest(place))
    return user


@router.post("/login", summary="Sign in")
async def login(request: Request, state: State, body: LoginBody, response: Response) -> TokenAnswer:
    """Answers a short-lived token and sets the session cookie; `towpath_csrf` goes with its writes.

    Wrong passwords are limited by account and by address (429 with the limit's name).
    """
    user = await user_by_password(state, body.email, body.password, place=place_of(request))
    token = await open_user_session(state, response, user)
    return TokenAnswer(access_token=token, expires_in=TOKEN_SECONDS)


@router.post("/logout", summary="Sign out", status_code=status.HTTP_204_NO_CONTENT)
async def logout(request: Request, state: State, response: Response) -> None:
    """Ends the sign-in whose token or cookie comes with the request: neither is taken any more."""
    for session_id in presented_sessions(request, state):
        await sessions.end_session(state.db, session_id)
    clear_cookies(response)


@router.post("/logout-everywhere", summary="Sign out everywhere", status_code=status.HTTP_204_NO_CONTENT)
async def logout_everywhere(state: State, caller: Operator, response: Response) -> None:
    """Ends all sign-ins of the caller, who is a user; personal keys stay."""
    assert_may(caller, AccountAction.END_OWN_SESSIONS)
    assert caller.user_id is not None
    await sessions.end_sessions(state.db, caller.user_id)
    clear_cookies(response)


@router.post("/password", summary="Change one's own password", status_code=status.HTTP_204_NO_CONTENT)
async def change_password(request: Request, state: State, caller: Operator, body: PasswordChange) -> None:
    """Needs the present one. All other sign-ins of the user end; personal keys stay."""
    await change_own_password(state, caller, body, place=place_of(request))


async def change_own_password(state: AppState, caller: Principal, body: PasswordChange, *, place: str) -> None:
    """Give the caller another password.

    Raises:
        ForbiddenError: The caller is not signed in with a password.
        BadInputError: The present one is wrong, or the new one is refused.
        LimitReached: Too many wrong ones.
    """
    assert_may(caller, AccountAction.CHANGE_OWN_PASSWORD)
    assert caller.user_id is not None
    user = await accounts.get_member(state.db, caller.organization, caller.user_id)
    await check_own_password(state, user, body.current_password, place=place)
    hashed = await new_password_hash(
        body.new_password,
        email=user.email,
        organization=await store.organization_name(state.db, user.organization),
        field="newPassword",
    )
    await accounts.set_password(state.db, user.id, hashed, but=caller.session_id)


@router.post("/password-reset", summary="Set a password by a reset token", status_code=status.HTTP_204_NO_CONTENT)
async def reset_password(request: Request, state: State, body: PasswordReset) -> None:
    """Takes the token that an owner was shown, once. All sign-ins of the user end; personal keys stay."""
    await use_reset(state, body, place=place_of(request))


async def use_reset(state: AppState, body: PasswordReset, *, place: str) -> None:
    """Set the password that a reset was made for.

    Raises:
        BadInputError: The token is not valid, or the password is refused.
    """
    invalid = BadInputError("token: this reset is unknown, used or over; ask an owner for another", field="token")
    # Looked for before the password is hashed, which costs; a token is too long to be guessed.
    user = await accounts.reset_user(state.db, body.token)
    if user is None:
        raise invalid
    name = await store.organization_name(state.db, user.organization)
    hashed = await new_password_hash(body.password, email=user.email, organization=name)
    if not await accounts.use_reset(state.db, body.token, hashed):
        raise invalid
    # Who has set it knows it: others' wrong ones do not keep them out.
    await sessions.note_place(state.db, user.id, place_digest(place))


@router.get("/me", summary="Who am I?")
async def me(caller: Caller) -> Principal:
    """The caller's organisation, user, role and scopes."""
    return caller


@router.post("/api-keys", summary="Make a key", status_code=status.HTTP_201_CREATED, response_model=ApiKeyCreated)
async def create_key(
    request: Request, state: State, caller: Operator, body: ApiKeyBody, idempotency_key: IdempotencyKey = None
) -> Response:
    """Shows the key once. Organization keys are made by owners; a personal key by its user.

    It can do no more than the key that makes it and ends no later; when that is revoked, it is revoked too.
    """

    async def add(inside: AppState) -> dict[str, Any]:
        return (await issue_key(inside, caller, body)).model_dump(mode="json", by_alias=True)

    slot = slot_of(request, caller, idempotency_key)
    return await once(state, slot, digest_of(body), add, status=201, secret="key")


async def issue_key(state: AppState, caller: Principal, body: ApiKeyBody) -> ApiKeyCreated:
    """Make a key.

    Raises:
        ForbiddenError: It could do more than its maker, or for longer.
        BadInputError: It has ended already.
        NotFound: The user whom it names is not one of the organization.
    """
    if body.expires_at is not None and body.expires_at <= datetime.now(UTC):
        raise BadInputError("expiresAt has passed", field="expiresAt")
    personal = body.kind is KeyKind.PERSONAL
    if personal and caller.user_id is None:
        raise BadInputError("a personal key is made by a signed-in user", field="kind")
    wanted = KeyTarget(
        kind=body.kind,
        role=body.role or caller.role,
        scopes=frozenset(body.scopes),
        expires_at=_end_of(body) or caller.expires_at,
        user_id=body.user_id or (caller.user_id if personal else None),
    )
    assert_may(caller, AccountAction.MAKE_KEY, wanted)
    if wanted.user_id is not None:
        await accounts.get_member(state.db, caller.organization, wanted.user_id)
    key = make_key(secrets.token_bytes(KEY_BYTES))
    row = store.new_key(
        caller.organization,
        name=body.name,
        kind=wanted.kind,
        role=wanted.role,
        scopes=body.scopes,
        user_id=wanted.user_id,
        expires_at=wanted.expires_at,
        parent_id=caller.key_id,
    )
    row = await store.add_key(state.db, key, row, maker=caller.key_id)
    return ApiKeyCreated(**_key(row).model_dump(), key=key)


def _end_of(body: ApiKeyBody) -> datetime | None:
    if body.expires_in_days is not None:
        return datetime.now(UTC) + timedelta(days=body.expires_in_days)
    return body.expires_at


def key_target(row: ApiKeyRow, changes: dict[str, Any] | None = None) -> KeyTarget:
    """A key for the policy.

    Args:
        row: As it is.
        changes: What is to be changed, by column.
    """
    changes = changes or {}
    return KeyTarget(
        id=row.id,
        kind=row.kind,
        role=row.role,
        scopes=frozenset(Scope(scope) for scope in row.scopes),
        expires_at=row.expires_at,
        user_id=row.user_id,
        new_role=changes.get("role"),
        new_expires_at=changes.get("expires_at"),
        moves_end="expires_at" in changes,
        live=row.live,
    )


@router.get("/api-keys", summary="Keys of the organisation")
async def list_keys(state: State, caller: Owner) -> ApiKeyList:
    """Newest first, without their secrets."""
    return ApiKeyList(api_keys=[_key(row) for row in await store.list_keys(state.db, caller.organization)])


@router.get("/api-keys/{key_id}", summary="One key")
async def get_key(state: State, caller: Owner, key_id: UUID) -> ApiKeyView:
    """A key without its secret."""
    return _key(await store.get_key(state.db, caller.organization, key_id))


@router.patch("/api-keys/{key_id}", summary="Change a key's name, role or end")
async def change_key(state: State, caller: Owner, key_id: UUID, body: KeyChange) -> ApiKeyView:
    """Changes what the body names. The role may be no higher than the caller's, the end no later than their key's."""
    changes = body.changes()

    def check(row: ApiKeyRow) -> None:
        assert_may(caller, AccountAction.CHANGE_KEY, key_target(row, changes))

    changed = _key(await store.change_key(state.db, caller.organization, key_id, changes, check))
    state.keys.forget()
    return changed


@router.delete("/api-keys/{key_id}", summary="Revoke a key", status_code=status.HTTP_204_NO_CONTENT)
async def revoke_key(
    state: State,
    caller: Operator,
    key_id: UUID,
    children: Annotated[
        Literal["revoke", "keep"], Query(description="Whether the keys that it has made are revoked with it.")
    ] = "revoke",
) -> None:
    """The key is refused from now on, and by default those that it has made. Owners revoke any, users their own."""
    await revoke(state, caller, key_id, children=children == "revoke")


async def revoke(state: AppState, caller: Principal, key_id: UUID, *, children: bool = True) -> list[UUID]:
    """Revoke a key, by default with those that it has made.

    Returns:
        All that were valid until now.

    Raises:
        NotFound: No such key in the organisation.
        ForbiddenError: It is neither the caller's nor is the caller an owner.
    """

    def check(row: ApiKeyRow) -> None:
        assert_may(caller, AccountAction.REVOKE_KEY, key_target(row))

    gone = await store.revoke_key(state.db, caller.organization, key_id, check, children=children)
    state.keys.forget()
    return gone


@router.post(
    "/api-keys/{key_id}/rotate",
    summary="Replace a key",
    status_code=status.HTTP_201_CREATED,
    response_model=ApiKeyCreated,
)
async def rotate_key(
    request: Request, state: State, caller: Operator, key_id: UUID, idempotency_key: IdempotencyKey = None
) -> Response:
    """Makes a key with the same rights and end, and revokes the old one; what that has made stays valid.

    Owners rotate the organization's keys; a personal key is rotated by its own user alone.
    """

    async def replace(inside: AppState) -> dict[str, Any]:
        return (await replace_key(inside, caller, key_id)).model_dump(mode="json", by_alias=True)

    slot = slot_of(request, caller, idempotency_key)
    answer = await once(state, slot, b"", replace, status=201, secret="key")
    state.keys.forget()
    return answer


async def replace_key(state: AppState, caller: Principal, key_id: UUID) -> ApiKeyCreated:
    """Make a key with an old one's rights, and revoke that.

    Raises:
        NotFound: No such key in the organisation.
        ForbiddenError: It is somebody's own, or could do more than the caller.
        Conflict: It is revoked or expired.
    """

    def check(row: ApiKeyRow) -> None:
        assert_may(caller, AccountAction.ROTATE_KEY, key_target(row))

    key = make_key(secrets.token_bytes(KEY_BYTES))
    row = await store.rotate_key(state.db, caller.organization, key_id, key, check, caller=caller.key_id)
    state.keys.forget()
    return ApiKeyCreated(**_key(row).model_dump(), key=key)
