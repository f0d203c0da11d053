"""What every job workflow is made of: control by signals, a window of chunks, one way to end.

A job workflow derives from `JobWorkflow`, and its `run` calls `run_job` with the phases it goes through:
`enter_phase` begins a phase, `run_chunks` runs its chunks, and both survive continue-as-new.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from datetime import datetime
from typing import Any, Generic, TypeVar

from temporalio import workflow
from temporalio.exceptions import (
    ApplicationError,
    FailureError,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)

from towpath.activities.jobs import JobActivities
from towpath.core.errors import ErrorCode
from towpath.jobs import search_attributes as attributes
from towpath.jobs.starting import start_options
from towpath.jobs.types import (
    STOPPED,
    Finish,
    Hold,
    JobError,
    JobInput,
    JobOutcome,
    JobStart,
    JobState,
    NewEvent,
    PhaseChange,
    RetryNotice,
    RunState,
)
from towpath.workflows.options import DB_LOCAL
from towpath.workflows.webhooks import start_first_attempts

MAX_WINDOW = 200
MAX_MESSAGE = 2_000
MAX_RETRIES = 5
CANCEL_SECONDS = 30.0
State = TypeVar("State", bound=RunState)
Result = TypeVar("Result")
Phases = Callable[[JobInput], Awaitable[dict[str, Any] | None]]


class DeadlineExceededError(Exception):
    """The job's deadline passed before its phases were through."""


class ApprovalTimeoutError(Exception):
    """Nobody let a waiting job continue in time."""


