"""What the job of a batch does: its file is read and checked, its lines are asked, its output and error file written.

Each answer is kept the moment it comes, with its cost and its count, in one transaction: a repeat of a page asks only
what has no answer yet. A batch that is cancelled or expires keeps what it has, and writes it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

from temporalio import activity

from towpath.core.errors import ErrorCode, JobFaultError, JobNotActiveError, ModelError, NotFoundError, TowpathError
from towpath.core.json_stream import LineSplitter
from towpath.core.usage import Usage
from towpath.db.engine import Connection, Database
from towpath.jobs.faults import judge_item_failure
from towpath.jobs.patience import Patience
from towpath.jobs.store.jobs import add_progress, assert_active, load_total, record_chunk, reset_counts
from towpath.jobs.store.runs import lock_run
from towpath.jobs.store.staging import add_failures
from towpath.jobs.store.writer import JobWriter
from towpath.jobs.types import FailedItem, JobRef, PagePlan, PageTask, Progress
from towpath.llm.flight import Flight
from towpath.llm.store.ledger import ANSWERED, Line, book
from towpath.llm.types import Purpose, Site
from towpath.serving.domain.lines import MAX_PROBLEMS, BatchLine, LineError, LineReader
from towpath.serving.domain.numbers import LineNumbers
from towpath.serving.service.asking import LineModels, failed_answer
from towpath.serving.service.departures import Departures
from towpath.serving.service.files import id_of
from towpath.serving.service.output import chain, show_lines
from towpath.serving.store import batches, files, lines
from towpath.serving.store.lines import LineAnswer, OpenLine
from towpath.serving.store.tables import ServedBatchRow
from towpath.serving.types import BatchResult, BatchStatus, Ending, FilePurpose, LineProblem, show_batch_id

PHASE = "requests"
STAGED_AT_ONCE = 500


class WrongInputError(Exception):
    """The input file is not one for its batch.

    Args:
        problems: What is wrong, by line.
    """

    def __init__(self, problems: list[LineProblem]) -> None:
        super().__init__(problems[0].message)
        self.problems = problems


class BatchRuns:
    """The steps of batches.

    Args:
        database: Where batches are.
        models: What their lines ask.
        patience: How long a model that does not answer is waited for.
        writer: Writes to jobs; what is booked goes through it too.
        page_lines: Lines of a page, the unit of asking.
        max_lines: How many lines a file may have.
        max_line_bytes: How large one may be.
        retention_days: How long files are kept at the most.
        wait_seconds: How long answers on their way are waited for when a batch is to end.
    """

    def __init__(
        self,
        database: Database,
        models: LineModels,
        patience: Patience,
        writer: JobWriter,
        *,
        page_lines: int,
        max_lines: int,
        max_line_bytes: int,
        retention_days: int,
        wait_seconds: float,
    ) -> None:
        self._database = database
        self._models = models
        self._patience = patience
        self._writer = writer
        self._page_lines = page_lines
        self._max_lines = max_lines
        self._max_line_bytes = max_line_bytes
        self._lifetime = timedelta(days=retention_days)
        self._wait_seconds = wait_seconds

    async def validate(self, ref: JobRef) -> PagePlan:
        """Check the input file and stage its lines, once; then find the pages with lines left to ask.

        Raises:
            JobFaultError: The file is wrong, which its batch tells by line.
            JobNotActiveError: The job has ended, or is being cancelled.
        """
        batch = await batches.load_batch(self._database, ref.job_id)
        try:
            async with self._database.transaction() as connection:
                await assert_active(connection, ref)
                await self._stage(connection, batch)
        except WrongInputError as error:
            await batches.refuse_input(self._database, ref.job_id, error.problems)
            first = error.problems[0]
            where = "" if first.line is None else f"line {first.line}: "
            more = f" (and {len(error.problems) - 1} more)" if len(error.problems) > 1 else ""
            raise JobFaultError(f"{where}{first.message}{more}", code=ErrorCode.INVALID_VALUE) from error
        async with self._database.transaction() as connection:
            await lock_run(connection, ref)
            total, answered = await lines.count_lines(connection, ref.job_id)
            models = await lines.find_models(connection, ref.job_id)
            await batches.begin_requests(connection, ref.job_id, model=models[0] if len(models) == 1 else None)
            await reset_counts(connection, ref, total=total, params={})
            # What an earlier attempt has brought counts as done.
            change = Progress(processed=answered, succeeded=answered)
            await add_progress(connection, ref, change, fraction=answered / max(total, 1))
            return PagePlan(pages=await lines.find_open_pages(connection, ref.job_id, self._page_lines))

    async def _stage(self, connection: Connection, batch: ServedBatchRow) -> None:
        """Stage the lines of the input file, all or none; an attempt before has staged all."""
        if (await lines.count_lines(connection, batch.job_id))[0]:
            return
        resolve = partial(self._models.resolve, batch.endpoint)
        reader = LineReader(batch.endpoint, max_bytes=self._max_line_bytes, resolve=resolve)
        problems: list[LineProblem] = []
        waiting: list[BatchLine] = []
        count = staged = 0
        async for number, line in self._read_input(connection, batch):
            count += 1
            if count > self._max_lines:
                message = f"The file has more than {self._max_lines:,} requests."
                raise WrongInputError([LineProblem(code="request_limit_exceeded", message=message)])
            try:
                waiting.append(reader.read(line))
            except LineError as error:
                problems.append(error.at(number))
                if len(problems) == MAX_PROBLEMS:
                    break
            if len(waiting) == STAGED_AT_ONCE and not problems:
                await lines.stage_lines(connection, batch.job_id, staged, waiting)
                staged, waiting = staged + len(waiting), []
        if problems:
            raise WrongInputError(problems)
        if not count:
            raise WrongInputError([LineProblem(code="empty_file", message="The file has no requests.")])
        await lines.stage_lines(connection, batch.job_id, staged, waiting)

    async def _read_input(self, connection: Connection, batch: ServedBatchRow) -> AsyncIterator[tuple[int, Any]]:
        """Yield the lines of a batch's file with their numbers, from 1; empty ones are left out."""
        splitter = LineSplitter(most_bytes=self._max_line_bytes)
        numbers = LineNumbers()
        try:
            async for piece in files.read_input(connection, batch.organization, batch.input_file_id):
                numbers.feed(piece)
                for line in splitter.feed(piece):
                    yield numbers.line_at(line.offset), line
        except NotFoundError as error:
            message = "The input file does not exist any more."
            raise WrongInputError([LineProblem(code="file_not_found", message=message)]) from error
        for line in splitter.close():
            yield numbers.line_at(line.offset), line

    async def ask_page(self, task: PageTask) -> None:
        """Ask the lines of a page that have no answer yet; after the batch's expiry none.

        Raises:
            TowpathError: A model does not answer now, and is waited for: the rest of the page is kept.
            JobNotActiveError: The job has ended, or is being cancelled.
        """
        ref = task.ref
        batch = await batches.load_batch(self._database, ref.job_id)
        async with self._database.transaction() as connection:
            await assert_active(connection, ref)
            seconds = (batch.expires_at - await batches.read_clock(connection)).total_seconds()
        waiting = await lines.load_open_lines(self._database, ref.job_id, task.page, self._page_lines)
        if waiting and seconds > 0:
            await self._ask_lines(ref, batch, waiting, seconds)
        async with self._database.transaction() as connection:
            await record_chunk(connection, ref, f"page:{task.page}", Progress(), fraction=0.0, phase=PHASE)

    async def _ask_lines(self, ref: JobRef, batch: ServedBatchRow, waiting: list[OpenLine], seconds: float) -> None:
        """Ask lines side by side; after the time or a cancel, only those that have left are waited for."""
        async with self._database.transaction() as connection:
            total = await load_total(connection, ref)
        leaving = Departures()
        for line in waiting:
            leaving.add(line.number, partial(self._ask_line, ref, batch.endpoint, total, line, leaving))
        try:
            _, late = await asyncio.wait(leaving.tasks.values(), timeout=seconds)
            if late:
                await leaving.finish(self._wait_seconds)
        except asyncio.CancelledError:
            details = activity.cancellation_details()
            # A worker that is stopped has no time for it; its lines are asked by another one.
            if details is not None and details.cancel_requested:
                await leaving.finish(self._wait_seconds)
            raise
        finally:
            for task in leaving.tasks.values():
                task.cancel()
        if errors := leaving.errors():
            raise next((error for error in errors if not isinstance(error, TowpathError)), errors[0])

    async def _ask_line(
        self, ref: JobRef, endpoint: str, total: int, line: OpenLine, leaving: Departures, flight: Flight
    ) -> None:
        request_id = f"req_{uuid5(NAMESPACE_OID, f'{ref.job_id}/{line.number}/{ref.attempt}').hex}"
        outcome = ANSWERED
        try:
            answer = await self._models.ask(ref.organization, endpoint, line, request_id, flight=flight)
        except TowpathError as error:
            usage = error.usage if isinstance(error, ModelError) else Usage()
            final = await self._patience.judge(ref, line.model, f"line {line.number}", error)
            if final.retryable:
                await self._book(_booking(ref, line, usage, final.code))
                raise final from error
            answer, outcome = failed_answer(final, request_id, usage), final.code.value
        except Exception as error:
            code, message = judge_item_failure(error, f"line {line.number} of {show_batch_id(ref.job_id)}")
            answer, outcome = failed_answer(JobFaultError(message, code=code), request_id, Usage()), code.value
        booking = _booking(ref, line, answer.usage, outcome)
        keep = partial(self._keep, ref=ref, total=total, line=line, answer=answer, booking=booking)
        try:
            is_cancelling = await self._writer.write(ref.job_id, keep)
        except JobNotActiveError:
            await self._book(booking)
            raise
        if is_cancelling:
            # The cancel itself comes with a heartbeat, a second later.
            leaving.drop_unsent()

    async def _book(self, booking: Line) -> None:
        """Book what was paid for no answer, or for one that comes when the batch has ended."""
        if booking.usage != Usage():
            await self._writer.write(booking.ref.job_id, lambda connection: book(connection, booking, None))

    @staticmethod
    async def _keep(
        connection: Connection, *, ref: JobRef, total: int, line: OpenLine, answer: LineAnswer, booking: Line
    ) -> bool:
        """Keep an answer, book it, and count it, once; return whether the job is being cancelled."""
        if booking.usage != Usage():
            await book(connection, booking, None)
        if await lines.keep_answer(connection, ref.job_id, line.number, answer):
            change = Progress(processed=1, succeeded=int(answer.succeeded), failed=int(not answer.succeeded))
            await add_progress(connection, ref, change, fraction=1 / total)
            if not answer.succeeded:
                message = f"{line.model} answered {answer.status}; the error file has what it said"
                code = ErrorCode.MODEL_REFUSED if answer.status < 500 else ErrorCode.MODEL_ERROR
                failure = FailedItem(index=line.number, id=line.custom_id, stage="request", code=code, message=message)
                await add_failures(connection, ref.job_id, [failure])
        return await batches.is_cancelling(connection, ref.job_id)

    async def write_files(self, ref: JobRef, ending: Ending) -> BatchResult:
        """End a batch: write its output file and its error file, and say what has become of it. A repeat does nothing.

        Args:
            ref: The job.
            ending: Why it ends.
        """
        await batches.begin_writing(self._database, ref.job_id)
        async with self._database.transaction() as connection:
            batch = await batches.lock_batch(connection, ref.job_id)
            if not batch.status.final:
                total, answered = await lines.count_lines(connection, ref.job_id)
                batch.status = _status_of(ending, is_whole=answered == total)
                batch.output_file_id = await self._write_file(connection, batch, succeeded=True)
                batch.error_file_id = await self._write_file(connection, batch, succeeded=False)
                await batches.end_batch(
                    connection, ref.job_id, batch.status, output=batch.output_file_id, error=batch.error_file_id
                )
        return BatchResult(
            status=batch.status, output_file_id=id_of(batch.output_file_id), error_file_id=id_of(batch.error_file_id)
        )

    async def _write_file(self, connection: Connection, batch: ServedBatchRow, *, succeeded: bool) -> UUID | None:
        """Write the output or the error file; None: no line belongs in it."""
        pieces = show_lines(batch, lines.read_lines(connection, batch.job_id, succeeded=succeeded))
        first = await anext(pieces, None)
        if first is None:
            return None
        lasting = self._lifetime
        if batch.output_seconds is not None:
            lasting = min(lasting, timedelta(seconds=batch.output_seconds))
        row = await files.write_file(
            connection,
            batch.organization,
            chain(first, pieces),
            name=f"{show_batch_id(batch.job_id)}_{'output' if succeeded else 'error'}.jsonl",
            purpose=FilePurpose.BATCH_OUTPUT,
            lifetime=lasting,
        )
        return row.id


def _booking(ref: JobRef, line: OpenLine, usage: Usage, outcome: str) -> Line:
    """Return the line of the ledger for a request: named before it is written, so that it is written once."""
    site = Site(Purpose.REQUEST, line.number)
    return Line(ref, line.model, hashlib.sha256(line.body).digest(), site, usage, outcome)


def _status_of(ending: Ending, *, is_whole: bool) -> BatchStatus:
    if ending is Ending.CANCELLED:
        return BatchStatus.CANCELLED
    if ending is Ending.FAILED:
        return BatchStatus.FAILED
    return BatchStatus.COMPLETED if is_whole else BatchStatus.EXPIRED
