"""Registration, sign-in, keys, invitations."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Request, Response, status
from pydantic import AfterValidator, Field

from api.auth import TOKEN_SECONDS, Caller, Owner, Reader, session_token
from api.idempotency import IdempotencyKey, digest_of, once, slot_of
from api.routing import ApiRoute
from api.sign_ins import end_session, hash_password, open_session, user_by_password
from api.state import AppState, State
from contracts.auth import (
    MOST_DAYS,
    ApiKeyBody,
    ApiKeyCreated,
    ApiKeyList,
    ApiKeyView,
    InvitationBody,
    InvitationCreated,
    KeyKind,
    LoginBody,
    Principal,
    RegisterBody,
    Role,
    Scope,
    TokenAnswer,
    UserView,
)
from contracts.bodies import Strict
from contracts.errors import BadInput, Forbidden, NotFound
from contracts.jobs import Wire
from contracts.values import NUMBER, Moment, not_null
from domain.auth import KEY_BYTES, make_key
from stores import auth as store
from stores.tables import ApiKeyRow, UserRow

router = APIRouter(prefix="/api/auth", tags=["auth"], route_class=ApiRoute)
INVITATION_DAYS = 7


class KeyChange(Wire, Strict):
    """The body of `PATCH /api/auth/api-keys/{id}`."""

    name: Annotated[Annotated[str, Field(min_length=1, max_length=200)] | None, AfterValidator(not_null)] = None
    role: Role = Field(default=Role.OPERATOR, description="Not above one's own; left out: it stays.")
    expires_at: Moment | None = None
    expires_in_days: Annotated[int, Field(ge=1, le=MOST_DAYS), NUMBER] | None = None

    def changes(self) -> dict[str, object]:
        """What is to be changed, by column.

        Raises:
            BadInput: Two ends are given.
        """
        found = self.model_dump(exclude_unset=True)
        if (days := found.pop("expires_in_days", None)) is not None:
            if found.get("expires_at") is not None:
                raise BadInput("expires_in_days and expires_at: only one of them", field="expires_in_days")
            found["expires_at"] = datetime.now(UTC) + timedelta(days=days)
        return found


def _user(user: UserRow) -> UserView:
    return UserView(
        id=user.id, email=user.email, organization=user.organization, role=user.role, created_at=user.created_at
    )


def _key(row: ApiKeyRow) -> ApiKeyView:
    return ApiKeyView.model_validate(row, from_attributes=True)


@router.post("/register", summary="Register", status_code=status.HTTP_201_CREATED)
async def register(state: State, body: RegisterBody) -> UserView:
    """Makes an organisation and its owner where registration is open, or the user whom an owner has invited."""
    if body.invitation is None and not state.settings.open_registration:
        raise Forbidden("registration is by invitation of an owner")
    hashed = await hash_password(body.password)
    if body.invitation is None:
        return _user(await store.register_owner(state.db, body.email, hashed, body.organization))
    user = await store.register_invited(state.db, body.email, hashed, body.invitation)
    if user is None:
        raise BadInput("this invitation is not valid for this address", field="invitation")
    return _user(user)


@router.post("/login", summary="Sign in")
async def login(state: State, body: LoginBody, response: Response) -> TokenAnswer:
    """Answers a short-lived token and sets the session cookie; `towpath_csrf` goes with its writes."""
    user = await user_by_password(state, body.email, body.password)
    csrf = secrets.token_urlsafe(24)
    token = session_token(state, user, csrf)
    open_session(state, response, token, csrf)
    return TokenAnswer(access_token=token, expires_in=TOKEN_SECONDS)


@router.post("/logout", summary="Sign out", status_code=status.HTTP_204_NO_CONTENT)
async def logout(response: Response) -> None:
    """Clears the session cookie."""
    end_session(response)


@router.get("/me", summary="Who am I?")
async def me(caller: Caller) -> Principal:
    """The caller's organisation, user, role and scopes."""
    return caller


@router.get("/users", summary="Users of the organisation")
async def users(state: State, caller: Owner) -> list[UserView]:
    """Everyone who can sign in."""
    return [_user(user) for user in await store.list_users(state.db, caller.organization)]


@router.post(
    "/invitations",
    summary="Invite someone",
    status_code=status.HTTP_201_CREATED,
    response_model=InvitationCreated,
)
async def invite(
    request: Request, state: State, caller: Owner, body: InvitationBody, idempotency_key: IdempotencyKey = None
) -> Response:
    """Shows the invitation once; it is good for seven days and one address."""
    _not_above(caller, body.role)

    async def add(inside: AppState) -> dict[str, Any]:
        token = secrets.token_hex(24)
        ends = await store.invite(inside.db, caller.organization, body.email, body.role, token, INVITATION_DAYS)
        made = InvitationCreated(invitation=token, email=body.email, role=body.role, expires_at=ends)
        return made.model_dump(mode="json", by_alias=True)

    slot = slot_of(request, caller, idempotency_key)
    return await once(state, slot, digest_of(body), add, status=201, secret="invitation")


