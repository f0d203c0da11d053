"""Errors of pages as pages: in the same look, with a way on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import psycopg
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from temporalio.service import RPCError

from towpath.api.console.rendering import page, sentence, set_page_headers
from towpath.api.console.visitors import SignInNeededError
from towpath.api.http.errors import RETRY_SECONDS
from towpath.api.http.requests import request_id, shown_path
from towpath.core.errors import TowpathError

logger = logging.getLogger(__name__)

TITLES = {
    400: "This cannot be done as it was sent",
    401: "Please sign in",
    403: "This is not allowed",
    404: "Nothing is here",
    405: "Nothing is here",
    409: "Not now",
    413: "This is too much",
    422: "This cannot be shown",
    429: "A little slower, please",
    503: "A part of the system does not answer",
}
MISSING = "This page is not there, or it is not yours to see."
AWAY = "This is mostly over in a moment. Try it again."
SLOW = "The database took too long for this page and was stopped. Try it again later."
AMISS = "Something went wrong here. The request's number below helps to find it."
SIGN_IN = {"url": "/sign-in", "label": "Sign in"}
CONSOLE = {"url": "/console", "label": "To the console"}


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as a page tells it."""

    status: int
    detail: str
    retry_after: int | None = None


class PageRoute(APIRoute):
    """A route for people: its answers carry the headers of pages, its errors are pages."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler, with errors turned into pages."""
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                answer = await handle(request)
            except SignInNeededError as needed:
                answer = RedirectResponse(needed.url, HTTPStatus.SEE_OTHER)
            except Exception as error:
                answer = failure_page(request, _failure(request, error))
            set_page_headers(answer.headers)
            return answer

        return handled


def failure_page(request: Request, failure: Failure) -> Response:
    """Return an error's page."""
    answer = page(
        "error.html",
        code=failure.status,
        reader=None,
        title=TITLES.get(failure.status, "Something went wrong"),
        detail=failure.detail,
        request_id=request_id() if failure.status >= 500 else None,
        action=_way_on(request, failure.status),
    )
    if failure.retry_after is not None:
        answer.headers["Retry-After"] = str(failure.retry_after)
    return answer


def _way_on(request: Request, status: int) -> dict[str, str] | None:
    if request.url.path.startswith(CONSOLE["url"]) and status != HTTPStatus.UNAUTHORIZED:
        # Only who is signed in comes that far.
        return CONSOLE
    return SIGN_IN if status in {401, 403, 404} else None


def _failure(request: Request, error: Exception) -> Failure:
    if isinstance(error, TowpathError):
        return _of_ours(request, error)
    if isinstance(error, RequestValidationError):
        in_path = any(each["loc"][0] == "path" for each in error.errors())
        return Failure(404, MISSING) if in_path else Failure(400, "A part of the address cannot be read.")
    if isinstance(error, HTTPException):
        return Failure(error.status_code, MISSING if error.status_code in {404, 405} else str(error.detail))
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, psycopg.errors.QueryCanceled):
        logger.warning("%s %s: %s", request.method, shown_path(request.url.path), cause)
        return Failure(503, SLOW, RETRY_SECONDS)
    if isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError | PoolTimeout | RPCError):
        logger.warning("%s %s: a part does not answer: %s", request.method, shown_path(request.url.path), error)
        return Failure(503, AWAY, RETRY_SECONDS)
    logger.exception("%s %s failed", request.method, shown_path(request.url.path), exc_info=error)
    return Failure(500, AMISS)


def _of_ours(request: Request, error: TowpathError) -> Failure:
    if error.status == HTTPStatus.NOT_FOUND:
        return Failure(404, MISSING)
    if error.status >= 500:
        logger.error("%s %s: %s", request.method, shown_path(request.url.path), error.detail)
    waits = error.retry_after or (RETRY_SECONDS if error.status == HTTPStatus.SERVICE_UNAVAILABLE else None)
    return Failure(error.status, sentence(error.detail), waits)
