"""What all pages of the console share: who may look, how many reviews wait, the way from the site's root."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from towpath.accounts.types import Role, Scope
from towpath.api.console.failures import PageRoute
from towpath.api.console.rendering import Reader, page, sentence, set_retry_after
from towpath.api.console.sign_in import HOME
from towpath.api.console.visitors import SignInNeededError, Visitor, read_visitor
from towpath.api.http.auth import assert_allowed
from towpath.api.http.state import AppState, State
from towpath.core.errors import ForbiddenError, NotFoundError, TowpathError, UnauthorizedError

PART = "fragment"
"""The query parameter by which the script asks for a part of a page instead of the page."""
router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/")
async def root() -> RedirectResponse:
    """Lead from the site's own address to the console."""
    return RedirectResponse(HOME, 303)


async def _part_visitor(request: Request, state: State) -> Visitor:
    return await read_visitor(request, state)


async def _page_visitor(request: Request, state: State) -> Visitor:
    """Return who opens a page; who is not signed in is led there and back. A part is refused: its page reloads then."""
    try:
        return await read_visitor(request, state)
    except UnauthorizedError as error:
        if PART in request.query_params:
            raise
        way = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        raise SignInNeededError(way if request.method == "GET" else HOME) from error


PartVisitor = Annotated[Visitor, Depends(_part_visitor)]
"""For what a page loads by itself: pictures, streams."""
PageVisitor = Annotated[Visitor, Depends(_page_visitor)]


def owners_only(refusal: str) -> Callable[[Visitor], Coroutine[Any, Any, Visitor]]:
    """Return a dependency of pages that are for owners.

    Args:
        refusal: The message to others.
    """

    async def check(visitor: PageVisitor) -> Visitor:
        try:
            assert_allowed(visitor.caller, Role.OWNER, Scope.WRITE)
        except ForbiddenError as error:
            raise ForbiddenError(refusal) from error
        return visitor

    return check


others = APIRouter(prefix=HOME, route_class=PageRoute, include_in_schema=False)
"""Comes last: what no other page of the console is."""


@others.get("/{rest:path}")
async def refuse_unknown_page(_: PageVisitor) -> None:
    """Refuse what is no part of the console.

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
    assert_allowed(visitor.caller, role, Scope.WRITE)


async def load_reader(state: AppState, visitor: Visitor) -> Reader:
    """Return the visitor for a template, with the count of reviews that wait."""
    return replace(visitor.reader, waiting=await state.jobs.count_pending_reviews(visitor.caller))


async def console_page(
    state: AppState,
    visitor: Visitor,
    template: str,
    *,
    refused: TowpathError | None = None,
    code: int = 200,
    **view: Any,
) -> HTMLResponse:
    """Return a page of the console.

    Args:
        refused: Why what was sent was not done; its status is the page's.
        code: The page's status otherwise.
        view: What the template needs; `notice` and `reader` are put to it.
    """
    notice = None if refused is None else sentence(refused.detail)
    status = code if refused is None else refused.status
    shown = page(template, code=status, reader=await load_reader(state, visitor), notice=notice, **view)
    set_retry_after(shown, refused)
    return shown


def is_shown_on_page(error: TowpathError) -> bool:
    """Return whether an error belongs onto the page that was used; the others have a page of their own."""
    return not isinstance(error, UnauthorizedError | ForbiddenError | NotFoundError)