class JobWorkflow(Generic[State]):
    """Pause, continue, cancel, deadline, window and end of a job; the phases are the subclass's.

    Args:
        state: What is carried through continue-as-new, as it is at the start.
    """

    def __init__(self, state: State) -> None:
        self.state = state
        self.paused = False
        self.window = 0
        self._in_flight = 0
        self._phase = ""
        self._done = 0
        self._units = 0
        self._retrying: dict[str, RetryNotice] = {}

    @workflow.signal(name="pause")
    def pause(self) -> None:
        """Start no further chunk; those in flight run to their end."""
        self.paused = True
        self._show_state(JobState.PAUSED)

    @workflow.signal(name="continue")
    def resume(self) -> None:
        """Continue after a pause."""
        self.paused = False
        self._show_state(JobState.RUNNING)

    @workflow.signal(name="retrying")
    def note_retry(self, notice: RetryNotice) -> None:
        """Show in the Temporal UI that an activity has failed and is tried again, or has got over it."""
        if notice.attempt:
            self._retrying[notice.key] = notice
        else:
            self._retrying.pop(notice.key, None)
        self._show_details()

    @workflow.update(name="set_concurrency")
    def set_concurrency(self, window: int) -> int:
        """Change how many chunks are in flight at once."""
        self.window = window
        self._show_details()
        return self.window

    @set_concurrency.validator
    def _check_concurrency(self, window: int) -> None:
        if not 1 <= window <= MAX_WINDOW:
            raise ApplicationError(f"concurrency must be 1 to {MAX_WINDOW}", type=ErrorCode.INVALID_VALUE)

    async def run_job(self, job: JobInput, phases: Phases) -> JobOutcome:
        """Run a job from its begin to its end; whatever happens, the job's row says so.

        Args:
            job: The workflow's input.
            phases: Runs the phases of the kind and returns the job's small result.

        Raises:
            ApplicationError: The job has failed: so has its workflow, for operators look for failed workflows.
            CancelledError: It was cancelled.
        """
        finish = Finish(ref=job.ref, state=JobState.COMPLETED)
        try:
            finish.result = await self._within_deadline(job, phases)
        except DeadlineExceededError:
            finish.state = JobState.FAILED
            finish.error = JobError(
                code=ErrorCode.DEADLINE_EXCEEDED, message=f"not finished by {_format_deadline(job.deadline)}"
            )
        except ApprovalTimeoutError as error:
            finish.state = JobState.CANCELLED
            finish.error = JobError(code=ErrorCode.CANCELLED, message=str(error))
        except BaseException as error:
            if isinstance(error, workflow.ContinueAsNewError):
                raise
            if is_cancelled_exception(error):
                finish.state = JobState.CANCELLED
                finish.error = JobError(code=ErrorCode.CANCELLED, message=STOPPED)
            elif isinstance(error, Exception):
                # An activity's failure, a local one's too, or a defect of the workflow itself.
                finish.state = JobState.FAILED
                finish.error = _cause(error)
            else:
                raise
        outcome = await complete(self._finish(job, finish))
        if outcome.state is JobState.FAILED:
            error_code, message = (outcome.error.code, outcome.error.message) if outcome.error else (None, "it failed")
            raise ApplicationError(message, type=error_code, non_retryable=True)
        if outcome.state is JobState.CANCELLED:
            await self._end_as_cancelled(job)
        return outcome

    async def _finish(self, job: JobInput, finish: Finish) -> JobOutcome:
        """Write the end into the row, and start what follows it."""
        outcome = await workflow.execute_local_activity_method(JobActivities.finish_job, finish, **DB_LOCAL)
        if outcome.following is not None:
            await self._start_next_attempt(outcome.following)
        await start_first_attempts(job.ref, outcome.deliveries)
        self._phase, self._retrying = outcome.state, {}
        self._show_state(outcome.state)
        return outcome

    @staticmethod
    async def _end_as_cancelled(job: JobInput) -> None:
        """End the workflow as cancelled, which Temporal lets only those do that it was asked to cancel.

        Raises:
            CancelledError: Always, as soon as Temporal was asked.
        """
        if workflow.cancellation_reason() is None:
            await workflow.execute_local_activity_method(JobActivities.cancel_workflow, job.ref, **DB_LOCAL)
            with contextlib.suppress(TimeoutError):
                await workflow.wait_condition(
                    lambda: workflow.cancellation_reason() is not None, timeout=CANCEL_SECONDS
                )
        raise asyncio.CancelledError

    async def _within_deadline(self, job: JobInput, phases: Phases) -> dict[str, Any] | None:
        if job.deadline is None:
            return await self._begin(job, phases)
        left = (job.deadline - workflow.now()).total_seconds()
        if left <= 0:
            raise DeadlineExceededError
        running = asyncio.create_task(self._begin(job, phases))
        # Once cancelled, nobody awaits it: without this, how it ended would be logged as an error.
        running.add_done_callback(_retrieve)
        try:
            await workflow.wait_condition(running.done, timeout=left, timeout_summary="deadline")
        except TimeoutError:
            running.cancel()
            raise DeadlineExceededError from None
        except asyncio.CancelledError:
            running.cancel()
            raise
        return running.result()

    async def _begin(self, job: JobInput, phases: Phases) -> dict[str, Any] | None:
        if job.state is None:
            started = await workflow.execute_local_activity_method(JobActivities.begin_job, job.ref, **DB_LOCAL)
            if started.cancelled:
                raise asyncio.CancelledError
            self.paused = self.paused or started.paused
            self.window = job.window or started.window
            self._show_state(JobState.PAUSED if self.paused else JobState.RUNNING)
        else:
            self.state = type(self.state).model_validate(job.state)
            self.paused = self.paused or self.state.paused
            self.window = self.state.window
        return await phases(job)

    async def await_approval(self, job: JobInput, event: NewEvent, *, seconds: float) -> None:
        """Wait for a person to let the job continue; a durable wait, over any restart.

        Args:
            job: The workflow's input.
            event: Tells the stream what the job waits for.
            seconds: After so long the job is cancelled.

        Raises:
            ApprovalTimeoutError: Nobody did.
        """
        # Before the row says so: a `continue` can only come once it does, and must not be overwritten.
        self.paused = True
        hold = Hold(ref=job.ref, event=event)
        if not await workflow.execute_local_activity_method(JobActivities.hold_job, hold, **DB_LOCAL):
            self.paused = False
        self._show_state(JobState.PAUSED if self.paused else JobState.RUNNING)
        try:
            await workflow.wait_condition(
                lambda: not self.paused, timeout=seconds, timeout_summary="waits for a person"
            )
        except TimeoutError:
            raise ApprovalTimeoutError(f"nobody answered {event.type} within {seconds:g} s") from None

    @staticmethod
    async def _start_next_attempt(start: JobStart) -> None:
        # A restart of a job that was cancelled at once does not wait for this run, and has started it itself.
        with contextlib.suppress(WorkflowAlreadyStartedError):
            await workflow.start_child_workflow(
                workflow.info().workflow_type,
                start.input,
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                **start_options(start),
            )

    async def enter_phase(self, job: JobInput, phase: str, units: int = 0) -> None:
        """Begin a phase, and show it in the row, the stream and the Temporal UI."""
        self.state.phase, self.state.next = phase, 0
        self._phase, self._done, self._units = phase, 0, units
        self._show_details()
        change = PhaseChange(ref=job.ref, phase=phase)
        await workflow.execute_local_activity_method(JobActivities.enter_phase, change, **DB_LOCAL)

    def show_phase(self, phase: str) -> None:
        """Show a phase in the Temporal UI alone: where nobody follows the job, its row need not be written."""
        self._phase = phase
        self._show_details()

    def continue_as_new(self, job: JobInput) -> None:
        """Continue as new with the whole state, because the history has grown long."""
        self.state.paused, self.state.window = self.paused, self.window
        workflow.continue_as_new(job.model_copy(update={"state": self.state.model_dump(mode="json")}))

    async def run_chunks(self, job: JobInput, run: Callable[[int], Awaitable[object]], chunks: int) -> None:
        """Run the chunks of a phase; continues as new in the middle when the history has grown long.

        Args:
            job: The workflow's input.
            run: Runs the chunk of a number.
            chunks: How many there are.
        """
        following = await self._run_window(run, chunks, self.state.next)
        if following < chunks:
            self.state.next = following
            self.continue_as_new(job)

    async def _run_window(self, run: Callable[[int], Awaitable[object]], chunks: int, first: int) -> int:
        """Keep up to `window` chunks in flight until all are done or the history has grown long.

        Args:
            run: Runs the chunk of a number.
            chunks: How many there are.
            first: The first that has not been started by an earlier run.

        Returns:
            The first chunk that has not been started: `chunks` when all are done. Nothing is in flight.
        """
        self._units, self._done = chunks, first
        self._show_details()
        in_flight: set[asyncio.Task[object]] = set()
        following = first

        def is_next_due() -> bool:
            # A chunk that has failed stays in flight, so that it is noticed here: also while the job is paused, and
            # also where a window that was narrowed meanwhile leaves no room beside it.
            return any(map(_has_failed, in_flight)) or (not self.paused and len(in_flight) < self.window)

        try:
            while following < chunks and not workflow.info().is_continue_as_new_suggested():
                await workflow.wait_condition(is_next_due)
                _raise_first(in_flight)
                task = asyncio.create_task(_run(run, following))
                in_flight.add(task)
                task.add_done_callback(self._count_when_done(in_flight))
                following += 1
                # Wait for the window before the next look at the history, and let a failed chunk end the job at once.
                await workflow.wait_condition(lambda: len(in_flight) < self.window or any(map(_has_failed, in_flight)))
                _raise_first(in_flight)
            while in_flight:
                ended, _ = await workflow.wait(in_flight, return_when=asyncio.FIRST_EXCEPTION)
                _raise_first(ended)
        finally:
            for task in in_flight:
                task.cancel()
        return following

    def _count_when_done(self, in_flight: set[asyncio.Task[object]]) -> Callable[[asyncio.Task[object]], None]:
        def count(task: asyncio.Task[object]) -> None:
            if not _has_failed(task):
                in_flight.discard(task)
                self._done += 1
                self._show_details()

        return count

    def _show_state(self, state: JobState) -> None:
        """Let operators find the job by its state."""
        workflow.upsert_search_attributes([attributes.STATE.value_set(state)])
        self._show_details()

    def _show_details(self) -> None:
        state = " — **paused**" if self.paused else ""
        units = f": {self._done} of {self._units} chunks" if self._units else ""
        retries = "".join(
            f"\n\n**Trying again**: {retry.activity}, {retry.attempt} failed attempts: {retry.message}"
            for retry in sorted(self._retrying.values(), key=lambda retry: -retry.attempt)[:MAX_RETRIES]
        )
        workflow.set_current_details(f"**{self._phase or 'starting'}**{units}{state}\n\nWindow: {self.window}{retries}")


