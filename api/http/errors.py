"""Every error becomes one body: a sentence in `detail`, and the members of RFC 9457."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from temporalio.service import RPCError

from towpath.api.http.known_paths import describe_unknown_path, find_methods, join_with_or
from towpath.api.http.requests import request_id, shown_path
from towpath.api.http.wording import describe_error, summarize_errors
from towpath.core.errors import BadInputError, ErrorBody, ErrorCode, LimitReachedError, TowpathError
from towpath.db.engine import is_away

logger = logging.getLogger(__name__)

RETRY_SECONDS = 5
TOO_SLOW = "the database took too long for this and was stopped; ask for less at once, or try again later"
SLOW_DOWN = frozenset({HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS})
OPENAI_PATHS = ("/v1/files", "/v1/batches")
OPENAI_TYPES = {403: "permission_error", 429: "rate_limit_error"}
CODES = {
    400: ErrorCode.INVALID_VALUE,
    401: ErrorCode.UNAUTHORIZED,
    403: ErrorCode.FORBIDDEN,
    404: ErrorCode.NOT_FOUND,
    405: ErrorCode.METHOD_NOT_ALLOWED,
    409: ErrorCode.CONFLICT,
    413: ErrorCode.TOO_LARGE,
    429: ErrorCode.TOO_MANY_REQUESTS,
    503: ErrorCode.UNAVAILABLE,
}


def _answer(
    request: Request,
    status: int,
    code: ErrorCode,
    detail: str,
    headers: Mapping[str, str] | None = None,
    *,
    title: str | None = None,
    extra: Mapping[str, Any] | None = None,
    field: str | None = None,
) -> JSONResponse:
    body = ErrorBody(
        detail=detail,
        status=status,
        title=title or HTTPStatus(status).phrase,
        code=code,
        request_id=request_id(),
    )
    problem = "application/problem+json" in request.headers.get("accept", "")
    if _speaks_openai(request):
        extra = {**(extra or {}), "error": _envelope(status, code, detail, field)}
    return JSONResponse(
        {**body.model_dump(mode="json"), **(extra or {})},
        status,
        headers=dict(headers or {}),
        media_type="application/problem+json" if problem else "application/json",
    )


def answer_error(request: Request, error: TowpathError) -> JSONResponse:
    """Return the answer to one of our own errors."""
    if isinstance(error, BadInputError) and _lists(request):
        kind = "missing" if error.code is ErrorCode.MISSING_FIELD else error.code.lower()
        return _list(
            request, error.code, [{"loc": ["body", *_split_field(error.field)], "msg": error.detail, "type": kind}]
        )
    headers: dict[str, str] = {}
    if error.retry_after is not None or error.status in SLOW_DOWN:
        headers["Retry-After"] = str(error.retry_after or RETRY_SECONDS)
    if isinstance(error, LimitReachedError):
        # As draft-ietf-httpapi-ratelimit-headers-10 writes them.
        window = "" if error.window is None else f";w={error.window}"
        headers["RateLimit-Policy"] = f'"{error.limit}";q={error.most}{window}'
        headers["RateLimit"] = f'"{error.limit}";r=0;t={error.retry_after}'
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if error.status >= 500:
        logger.error("%s %s: %s", request.method, shown_path(request.url.path), error.detail)
    return _answer(
        request, error.status, error.code, error.detail, headers,
        title=error.title, extra=error.extra, field=error.field,
    )  # fmt: skip


def _validation(request: Request, error: RequestValidationError) -> JSONResponse:
    code, detail = summarize_errors(error.errors())
    if _lists(request):
        errors = [{"loc": each["loc"], "msg": describe_error(each), "type": each["type"]} for each in error.errors()]
        return _list(request, code, errors)
    place = error.errors()[0]["loc"] if error.errors() else ()
    return _answer(request, 400, code, detail, field=".".join(map(str, place[1:])) or None)


def _lists(request: Request) -> bool:
    """Return whether the route belongs to an API whose users expect a list of what is wrong, with 422."""
    return request.url.path.removeprefix("/api/v1").startswith("/embeddings/")


def _speaks_openai(request: Request) -> bool:
    """Return whether the route belongs to an API whose clients read errors in the form of OpenAI's."""
    return request.url.path.startswith(OPENAI_PATHS)


