"""The batches of a job: named, sent, looked after, fetched.

Every step is a row before it is a request, so that a worker that is killed anywhere is followed by one that finds out
what has happened: nothing is submitted twice, and no answer is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from uuid import uuid4

from towpath.core.errors import ErrorCode, ModelError, ModelRetiredError
from towpath.core.imports import import_beside_loop
from towpath.core.usage import Usage
from towpath.db.engine import Connection, Database
from towpath.jobs.patience import Clock, Patience, utc_now
from towpath.jobs.store.events import append_run_event
from towpath.jobs.store.jobs import assert_active, lock_job, merge_params
from towpath.jobs.store.staging import Retake, plan_pages
from towpath.jobs.store.warnings import add_warnings
from towpath.jobs.types import AWAITED, EventType, JobRef, JobWarning, PagePlan
from towpath.llm.batches.choice import plan_of
from towpath.llm.batches.collecting import site_of
from towpath.llm.batches.cutting import batch_name, custom_id, cut, number_of
from towpath.llm.batches.remote import BatchEndpoint, make_endpoint
from towpath.llm.batches.types import (
    WINDOW,
    Batch,
    BatchProgress,
    BatchState,
    CallResult,
    CallState,
    ClosingInput,
    NamedCall,
    RemoteBatch,
    ResultKind,
)
from towpath.llm.models import LanguageModels
from towpath.llm.store import batches as store
from towpath.llm.store.ledger import Line, book
from towpath.llm.store.reservations import reservation_of
from towpath.llm.types import Answer, Prompt, Site, WireFormat, split_key

LOST_AFTER = timedelta(hours=12)
"""So long after its window a batch that nobody can look at is given up."""
MODULES = {
    WireFormat.OPENAI: "towpath.llm.batches.openai_batches",
    WireFormat.ANTHROPIC: "towpath.llm.batches.anthropic_batches",
}
MAX_UNCLOSED = 100
"""Jobs whose batches one round of the housekeeping takes up."""
RESULTS_A_STEP = 50
"""Results that are read, kept and booked in one transaction."""


@dataclass(frozen=True, slots=True)
class _Look:
    """A look at the batches of a job.

    Attributes:
        ref: The job.
        again: Whether an earlier try may have uploaded something.
        closing: Whether what is not answered yet is cancelled.
        ended: Whether the job has: nobody is told of it any more, and what is cancelled waits for a restart.
    """

    ref: JobRef
    again: bool = True
    closing: bool = False
    ended: bool = False

    def released(self, batch: Batch) -> CallState:
        """Return what becomes of a call whose batch was cancelled: in one of an earlier attempt, a new batch."""
        return CallState.AWAITED if self.ended or batch.attempt < self.ref.attempt else CallState.LIVE


class BatchService:
    """Looks after the batches of jobs.

    Args:
        database: Where calls and batches are.
        models: Read the answers.
        patience: How long a provider that does not answer is waited for.
        clock: Tells the time.
    """

    def __init__(
        self, database: Database, models: LanguageModels, patience: Patience, *, clock: Clock = utc_now
    ) -> None:
        self._database = database
        self._models = models
        self._patience = patience
        self._clock = clock
        self._endpoints: dict[str, BatchEndpoint] = {}

    async def submit(self, ref: JobRef, *, again: bool = False) -> BatchProgress:
        """Put the collected calls of a job into batches, and send those that are not sent.

        Args:
            ref: The job.
            again: Whether an earlier try may have done a part of it.
        """
        async with self._database.transaction() as connection:
            unsent = await store.list_unsent(connection, ref.job_id)
            for model, calls in groupby(unsent, key=lambda call: call[0]):
                endpoint = await self._endpoint(model)
                for digests in cut(((digest, size) for _, digest, size in calls), endpoint.limits):
                    batch_id = uuid4()
                    await store.add_batch(connection, ref, batch_id, batch_name(batch_id), model, digests)
        look = _Look(ref, again=again)
        for batch in await store.list_open_batches(self._database, ref):
            if batch.state != BatchState.SENT:
                await self._send(look, batch)
        return await self._tell(look)

    async def look(self, ref: JobRef, *, closing: bool = False, ended: bool = False) -> BatchProgress:
        """Look at each open batch of a job, and fetch the results of those that have ended.

        Args:
            ref: The job.
            closing: Whether what is not answered yet is cancelled.
            ended: Whether the job has.
        """
        look = _Look(ref, closing=closing, ended=ended)
        for batch in await store.list_open_batches(self._database, ref):
            if batch.state == BatchState.SENT:
                await self._look(look, batch)
            else:
                await self._send(look, batch)
        return await self._tell(look)

    async def find_unclosed(self) -> list[ClosingInput]:
        """Find jobs that have ended with open batches: their workflow was terminated, or lost."""
        plan = plan_of(self._models.config)
        return [ClosingInput(ref=ref, plan=plan) for ref in await store.list_orphans(self._database, MAX_UNCLOSED)]

    async def plan_round(self, ref: JobRef) -> PagePlan:
        """Find the pages that have items left, none of those that have failed among them."""
        async with self._database.transaction() as connection:
            await lock_job(connection, ref.organization, ref.job_id)
            await assert_active(connection, ref)
            return PagePlan(pages=await plan_pages(connection, ref.job_id, retake=Retake.NONE))

    async def close(self) -> None:
        """Close all connections."""
        for endpoint in self._endpoints.values():
            await endpoint.close()

    async def _send(self, look: _Look, batch: Batch) -> None:
        """Send a batch, unless an earlier try has done so: then it is found by its name."""
        endpoint = await self._endpoint(batch.model)
        if batch.state == BatchState.SENDING and not await self._is_unknown(look, batch, endpoint):
            return
        if look.closing:
            await self._give_up(look, batch, look.released(batch), None)
            return
        stored = await store.load_calls(self._database, batch.id)
        calls = [NamedCall(custom_id(batch.name, call.number), call.body) for call in stored]
        try:
            batch.file_id = await endpoint.upload(batch.name, calls, again=look.again)
        except Exception as error:
            if problem := await self._problem_of(look, batch, error):
                await self._give_up(look, batch, CallState.LIVE, problem)
            return
        if not await store.begin_sending(self._database, batch, self._clock()):
            return
        try:
            remote = await endpoint.create(batch.name, calls, batch.file_id)
        except Exception as error:
            fault = self._fault_of(batch, error)
            if not fault.retryable:
                await self._give_up(look, batch, CallState.LIVE, fault.detail)
            return
        await self._note(batch, remote)

    async def _is_unknown(self, look: _Look, batch: Batch, endpoint: BatchEndpoint) -> bool:
        """Return whether it is certain that the provider does not have a batch, and will not get it any more."""
        since = batch.sending_at or self._clock()
        known = await store.list_remote_ids(self._database, since - WINDOW)
        try:
            search = await endpoint.find(batch.name, calls=batch.calls, since=since, known=known)
        except Exception as error:
            await self._problem_of(look, batch, error)
            return False
        if search.match is not None:
            await self._note(batch, search.match)
            return False
        # A request whose worker was lost may still arrive.
        grace = timedelta(seconds=self._models.config.batch_grace_seconds)
        return not search.undecided and self._clock() >= since + grace

    async def _look(self, look: _Look, batch: Batch) -> None:
        """Look how far a batch is, and fetch its results if it has ended."""
        endpoint, remote_id = await self._endpoint(batch.model), str(batch.remote_id)
        try:
            remote = await endpoint.look(remote_id)
            if look.closing and not remote.has_ended and batch.cancelled_at is None:
                remote = await endpoint.cancel(remote_id)
                await store.note_cancel(self._database, batch.id, self._clock())
            await self._note(batch, remote)
            if remote.has_failed:
                await self._end_failed(look, batch, remote)
            elif remote.has_ended:
                await self._fetch(look, batch, endpoint, remote)
        except Exception as error:
            if not _is_of_provider(error):
                raise
            fault, lost_at = self._fault_of(batch, error), (batch.sent_at or self._clock()) + WINDOW + LOST_AFTER
            await self._problem_of(look, batch, error)
            # It goes on at the provider, whoever cannot be reached: only one that is gone is given up.
            if isinstance(fault, ModelRetiredError) or self._clock() > lost_at:
                await self._give_up(look, batch, CallState.LIVE, fault.detail)

    async def _end_failed(self, look: _Look, batch: Batch, remote: RemoteBatch) -> None:
        """End a batch that came to nothing: its calls wait for room, or are asked live."""
        async with self._database.transaction() as connection:
            waits = remote.is_over_quota and await store.has_other_open(connection, batch)
        await self._give_up(look, batch, CallState.AWAITED if waits else CallState.LIVE, remote.problem or remote.state)

    async def _give_up(self, look: _Look, batch: Batch, state: CallState, problem: str | None) -> None:
        async with self._database.transaction() as connection:
            count = await store.release_calls(connection, batch.id, state, problem)
            await store.close_batch(connection, batch.id, self._clock(), problem)
            if problem and count and state == CallState.LIVE and not look.ended:
                message = f"{batch.model}: a batch of {count} calls failed, they are asked live: {problem}"
                await add_warnings(
                    connection, look.ref, [JobWarning(code=ErrorCode.BATCH_FAILED, message=message[:1000])]
                )

    async def _fetch(self, look: _Look, batch: Batch, endpoint: BatchEndpoint, remote: RemoteBatch) -> None:
        """Keep the results of a batch, some at a time; a repeat goes on with those that are left."""
        group: list[CallResult] = []
        async for result in endpoint.results(remote):
            group.append(result)
            if len(group) >= RESULTS_A_STEP:
                await self._keep(look, batch, group)
                group = []
        await self._keep(look, batch, group)
        async with self._database.transaction() as connection:
            # What has no line was not begun.
            await store.release_calls(
                connection, batch.id, look.released(batch), f"no result in a batch that is {remote.state}"
            )
            await store.close_batch(connection, batch.id, self._clock(), None)

    async def _keep(self, look: _Look, batch: Batch, results: Sequence[CallResult]) -> None:
        by_number = {
            number: result for result in results if (number := number_of(batch.name, result.custom_id)) is not None
        }
        async with self._database.transaction() as connection:
            readers = await store.find_readers(connection, batch.id, list(by_number))
        read: dict[int, Answer | ModelError] = {}
        for number, (_, prompt, plain_json) in readers.items():
            result = by_number[number]
            if result.kind is ResultKind.ANSWERED:
                read[number] = await self._read(batch, Prompt.model_validate(prompt), result, plain_json=plain_json)
                # The loop's other tasks, heartbeats among them, have their turn.
                await asyncio.sleep(0)
        async with self._database.transaction() as connection:
            # First, as all who book do: otherwise two could wait for each other.
            await lock_job(connection, look.ref.organization, look.ref.job_id)
            for number, (digest, reader, _) in readers.items():
                answer = read.get(number)
                await self._settle(connection, look, batch, number, digest, site_of(reader), by_number[number], answer)

    async def _settle(
        self,
        connection: Connection,
        look: _Look,
        batch: Batch,
        number: int,
        digest: bytes,
        site: Site,
        result: CallResult,
        answer: Answer | ModelError | None,
    ) -> None:
        ref = look.ref
        if answer is None:
            state = look.released(batch) if result.kind is ResultKind.CANCELLED else CallState.LIVE
            problem = f"{result.kind}: {result.problem}"
            await store.settle_call(connection, batch.id, number, state, problem=problem)
        elif isinstance(answer, Answer):
            if await store.settle_call(connection, batch.id, number, CallState.STORED):
                line = Line(ref, batch.model, digest, site, answer.usage)
                await book(connection, line, answer, reservation=reservation_of(ref, digest, site))
        else:
            # What cannot be read is repaired, or refused for good, by the live call; it is paid for all the same.
            settled = await store.settle_call(
                connection, batch.id, number, CallState.LIVE, reply=result.reply, problem=answer.detail
            )
            if settled:
                line = Line(ref, batch.model, digest, site, answer.usage, answer.code.value)
                await book(connection, line, None)

    async def _read(self, batch: Batch, prompt: Prompt, result: CallResult, *, plain_json: bool) -> Answer | ModelError:
        from towpath.llm.batches.exchange import Replay

        try:
            return await self._models.ask(
                batch.organization,
                batch.model,
                prompt,
                plain_json=plain_json,
                repairs=0,
                exchange=Replay(result.reply),
            )
        except ModelError as error:
            return error

    async def _note(self, batch: Batch, remote: RemoteBatch) -> None:
        async with self._database.transaction() as connection:
            await store.note_remote(connection, batch.id, remote, self._clock())

    async def _problem_of(self, look: _Look, batch: Batch, error: Exception) -> str | None:
        """Tell the readers of a job that a provider does not answer.

        Returns:
            Why no repeat helps, or no longer; None: one may.

        Raises:
            Exception: It is no fault of the provider's.
        """
        if not _is_of_provider(error):
            raise error
        fault = self._fault_of(batch, error)
        if look.ended:
            return None if fault.retryable else fault.detail
        judged = await self._patience.judge(look.ref, batch.model, batch.name, fault)
        return None if judged.retryable else judged.detail

    @staticmethod
    def _fault_of(batch: Batch, error: Exception) -> ModelError:
        from towpath.llm.faults import translate_error

        return translate_error(batch.model, error, Usage())

    async def _tell(self, look: _Look) -> BatchProgress:
        """Count how far the batches are, and tell the readers of the job if that has changed."""
        async with self._database.transaction() as connection:
            progress = await store.count_progress(connection, look.ref.job_id)
            if progress.submitted and not look.ended:
                counts = progress.model_dump(include={"submitted", "answered", "failed", "open"})
                key = f"awaited:{':'.join(map(str, counts.values()))}"
                await append_run_event(connection, look.ref, EventType.ANSWERS_AWAITED, counts, key)
                await merge_params(connection, look.ref, {AWAITED: counts})
        return progress

    async def _endpoint(self, model: str) -> BatchEndpoint:
        provider = split_key(model)[0]
        if provider not in self._endpoints:
            known = self._models.catalog.provider(provider)
            if known is None or not known.batches:
                raise ModelError(f"{provider} has no batch endpoint here")
            await import_beside_loop(MODULES[known.api])
            config = self._models.config
            self._endpoints[provider] = make_endpoint(known, seconds=config.seconds, max_calls=config.batch_calls)
        return self._endpoints[provider]


def _is_of_provider(error: Exception) -> bool:
    """Return whether an error came from a provider's client, and not from a part of ours."""
    return type(error).__module__.split(".")[0] in {"openai", "anthropic", "httpx2", "httpx", "httpcore"}
