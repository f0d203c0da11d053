"""Every error becomes one body: a sentence in `detail`, and the members of RFC 9457."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
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

from api.requests import request_id
from contracts.errors import BadInput, ErrorBody, ErrorCode, TowpathError

logger = logging.getLogger(__name__)

RETRY_SECONDS = 5
SLOW_DOWN = frozenset({HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS})
CODES = {
    400: ErrorCode.INVALID_VALUE,
    401: ErrorCode.UNAUTHORIZED,
    403: ErrorCode.FORBIDDEN,
    404: ErrorCode.NOT_FOUND,
    405: ErrorCode.INVALID_VALUE,
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
) -> JSONResponse:
    body = ErrorBody(
        detail=detail,
        status=status,
        title=title or HTTPStatus(status).phrase,
        code=code,
        request_id=request_id(request.scope),
    )
    problem = "application/problem+json" in request.headers.get("accept", "")
    return JSONResponse(
        {**body.model_dump(mode="json"), **(extra or {})},
        status,
        headers=dict(headers or {}),
        media_type="application/problem+json" if problem else "application/json",
    )


def _towpath(request: Request, error: TowpathError) -> JSONResponse:
    if isinstance(error, BadInput) and _lists(request):
        kind = "missing" if error.code is ErrorCode.MISSING_FIELD else error.code.lower()
        return _list(request, error.code, [{"loc": ["body", *_place(error.field)], "msg": error.detail, "type": kind}])
    headers: dict[str, str] = {}
    if error.retry_after is not None or error.status in SLOW_DOWN:
        headers["Retry-After"] = str(error.retry_after or RETRY_SECONDS)
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if error.status >= 500:
        logger.error("%s %s: %s", request.method, request.url.path, error.detail)
    return _answer(request, error.status, error.code, error.detail, headers, title=error.title, extra=error.extra)


def sentence(errors: Sequence[Any]) -> tuple[ErrorCode, str]:
    """One readable sentence for a list of validation errors, naming the first field that is wrong."""
    first = errors[0]
    kind, where = str(first["type"]), [part for part in first["loc"] if part not in {"body", "query", "path", "header"}]
    if kind == "json_invalid":
        return (
            ErrorCode.INVALID_JSON,
            f"the body is not valid JSON: {first['ctx']['error']} at offset {first['loc'][-1]}",
        )
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).lstrip(".")
    if kind == "missing":
        return ErrorCode.MISSING_FIELD, f"{path or 'the body'} is required"
    message = str(first["msg"]).removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    given = first.get("input")
    shown = f" (got {str(given)[:80]!r})" if isinstance(given, str | int | float) else ""
    return ErrorCode.INVALID_VALUE, f"{path}: {message}{shown}" if path else message


def _validation(request: Request, error: RequestValidationError) -> JSONResponse:
    code, detail = sentence(error.errors())
    if _lists(request):
        return _list(request, code, [{key: each[key] for key in ("loc", "msg", "type")} for each in error.errors()])
    return _answer(request, 400, code, detail)


def _lists(request: Request) -> bool:
    """Whether the route belongs to an API whose users expect a list of what is wrong, with 422."""
    return request.url.path.removeprefix("/api/v1").startswith("/embeddings/")


def _list(request: Request, code: ErrorCode, errors: list[dict[str, Any]]) -> JSONResponse:
    body = {
        "detail": errors,
        "status": HTTPStatus.UNPROCESSABLE_ENTITY.value,
        "title": "Unprocessable Content",
        "code": code,
        "request_id": request_id(request.scope),
    }
    return JSONResponse(body, HTTPStatus.UNPROCESSABLE_ENTITY)


def _place(field: str | None) -> list[str | int]:
    parts = re.findall(r"\[(\d+)\]|([^.\[\]]+)", field or "")
    return [int(number) if number else name for number, name in parts]


def _http(request: Request, error: HTTPException) -> JSONResponse:
    code = CODES.get(error.status_code, ErrorCode.INTERNAL)
    return _answer(request, error.status_code, code, str(error.detail), error.headers)


def _away(request: Request, error: Exception) -> JSONResponse:
    logger.warning("%s %s: a part does not answer: %s", request.method, request.url.path, error)
    detail = "a part of the system does not answer now; try again"
    return _answer(request, 503, ErrorCode.UNAVAILABLE, detail, {"Retry-After": str(RETRY_SECONDS)})


def _database(request: Request, error: Exception) -> JSONResponse:
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError):
        return _away(request, error)
    return _unexpected(request, error)


def _unexpected(request: Request, error: Exception) -> JSONResponse:
    logger.exception("%s %s failed", request.method, request.url.path, exc_info=error)
    detail = f"something went wrong here; the request id {request_id(request.scope)} helps to find it"
    return _answer(request, 500, ErrorCode.INTERNAL, detail)


def add_error_handlers(app: FastAPI) -> None:
    """Register a handler for every kind of error."""
    handlers: dict[type[Exception], Any] = {
        TowpathError: _towpath,
        RequestValidationError: _validation,
        HTTPException: _http,
        psycopg.Error: _database,
        DBAPIError: _database,
        PoolTimeout: _away,
        RPCError: _away,
        Exception: _unexpected,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
