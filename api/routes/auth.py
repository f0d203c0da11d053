"""Registration, sign-in, one's own password and sessions, keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response, status
from pydantic import AfterValidator, Field

from towpath.accounts.service import keys, registration, sign_ins
from towpath.accounts.service.callers import SESSION_SECONDS
from towpath.accounts.service.users import user_view
from towpath.accounts.types import (
    MAX_DAYS,
    ApiKeyBody,
    ApiKeyCreated,
    ApiKeyList,
    ApiKeyView,
    LoginBody,
    PasswordChange,
    PasswordReset,
    Principal,
    RegisterBody,
    Role,
    TokenAnswer,
    UserView,
)
from towpath.api.http.auth import Caller, Operator, Owner, read_session_tokens
from towpath.api.http.clients import get_client_address
from towpath.api.http.idempotency import IdempotencyKey, digest_of, respond_once, slot_of
from towpath.api.http.routing import ApiRoute
from towpath.api.http.session_cookies import clear_session_cookies, set_session_cookies
from towpath.api.http.state import AppState, State
from towpath.core.bodies import Strict
from towpath.core.errors import BadInputError
from towpath.core.values import NUMBER, Moment, refuse_null
from towpath.core.wire import Wire

router = APIRouter(prefix="/api/auth", tags=["auth"], route_class=ApiRoute)


class KeyChange(Wire, Strict):
    """The body of `PATCH /api/auth/api-keys/{id}`."""

    name: Annotated[Annotated[str, Field(min_length=1, max_length=200)] | None, AfterValidator(refuse_null)] = None
    role: Role = Field(default=Role.OPERATOR, description="Not above one's own; left out: it stays.")
    expires_at: Moment | None = None
    expires_in_days: Annotated[int, Field(ge=1, le=MAX_DAYS), NUMBER] | None = None

    def changes(self) -> dict[str, object]:
        """Return the new values, by column.

        Raises:
            BadInputError: Two ends are given.
        """
        changes = self.model_dump(exclude_unset=True)
        if (days := changes.pop("expires_in_days", None)) is not None:
            if changes.get("expires_at") is not None:
                raise BadInputError("expires_in_days and expires_at: only one of them", field="expires_in_days")
            changes["expires_at"] = datetime.now(UTC) + timedelta(days=days)
        return changes


@router.post("/register", summary="Register", status_code=status.HTTP_201_CREATED)
async def register(request: Request, state: State, body: RegisterBody) -> UserView:
    """Makes an organisation and its owner where registration is open, or the user whom an owner has invited."""
    return user_view(await registration.register_user(state.accounts, body, address=get_client_address(request)))


@router.post("/login", summary="Sign in")
async def login(request: Request, state: State, body: LoginBody, response: Response) -> TokenAnswer:
    """Answers a short-lived token and sets the session cookie; `towpath_csrf` goes with its writes.

    Wrong passwords are limited by account and by address (429 with the limit's name).
    """
    user = await sign_ins.verify_user(state.accounts, body.email, body.password, address=get_client_address(request))
    sign_in = await sign_ins.sign_in_user(state.accounts, user)
    set_session_cookies(state, response, sign_in)
    return TokenAnswer(access_token=sign_in.token, expires_in=SESSION_SECONDS)


@router.post("/logout", summary="Sign out", status_code=status.HTTP_204_NO_CONTENT)
async def logout(request: Request, state: State, response: Response) -> None:
    """Ends the sign-in whose token or cookie comes with the request: neither is taken any more."""
    await sign_ins.sign_out(state.accounts, read_session_tokens(request))
    clear_session_cookies(response)


@router.post("/logout-everywhere", summary="Sign out everywhere", status_code=status.HTTP_204_NO_CONTENT)
async def logout_everywhere(state: State, caller: Operator, response: Response) -> None:
    """Ends all sign-ins of the caller, who is a user; personal keys stay."""
    await sign_ins.sign_out_everywhere(state.accounts, caller)
    clear_session_cookies(response)


@router.post("/password", summary="Change one's own password", status_code=status.HTTP_204_NO_CONTENT)
async def change_password(request: Request, state: State, caller: Operator, body: PasswordChange) -> None:
    """Needs the present one. All other sign-ins of the user end; personal keys stay."""
    await registration.change_own_password(state.accounts, caller, body, address=get_client_address(request))


@router.post("/password-reset", summary="Set a password by a reset token", status_code=status.HTTP_204_NO_CONTENT)
async def reset_password(request: Request, state: State, body: PasswordReset) -> None:
    """Takes the token that an owner was shown, once. All sign-ins of the user end; personal keys stay."""
    await registration.reset_password(state.accounts, body, address=get_client_address(request))


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
        return (await keys.issue_key(inside.accounts, caller, body)).model_dump(mode="json", by_alias=True)

    slot = slot_of(request, caller, idempotency_key)
    return await respond_once(state, slot, digest_of(body), add, status=201, secret="key")


@router.get("/api-keys", summary="Keys of the organisation")
async def list_keys(state: State, caller: Owner) -> ApiKeyList:
    """Newest first, without their secrets."""
    return ApiKeyList(
        api_keys=[keys.key_view(key) for key in await keys.list_keys(state.accounts, caller.organization)]
    )


@router.get("/api-keys/{key_id}", summary="One key")
async def get_key(state: State, caller: Owner, key_id: UUID) -> ApiKeyView:
    """A key without its secret."""
    return keys.key_view(await keys.get_key(state.accounts, caller.organization, key_id))


@router.patch("/api-keys/{key_id}", summary="Change a key's name, role or end")
async def change_key(state: State, caller: Owner, key_id: UUID, body: KeyChange) -> ApiKeyView:
    """Changes what the body names. The role may be no higher than the caller's, the end no later than their key's."""
    return keys.key_view(await keys.change_key(state.accounts, caller, key_id, body.changes()))


@router.delete("/api-keys/{key_id}", summary="Revoke a key")
async def revoke_key(
    state: State,
    caller: Operator,
    key_id: UUID,
    children: Annotated[
        Literal["revoke", "keep"], Query(description="Whether the keys that it has made are revoked with it.")
    ] = "revoke",
) -> dict[str, Any]:
    """The key is refused from now on, and by default those that it has made. Owners revoke any, users their own."""
    revoked = await keys.revoke_key(state.accounts, caller, key_id, children=children == "revoke")
    return {"id": str(key_id), "revoked": [str(key) for key in revoked]}


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
        return (await keys.rotate_key(inside.accounts, caller, key_id)).model_dump(mode="json", by_alias=True)

    slot = slot_of(request, caller, idempotency_key)
    response = await respond_once(state, slot, b"", replace, status=201, secret="key")
    # Once more: within the transaction another request may have looked the old key up.
    state.keys.clear()
    return response