def _not_above(caller: Principal, role: Role) -> None:
    if not caller.role.covers(role):
        raise Forbidden(f"the role {role} is above your own")


@router.post("/api-keys", summary="Make a key", status_code=status.HTTP_201_CREATED, response_model=ApiKeyCreated)
async def create_key(
    request: Request, state: State, caller: Reader, body: ApiKeyBody, idempotency_key: IdempotencyKey = None
) -> Response:
    """Shows the key once. Organization keys are made by owners; a personal key by its user."""

    async def add(inside: AppState) -> dict[str, Any]:
        return (await issue_key(inside, caller, body)).model_dump(mode="json", by_alias=True)

    slot = slot_of(request, caller, idempotency_key)
    return await once(state, slot, digest_of(body), add, status=201, secret="key")


async def issue_key(state: AppState, caller: Principal, body: ApiKeyBody) -> ApiKeyCreated:
    """Make a key.

    Raises:
        Forbidden: It could do more than its maker.
        BadInput: It has ended already.
    """
    _not_above(caller, body.role)
    if not set(body.scopes) <= caller.scopes:
        raise Forbidden("a key cannot have a scope that its maker lacks")
    if body.expires_at is not None and body.expires_at <= datetime.now(UTC):
        raise BadInput("expiresAt has passed", field="expiresAt")
    key = make_key(secrets.token_bytes(KEY_BYTES))
    row = store.new_key(
        caller.organization,
        name=body.name,
        kind=body.kind,
        role=body.role,
        scopes=body.scopes,
        user_id=await _user_of(state, caller, body),
        expires_at=_end_of(body),
    )
    row = await store.add_key(state.db, key, row)
    return ApiKeyCreated(**_key(row).model_dump(), key=key)


def _end_of(body: ApiKeyBody) -> datetime | None:
    if body.expires_in_days is not None:
        return datetime.now(UTC) + timedelta(days=body.expires_in_days)
    return body.expires_at


async def _user_of(state: State, caller: Principal, body: ApiKeyBody) -> UUID | None:
    if body.kind is KeyKind.PERSONAL:
        if caller.user_id is None:
            raise BadInput("a personal key is made by a signed-in user", field="kind")
        if body.user_id not in {None, caller.user_id}:
            raise Forbidden("a personal key acts as its maker")
        return caller.user_id
    _owner_only(caller)
    if body.user_id is not None:
        user = await store.get_user(state.db, body.user_id)
        if user is None or user.organization != caller.organization:
            raise NotFound(f"no user {body.user_id}")
    return body.user_id


def _owner_only(caller: Principal) -> None:
    if not caller.role.covers(Role.OWNER):
        raise Forbidden(f"this needs the role {Role.OWNER}; the key has {caller.role}")


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
    """Changes what the body names. The role may be no higher than the caller's, before and after."""
    _not_above(caller, (await store.get_key(state.db, caller.organization, key_id)).role)
    changes = body.changes()
    if "role" in changes:
        _not_above(caller, body.role)
    changed = _key(await store.change_key(state.db, caller.organization, key_id, changes))
    state.keys.forget()
    return changed


@router.delete("/api-keys/{key_id}", summary="Revoke a key", status_code=status.HTTP_204_NO_CONTENT)
async def revoke_key(state: State, caller: Owner, key_id: UUID) -> None:
    """The key is refused from now on."""
    await store.revoke_key(state.db, caller.organization, key_id)
    state.keys.forget()


@router.post(
    "/api-keys/{key_id}/rotate",
    summary="Replace a key",
    status_code=status.HTTP_201_CREATED,
    response_model=ApiKeyCreated,
)
async def rotate_key(
    request: Request, state: State, caller: Owner, key_id: UUID, idempotency_key: IdempotencyKey = None
) -> Response:
    """Makes a key with the same rights and revokes the old one."""

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
        Forbidden: It has a higher role than the caller.
    """
    old = await store.get_key(state.db, caller.organization, key_id)
    _not_above(caller, old.role)
    key = make_key(secrets.token_bytes(KEY_BYTES))
    row = store.new_key(
        old.organization, name=old.name, kind=old.kind, role=old.role,
        scopes=[Scope(scope) for scope in old.scopes], user_id=old.user_id, expires_at=old.expires_at,
    )  # fmt: skip
    row = await store.add_key(state.db, key, row)
    await store.revoke_key(state.db, caller.organization, key_id)
    state.keys.forget()
    return ApiKeyCreated(**_key(row).model_dump(), key=key)
