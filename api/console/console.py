"""What all pages of the console share: who may look, how many reviews wait, the way from the site's root."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from towpath.accounts.store.auth import get_key, get_user
from towpath.accounts.types import Role, Scope
from towpath.api.console.failures import PageRoute
from towpath.api.console.rendering import Reader, page, sentence, tell_wait
from towpath.api.console.sign_in import HOME
from towpath.api.console.visitors import SignInNeededError, Visitor, signed_in
from towpath.api.http.auth import allowed
from towpath.api.http.state import AppState, State
from towpath.core.errors import ForbiddenError, NotFoundError, TowpathError, UnauthorizedError
from towpath.extraction.types import ReviewStatus
from towpath.jobs.store.listing import JobFilter, list_page

PART = "fragment"
"""The query parameter by which the script asks for a part of a page instead of the page."""
router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/")
async def root() -> RedirectResponse:
    """The site's own address leads to the console."""
    return RedirectResponse(HOME, 303)


async def _part_visitor(request: Request, state: State) -> Visitor:
    return await signed_in(request, state)


async def _page_visitor(request: Request, state: State) -> Visitor:
    """Who opens a page; who is not signed in is led there, and back. A part is refused: its page reloads then."""
    try:
        return await signed_in(request, state)
    except UnauthorizedError as error:
        if PART in request.query_params:
            raise
        way = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        raise SignInNeededError(way if request.method == "GET" else HOME) from error


PartVisitor = Annotated[Visitor, Depends(_part_visitor)]
"""For what a page loads by itself: pictures, streams."""
PageVisitor = Annotated[Visitor, Depends(_page_visitor)]


def owners_only(refusal: str) -> Callable[[Visitor], Coroutine[Any, Any, Visitor]]:
    """A dependency of pages that are for owners.

    Args:
        refusal: What others are told.
    """

    async def check(visitor: PageVisitor) -> Visitor:
        try:
            allowed(visitor.caller, Role.OWNER, Scope.WRITE)
        except ForbiddenError as error:
            raise ForbiddenError(refusal) from error
        return visitor

    return check


others = APIRouter(prefix=HOME, route_class=PageRoute, include_in_schema=False)
"""Comes last: what no other page of the console is."""


@others.get("/{rest:path}")
async def nothing(_: PageVisitor) -> None:
    """What is no part of the console.

    Raises:
        NotFoundError: Always.
    """
    raise NotFoundError("no such page")


def check_editor(visitor: Visitor, request: Request, form: Mapping[str, str], role: Role = Role.EDITOR) -> None:
    """See that the visitor has a role above that of an operator, and that a write comes from a page of ours.

    Raises:
        ForbiddenError: It is not so.
    """
    visitor.check(request, form)
    allowed(visitor.caller, role, Scope.WRITE)


def reviews_waiting(visitor: Visitor) -> JobFilter:
    """The jobs whose review the visitor could decide."""
    return JobFilter(review_statuses=[ReviewStatus.PENDING], user_id=visitor.user_id)


async def reader_of(state: AppState, visitor: Visitor) -> Reader:
    """The visitor for a template, with the count of reviews that wait."""
    found = await list_page(state.db, visitor.caller.organization, reviews_waiting(visitor), page=1, size=1)
    return replace(visitor.reader, waiting=found.total)


async def console_page(
    state: AppState,
    visitor: Visitor,
    template: str,
    *,
    refused: TowpathError | None = None,
    code: int = 200,
    **view: Any,
) -> HTMLResponse:
    """A page of the console.

    Args:
        refused: Why what was sent was not done; its status is the page's.
        code: The page's status otherwise.
        view: What the template needs; `notice` and `reader` are put to it.
    """
    notice = None if refused is None else sentence(refused.detail)
    status = code if refused is None else refused.status
    shown = page(template, code=status, reader=await reader_of(state, visitor), notice=notice, **view)
    tell_wait(shown, refused)
    return shown


def told_on_page(error: TowpathError) -> bool:
    """Whether an error belongs onto the page that was used; the others have a page of their own."""
    return not isinstance(error, UnauthorizedError | ForbiddenError | NotFoundError)


async def names_of(state: AppState, organization: str, ids: set[UUID]) -> dict[UUID, str]:
    """What people and keys are called; one that is gone is left out."""
    names: dict[UUID, str] = {}
    for one in ids:
        user = await get_user(state.db, one)
        if user is not None and user.organization == organization:
            names[one] = user.email
            continue
        try:
            names[one] = f"the key {(await get_key(state.db, organization, one)).name}"
        except NotFoundError:
            continue
    return names