async def complete(ending: Coroutine[Any, Any, Result]) -> Result:
    """Await what must happen, also when the cancel of the workflow comes in between."""
    task = asyncio.create_task(ending)
    while True:
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise


def _retrieve(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()


def _format_deadline(at: datetime | None) -> str:
    return "its deadline" if at is None else at.isoformat(timespec="seconds").replace("+00:00", "Z")


async def _run(run: Callable[[int], Awaitable[object]], chunk: int) -> object:
    return await run(chunk)


def _has_failed(task: asyncio.Task[object]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def _raise_first(tasks: Iterable[asyncio.Task[object]]) -> None:
    for task in tasks:
        if _has_failed(task):
            task.result()


def _cause(error: BaseException) -> JobError:
    """Return what the activity raised: the first error of the chain with a code of ours, else the innermost one."""
    leaf: BaseException = error
    while True:
        if isinstance(leaf, ApplicationError) and leaf.type in set(ErrorCode):
            return JobError(code=ErrorCode(leaf.type), message=leaf.message[:MAX_MESSAGE])
        if leaf.__cause__ is None:
            message = leaf.message if isinstance(leaf, FailureError) else f"{type(leaf).__name__}: {leaf}"
            return JobError(code=ErrorCode.INTERNAL, message=message[:MAX_MESSAGE])
        leaf = leaf.__cause__
