"""Errors of every origin, by what is done about them."""

from __future__ import annotations

import errno
from collections.abc import Callable

import httpx
import psycopg
import sqlalchemy.exc
from temporalio.service import RPCError, RPCStatusCode

from towpath.core.errors import (
    BadInputError,
    ErrorCode,
    JobFaultError,
    ProviderDownError,
    RateLimitedError,
    UnavailableError,
)

FINAL: dict[str, Callable[[], BaseException]] = {
    "index": lambda: IndexError("tuple index out of range"),
    "key": lambda: KeyError("name"),
    "type": lambda: TypeError("unhashable"),
    "value": lambda: ValueError("embedded null byte"),
    "attribute": lambda: AttributeError("no such"),
    "assertion": lambda: AssertionError(),
    "recursion": lambda: RecursionError("maximum recursion depth exceeded"),
    "overflow": lambda: OverflowError("connect(): port must be 0-65535."),
    "memory": lambda: MemoryError(),
    "unicode": lambda: UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
    "data of postgres": lambda: psycopg.DataError("timestamp out of range"),
    "statement of postgres": lambda: psycopg.ProgrammingError("no such column"),
    "limit of postgres": lambda: psycopg.errors.ProgramLimitExceeded("index row too large"),
    "bad workflow id": lambda: RPCError("invalid", RPCStatusCode.INVALID_ARGUMENT, b""),
    "unknown scheme": lambda: httpx.UnsupportedProtocol("gopher"),
    "no permission": lambda: PermissionError(errno.EACCES, "denied"),
    "our bad input": lambda: BadInputError("the field is wrong"),
    "our job fault": lambda: JobFaultError("it cannot go on", code=ErrorCode.INDEX_DROPPED),
}


PASSING: dict[str, Callable[[], BaseException]] = {
    "postgres away": lambda: psycopg.OperationalError("server closed the connection unexpectedly"),
    "connection closed": lambda: psycopg.InterfaceError("the connection is closed"),
    "deadlock": lambda: psycopg.errors.DeadlockDetected("deadlock detected"),
    "pool empty": lambda: sqlalchemy.exc.TimeoutError("QueuePool limit"),
    "wrapped": lambda: sqlalchemy.exc.OperationalError("SELECT 1", {}, psycopg.OperationalError("gone")),
    "temporal away": lambda: RPCError("connection refused", RPCStatusCode.UNAVAILABLE, b""),
    "network": lambda: httpx.ConnectError("no route"),
    "time": lambda: TimeoutError(),
    "refused": lambda: ConnectionRefusedError("nobody listens"),
    "disk full": lambda: OSError(errno.ENOSPC, "no space left"),
    "our part away": lambda: UnavailableError("Chroma does not answer"),
    "our provider away": lambda: ProviderDownError("gpt-4o answered 503"),
    "our provider slow": lambda: RateLimitedError("gpt-4o answered 429", retry_after=1),
}
