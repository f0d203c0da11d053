"""What an error means for the work that raised it, decided by its kind, once for all activities and services.

| kind of error                                                       | what follows                                |
|---------------------------------------------------------------------|---------------------------------------------|
| one of our tree                                                     | as its class says: `retryable` or not       |
| Postgres, Temporal, a provider, the network, the disk does not answer | it is tried again                         |
| a row or file that a neighbour has changed at the same moment       | it is tried again a few times               |
| anything else: a programming error, a bad value                     | no retry can mend it: `INTERNAL`, and an id |

An error of the last kind ends the item that it belongs to, where there is one (`judge_item_failure`), else the job.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import sqlalchemy.exc
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from towpath.core.errors import ErrorCode, TowpathError
from towpath.db.engine import is_away
from towpath.jobs.types import truncate

logger = logging.getLogger("towpath.activities")

FEW_TRIES = 5
"""For errors that a concurrent transaction may cause: after so many tries it is something else."""
MAX_MESSAGE = 2_000
"""Characters of an error's text that travel; the whole stands in the log."""
NO_ANSWER = frozenset(
    {
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.ABORTED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.INTERNAL,
        RPCStatusCode.UNKNOWN,
    }
)
# Full or busy: an operator frees it, or it passes.
PASSING_ERRNO = frozenset(
    {
        errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.EINTR, errno.EIO, errno.EBUSY,
        errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH,
    }
)  # fmt: skip
Kinds = tuple[type[BaseException], ...]
PARTS: tuple[tuple[Kinds, str, Callable[[Any], bool]], ...] = (
    ((psycopg.Error, sqlalchemy.exc.TimeoutError), "the database does not answer", is_away),
    ((RPCError,), "Temporal does not answer", lambda error: error.status in NO_ANSWER),
    ((httpx.TransportError,), "no answer", lambda error: not isinstance(error, httpx.UnsupportedProtocol)),
    ((TimeoutError,), "no answer in time", lambda _: True),
    ((ConnectionError,), "no connection", lambda _: True),
    ((OSError,), "this machine", lambda error: error.errno in PASSING_ERRNO),
)
"""Errors that a later try may get over: the classes, what is away, and which of the class are meant."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is to be done about an error.

    Attributes:
        code: The word for it that answers, jobs and items carry.
        message: One sentence, bounded, that can be stored: a provider's words may hold what no part can.
        retryable: Whether a later try may succeed.
        tries: After so many tries in all it counts as permanent; None: only time bounds it.
        retry_after: Seconds that the other side has asked for.
        known: Whether the error is one of our tree, whose message is written for a reader.
    """

    code: ErrorCode
    message: str
    retryable: bool
    tries: int | None = None
    retry_after: float | None = None
    known: bool = False


def judge(error: BaseException) -> Fault:
    """Decide what an error means.

    Args:
        error: What was raised; of a group its worst leaf decides, of a wrapper of SQLAlchemy what it wraps.
    """
    leaf = find_cause(error)
    if isinstance(leaf, TowpathError):
        return Fault(
            leaf.code, truncate(leaf.detail, MAX_MESSAGE), leaf.retryable, retry_after=leaf.retry_after, known=True
        )
    if isinstance(leaf, MemoryError):
        return Fault(ErrorCode.INTERNAL, "out of memory", retryable=False)
    part = _part_away(leaf)
    if part is not None:
        return Fault(ErrorCode.UNAVAILABLE, truncate(f"{part}: {_text(leaf)}", MAX_MESSAGE), retryable=True)
    if isinstance(leaf, psycopg.IntegrityError | BrokenExecutor | FileNotFoundError):
        return Fault(ErrorCode.INTERNAL, _text(leaf), retryable=True, tries=FEW_TRIES)
    return Fault(ErrorCode.INTERNAL, _text(leaf), retryable=False)


def find_cause(error: BaseException) -> BaseException:
    """Return the error behind groups and wrappers: in a group, a permanent one comes before the others."""
    for _ in range(20):
        if isinstance(error, BaseExceptionGroup):
            leaves = [find_cause(nested) for nested in error.exceptions[:100]]
            error = next((nested for nested in leaves if not judge(nested).retryable), leaves[0])
        elif isinstance(error, sqlalchemy.exc.DBAPIError) and error.orig is not None:
            error = error.orig
        else:
            break
    return error


def _part_away(error: BaseException) -> str | None:
    """Return which part does not answer; None: the error is of another kind."""
    for kinds, part, holds in PARTS:
        if isinstance(error, kinds) and holds(error):
            return part
    return None


def _text(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:
        # A broken `__str__` must not hide what was raised.
        text = ""
    return truncate(f"{type(error).__name__}: {text}", MAX_MESSAGE) if text else type(error).__name__


def log_unforeseen(error: BaseException, where: str) -> str:
    """Write an error that nobody foresaw into the log, whole.

    Args:
        error: The error.
        where: What was being done.

    Returns:
        The id under which the log knows it.
    """
    number = uuid4().hex[:12]
    logger.error("error %s in %s", number, where, exc_info=error)
    return number


def internal_message(error: BaseException, number: str) -> str:
    """Return what a client reads of an error that nobody foresaw."""
    leaf = find_cause(error)
    if isinstance(leaf, MemoryError):
        return f"out of memory; the log knows it as {number}"
    return f"an error inside Towpath ({type(leaf).__name__}); the log knows it as {number}"


def judge_item_failure(error: Exception, where: str) -> tuple[ErrorCode, str]:
    """Return how an item ends by a permanent error, while its neighbours go through.

    Args:
        error: What working on the item has raised.
        where: The item, for the log.

    Returns:
        The code and the message of the failed item.

    Raises:
        Exception: The error itself, where a later try may succeed or the whole job is concerned.
    """
    fault = judge(error)
    if fault.retryable or fault.known:
        raise error
    return ErrorCode.INTERNAL, internal_message(error, log_unforeseen(error, where))


def to_failure(fault: Fault, message: str, *, retryable: bool) -> ApplicationError:
    """Return the error as Temporal stores it: small, without causes, retried by the server or not at all."""
    delay = timedelta(seconds=fault.retry_after) if retryable and fault.retry_after else None
    return ApplicationError(message, type=fault.code, non_retryable=not retryable, next_retry_delay=delay)
