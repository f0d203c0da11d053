"""API keys of the organization, for its owners."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import ValidationError

from towpath.accounts.service import keys
from towpath.accounts.service.users import get_names
from towpath.accounts.store.tables import ApiKeyRow
from towpath.accounts.types import ApiKeyBody, ApiKeyCreated, KeyKind, Role, Scope
from towpath.api.console.console import check_editor, console_page, is_shown_on_page, owners_only
from towpath.api.console.failures import PageRoute
from towpath.api.console.visitors import Visitor, read_form, read_pairs
from towpath.api.http.state import AppState, State
from towpath.core.errors import BadInputError, TowpathError

router = APIRouter(prefix="/console/keys", route_class=PageRoute, include_in_schema=False)
HERE = "/console/keys"
SOON = timedelta(days=14)
ENDS: dict[str, tuple[str, int | None]] = {
    "": ("Never", None),
    "30": ("In 30 days", 30),
    "90": ("In 90 days", 90),
    "365": ("In a year", 365),
}
ROLE_WORDS: dict[Role, str] = {
    Role.OPERATOR: "Operator: reads; starts, stops and reviews jobs",
    Role.EDITOR: "Editor: also schemas, indexes, models, templates, receivers",
    Role.OWNER: "Owner: also keys and users",
}


OwnerVisitor = Annotated[
    Visitor, Depends(owners_only("keys are seen and made by owners of the organization only; ask one of them"))
]


@dataclass(frozen=True, slots=True)
class KeyLine:
    """A key as the page shows it; `state` is live, ends soon, ended or revoked."""

    row: ApiKeyRow
    state: str
    user: str | None
    own: bool
    rotatable: bool

    @property
    def live(self) -> bool:
        """Whether it opens anything."""
        return self.state in {"live", "ends soon"}


def make_key_line(row: ApiKeyRow, visitor: Visitor, names: dict[UUID, str], now: datetime) -> KeyLine:
    """Return a key in words."""
    state = "live"
    if row.revoked_at is not None:
        state = "revoked"
    elif row.expires_at is not None and row.expires_at <= now:
        state = "ended"
    elif row.expires_at is not None and row.expires_at <= now + SOON:
        state = "ends soon"
    user = names.get(row.user_id) if row.user_id else None
    rotatable = row.kind is KeyKind.ORGANIZATION or row.user_id == visitor.user_id
    return KeyLine(row, state, user, own=row.id == visitor.caller.key_id, rotatable=rotatable)


async def _page(
    state: AppState,
    visitor: Visitor,
    *,
    created: ApiKeyCreated | None = None,
    typed: dict[str, str] | None = None,
    scopes: Sequence[str] = tuple(Scope),
    refused: TowpathError | None = None,
    code: int = 200,
) -> HTMLResponse:
    """Return the page.

    Args:
        created: A key that was just made, the one time that it is shown.
        typed: What was sent with a form that was refused.
    """
    rows = await keys.list_keys(state.accounts, visitor.caller.organization)
    names = await get_names(state.accounts, visitor.caller.organization, {row.user_id for row in rows if row.user_id})
    now = datetime.now(UTC)
    lines = [make_key_line(row, visitor, names, now) for row in rows]
    view: dict[str, Any] = {
        "made": created,
        "typed": typed or {},
        "scopes": set(scopes),
        "lines": sorted(lines, key=lambda line: not line.live),
        "roles": {role: words for role, words in ROLE_WORDS.items() if visitor.caller.role.covers(role)},
        "ends": {value: words for value, (words, _) in ENDS.items()},
        "personal": visitor.caller.kind is KeyKind.PERSONAL,
    }
    return await console_page(state, visitor, "keys.html", refused=refused, code=code, **view)


@router.get("")
async def show(state: State, visitor: OwnerVisitor) -> Response:
    """All keys, and a form for another one."""
    return await _page(state, visitor)


@router.post("")
async def make(request: Request, state: State, visitor: OwnerVisitor) -> Response:
    """Makes a key, which is on this page and nowhere else."""
    pairs = await read_pairs(request)
    form, scopes = dict(pairs), [value for name, value in pairs if name == "scope"]
    check_editor(visitor, request, form, Role.OWNER)
    try:
        created = await keys.issue_key(state.accounts, visitor.caller, _body(form, scopes))
    except TowpathError as refused:
        if not is_shown_on_page(refused):
            raise
        return await _page(state, visitor, typed=form, scopes=scopes, refused=refused)
    return await _page(state, visitor, created=created, code=201)


def _body(form: dict[str, str], scopes: Sequence[str]) -> ApiKeyBody:
    name = form.get("name", "").strip()
    if not name:
        raise BadInputError("give the key a name, so that you know it again", field="name")
    if not scopes:
        raise BadInputError("choose what the key may do: read, write or both", field="scope")
    days = ENDS.get(form.get("ends", ""), ("", None))[1]
    try:
        return ApiKeyBody.model_validate(
            {
                "name": name,
                "kind": form.get("kind", KeyKind.ORGANIZATION),
                "role": form.get("role", Role.OPERATOR),
                "scopes": tuple(scopes),
                "expires_at": None if days is None else datetime.now(UTC) + timedelta(days=days),
            }
        )
    except ValidationError as error:
        raise BadInputError("the name is too long, or a choice is not one of those on the page") from error


@router.post("/{key_id}/rotate")
async def rotate(request: Request, state: State, visitor: OwnerVisitor, key_id: UUID) -> Response:
    """Puts a new key in an old one's place."""
    check_editor(visitor, request, await read_form(request), Role.OWNER)
    try:
        created = await keys.rotate_key(state.accounts, visitor.caller, key_id)
    except TowpathError as refused:
        if not is_shown_on_page(refused):
            raise
        return await _page(state, visitor, refused=refused)
    return await _page(state, visitor, created=created, code=201)


@router.post("/{key_id}/revoke")
async def revoke(request: Request, state: State, visitor: OwnerVisitor, key_id: UUID) -> Response:
    """Makes a key useless from now on."""
    check_editor(visitor, request, await read_form(request), Role.OWNER)
    await keys.revoke_key(state.accounts, visitor.caller, key_id)
    return RedirectResponse(HERE, 303)
