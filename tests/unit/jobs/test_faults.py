"""What an error means is decided by its kind: whether it is tried again, and what is said of it."""

from __future__ import annotations

import errno
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool

import psycopg
import pytest
from temporalio import workflow

from tests.support.faults import FINAL, PASSING
from towpath.core.errors import (
    ErrorCode,
    JobFaultError,
    ProviderDownError,
)
from towpath.core.queues import Queue
from towpath.jobs.faults import FEW_TRIES, MAX_MESSAGE, judge, judge_item_failure

with workflow.unsafe.imports_passed_through():
    from towpath.workflows import options

FEW: dict[str, Callable[[], BaseException]] = {
    "a row that another has written": lambda: psycopg.errors.UniqueViolation("duplicate key"),
    "a process that died": lambda: BrokenProcessPool("abruptly"),
    "a file that is gone": lambda: FileNotFoundError(errno.ENOENT, "gone"),
}


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
    code, message = judge_item_failure(IndexError("out of range"), "an item")

    assert code is ErrorCode.INTERNAL
    assert "IndexError" in message
    for error in (ConnectionResetError("gone"), JobFaultError("over"), ProviderDownError("away")):
        with pytest.raises(type(error)):
            judge_item_failure(error, "an item")


ROWS = [name for name in vars(options) if name.isupper()]


def test_the_table_of_options_is_known() -> None:
    assert set(ROWS) >= {"DB_LOCAL", "CHUNK", "LONG_RUNNING", "LLM_CALL", "WEBHOOK", "MAINTENANCE"}
    assert {str(Queue.COMPUTE), str(Queue.LLM)} <= {str(getattr(options, row).get("task_queue", "")) for row in ROWS}