def _envelope(status: int, code: ErrorCode, detail: str, field: str | None) -> dict[str, Any]:
    """Return an error in the form of OpenAI's API; it stands beside the members that all errors have."""
    kind = OPENAI_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    word = "invalid_api_key" if status == HTTPStatus.UNAUTHORIZED else code.value.lower()
    return {"message": detail, "type": kind, "param": field, "code": word}


def _list(request: Request, code: ErrorCode, errors: list[dict[str, Any]]) -> JSONResponse:
    body = {
        "detail": errors,
        "status": HTTPStatus.UNPROCESSABLE_ENTITY.value,
        "title": "Unprocessable Content",
        "code": code,
        "request_id": request_id(),
    }
    return JSONResponse(body, HTTPStatus.UNPROCESSABLE_ENTITY)


def _split_field(field: str | None) -> list[str | int]:
    parts = re.findall(r"\[(\d+)\]|([^.\[\]]+)", field or "")
    return [int(number) if number else name for number, name in parts]


def _http(request: Request, error: HTTPException) -> JSONResponse:
    code, detail = CODES.get(error.status_code, ErrorCode.INTERNAL), str(error.detail)
    headers = dict(error.headers or {})
    if isinstance(error.__cause__, TowpathError):
        # The framework was reading the body when it was refused.
        return answer_error(request, error.__cause__)
    if isinstance(error.__cause__, RecursionError | ValueError):
        # What the framework says of a body that its JSON reader gives up on.
        detail = "the body is nested too deeply, or holds a number of too many digits, or is no text"
        return answer_error(request, BadInputError(detail, code=ErrorCode.INVALID_JSON))
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED and (methods := find_methods(request)):
        detail = f"{request.method} is not served here; use {join_with_or(methods)}"
        headers["Allow"] = ", ".join(methods)
    elif error.status_code == HTTPStatus.NOT_FOUND and detail == HTTPStatus.NOT_FOUND.phrase:
        detail = describe_unknown_path(request)
    return _answer(request, error.status_code, code, detail, headers)


def _answer_unavailable(request: Request, error: Exception) -> JSONResponse:
    logger.warning("%s %s: a part does not answer: %s", request.method, shown_path(request.url.path), error)
    detail = "a part of the system does not answer now; try again"
    return _answer(request, 503, ErrorCode.UNAVAILABLE, detail, {"Retry-After": str(RETRY_SECONDS)})


def _database(request: Request, error: Exception) -> JSONResponse:
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, psycopg.errors.QueryCanceled):
        logger.warning("%s %s: %s, request %s", request.method, shown_path(request.url.path), cause, request_id())
        return _answer(request, 503, ErrorCode.QUERY_TOO_SLOW, TOO_SLOW, {"Retry-After": str(RETRY_SECONDS)})
    if is_away(cause):
        return _answer_unavailable(request, error)
    return _unexpected(request, error)


def _unexpected(request: Request, error: Exception) -> JSONResponse:
    logger.exception("%s %s failed", request.method, shown_path(request.url.path), exc_info=error)
    detail = f"something went wrong here; the request id {request_id()} helps to find it"
    # This one is sent from outside of all that would add the header.
    return _answer(request, 500, ErrorCode.INTERNAL, detail, {"X-Request-Id": request_id()})


def add_error_handlers(app: FastAPI) -> None:
    """Register a handler for every kind of error."""
    handlers: dict[type[Exception], Any] = {
        TowpathError: answer_error,
        RequestValidationError: _validation,
        HTTPException: _http,
        psycopg.Error: _database,
        DBAPIError: _database,
        PoolTimeout: _answer_unavailable,
        RPCError: _answer_unavailable,
        Exception: _unexpected,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
