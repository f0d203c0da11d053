"""What an error means is decided by its kind, and the same for every way an activity is run."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Callable
from concurrent.futures.process import BrokenProcessPool
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
import pytest_asyncio
import sqlalchemy.exc
from temporalio import activity, workflow
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Worker

from towpath.activities.interceptor import ActivityGuard
from towpath.core.errors import (
    BadInputError,
    ErrorCode,
    JobFaultError,
    ProviderDownError,
    RateLimitedError,
    UnavailableError,
)
from towpath.core.queues import Queue
from towpath.db.engine import Database
from towpath.jobs.faults import FEW_TRIES, MAX_MESSAGE, end_of_item, judge
from towpath.jobs.service.runs import JobRuns
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.plugin import towpath_plugin

with workflow.unsafe.imports_passed_through():
    from towpath.workflows import options

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
FEW: dict[str, Callable[[], BaseException]] = {
    "a row that another has written": lambda: psycopg.errors.UniqueViolation("duplicate key"),
    "a process that died": lambda: BrokenProcessPool("abruptly"),
    "a file that is gone": lambda: FileNotFoundError(errno.ENOENT, "gone"),
}
KINDS = {**FINAL, **PASSING}


@pytest.mark.parametrize("kind", FINAL)
def test_an_error_that_no_retry_mends_is_final(kind: str) -> None:
    assert not judge(FINAL[kind]()).retryable


@pytest.mark.parametrize("kind", PASSING)
def test_an_error_that_passes_is_tried_again(kind: str) -> None:
    found = judge(PASSING[kind]())

    assert (found.retryable, found.tries) == (True, None)


@pytest.mark.parametrize("kind", FEW)
def test_what_a_neighbour_may_have_done_is_tried_a_few_times(kind: str) -> None:
    found = judge(FEW[kind]())

    assert (found.retryable, found.tries) == (True, FEW_TRIES)


def test_of_a_group_the_worst_decides() -> None:
    passing, final = ConnectionResetError("gone"), IndexError("out of range")

    assert judge(ExceptionGroup("both", [passing, ExceptionGroup("inner", [passing])])).retryable
    assert not judge(ExceptionGroup("both", [passing, ExceptionGroup("inner", [final, passing])])).retryable


def test_the_text_of_an_error_is_bounded_and_never_breaks() -> None:
    class BrokenError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("cannot be told")

    assert len(judge(RuntimeError("x" * 1_000_000)).message) <= MAX_MESSAGE
    assert judge(BrokenError()).message == "BrokenError"


def test_the_text_of_an_error_can_always_be_stored() -> None:
    for error in (
        JobFaultError("a\0b\ud800"),
        ProviderDownError("a\0b\ud800"),
        ValueError("a\0b\ud800"),
        OSError("a\0b\ud800"),
    ):
        message = judge(error).message

        assert "\0" not in message and "\0" not in getattr(error, "detail", "")
        message.encode()


def test_an_item_ends_by_a_defect_and_by_nothing_else() -> None:
    code, message = end_of_item(IndexError("out of range"), "an item")

    assert code is ErrorCode.INTERNAL
    assert "IndexError" in message
    for error in (ConnectionResetError("gone"), JobFaultError("over"), ProviderDownError("away")):
        with pytest.raises(type(error)):
            end_of_item(error, "an item")


class Probe:
    """Raises an error of a kind in the first two attempts."""

    @activity.defn(name="probe")
    async def probe(self, kind: str) -> int:
        attempt = activity.info().attempt
        if attempt <= 2:
            raise KINDS[kind]()
        return attempt


@workflow.defn(name="probe", sandboxed=False)
class ProbeWorkflow:
    """Runs the probe with a row of the table of options."""

    @workflow.run
    async def run(self, row: str, kind: str) -> int:
        chosen: dict[str, Any] = dict(getattr(options, row))
        if "task_queue" not in chosen:
            return int(await workflow.execute_local_activity("probe", kind, result_type=int, **chosen))
        chosen["task_queue"] = workflow.info().task_queue
        return int(await workflow.execute_activity("probe", kind, result_type=int, **chosen))


ROWS = [name for name in vars(options) if name.isupper()]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def probing(parts: EmbeddedStack, database: Database) -> AsyncIterator[tuple[Client, str]]:
    client = await Client.connect(parts.temporal_address, plugins=[towpath_plugin()])
    queue = f"probe-{uuid4()}"
    guard = ActivityGuard(JobRuns(database), retry_days=3)
    async with Worker(
        client, task_queue=queue, workflows=[ProbeWorkflow], activities=[Probe().probe], interceptors=[guard]
    ):
        yield client, queue


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def impatient(parts: EmbeddedStack, database: Database) -> AsyncIterator[tuple[Client, str]]:
    """The same with a worker that gives up at the second try."""
    client = await Client.connect(parts.temporal_address, plugins=[towpath_plugin()])
    queue = f"probe-{uuid4()}"
    guard = ActivityGuard(JobRuns(database), retry_days=1e-9, min_attempts=2)
    async with Worker(
        client, task_queue=queue, workflows=[ProbeWorkflow], activities=[Probe().probe], interceptors=[guard]
    ):
        yield client, queue


async def run(probing: tuple[Client, str], row: str, kind: str) -> int:
    client, queue = probing
    return int(
        await client.execute_workflow(
            "probe", args=[row, kind], id=f"probe-{uuid4()}", task_queue=queue, result_type=int,
            execution_timeout=timedelta(seconds=60),
        )
    )  # fmt: skip


def test_the_table_of_options_is_known() -> None:
    assert set(ROWS) >= {"DB_LOCAL", "CHUNK", "LONG_RUNNING", "LLM_CALL", "WEBHOOK", "MAINTENANCE"}
    assert {str(Queue.COMPUTE), str(Queue.LLM)} <= {str(getattr(options, row).get("task_queue", "")) for row in ROWS}


async def test_an_error_that_never_passes_is_final_after_the_days_of_the_setting(
    impatient: tuple[Client, str],
) -> None:
    with pytest.raises(WorkflowFailureError) as caught:
        await run(impatient, "CHUNK", "network")

    cause = caught.value.cause.__cause__
    assert isinstance(cause, ApplicationError)
    assert (cause.type, cause.non_retryable) == ("UNAVAILABLE", True)
    assert "tried 2 times in 0.0 days" in cause.message


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("kind", ["index", "value", "data of postgres", "our job fault"])
async def test_with_every_option_a_final_error_ends_the_activity_at_once(
    row: str, kind: str, probing: tuple[Client, str]
) -> None:
    with pytest.raises(WorkflowFailureError) as caught:
        await run(probing, row, kind)

    cause: BaseException | None = caught.value.cause
    while cause is not None and cause.__cause__ is not None:
        cause = cause.__cause__
    assert isinstance(cause, ApplicationError)
    assert cause.type == ("INDEX_DROPPED" if kind == "our job fault" else "INTERNAL")
    assert cause.non_retryable


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("kind", ["postgres away", "network", "our part away"])
async def test_with_every_option_a_passing_error_is_waited_out(
    row: str, kind: str, probing: tuple[Client, str]
) -> None:
    assert await run(probing, row, kind) == 3
