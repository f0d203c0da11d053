"""A question to a language model that is paid for once: the answer is kept before anything else is done with it.

It is also the one place where money is booked. What a provider was paid is written into the ledger, with the answer,
and added to the job's cost, all at once, whether the answer was of use or not. Where a job has a cap, the most that a
question can cost is set aside before it is asked (`towpath.llm.caps`).

A model that does not answer now is waited for (`towpath.jobs.patience`): the caller lets a retryable error through to
Temporal, and takes any other as the answer that there is none.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from towpath.core.errors import ErrorCode, ModelError
from towpath.core.usage import Usage
from towpath.db.engine import Database, is_away
from towpath.jobs.patience import Patience
from towpath.jobs.store.writer import JobWriter
from towpath.jobs.types import JobRef
from towpath.llm import Catalog, LanguageModels
from towpath.llm.batches.choice import plan_of
from towpath.llm.batches.collecting import collect, is_collecting
from towpath.llm.batches.types import BatchPlan
from towpath.llm.caps import Caps, Hold
from towpath.llm.flight import Flight
from towpath.llm.store.answers import answer_digest
from towpath.llm.store.attachments import as_source, get_attachments
from towpath.llm.store.ledger import ANSWERED, Line, book, find_known
from towpath.llm.store.reservations import reservation_of
from towpath.llm.types import Answer, ImagePart, Prompt, Site

if TYPE_CHECKING:
    from towpath.llm.batches.exchange import Exchange

logger = logging.getLogger("towpath.llm")

BOOKING_TRIES = 8
"""With a wait that doubles from a quarter of a second: so long Postgres may be away before a paid answer is lost."""


@dataclass(frozen=True, slots=True)
class _Question:
    ref: JobRef
    model: str
    prompt: Prompt
    site: Site
    digest: bytes
    key: UUID
    plain_json: bool
    repairs: int | None
    least_tokens: int | None


class LlmGateway:
    """Asks language models through the store of paid answers.

    Args:
        database: Where answers are kept.
        models: The language models.
        patience: How long one that does not answer is waited for.
    """

    def __init__(self, database: Database, models: LanguageModels, patience: Patience) -> None:
        self.patience = patience
        self.writer = JobWriter(database)
        """Writes bookings; what else is written to the same jobs goes through it in the same transactions."""
        self._database = database
        self._models = models
        self._caps = Caps(database, self.writer, models.catalog)
        self._flights: set[asyncio.Task[Answer]] = set()

    @property
    def catalog(self) -> Catalog:
        """Return what is known of the models."""
        return self._models.catalog

    @property
    def batch_plan(self) -> BatchPlan:
        """Return how a job waits whose calls go through batches."""
        return plan_of(self._models.config)

    async def ask(
        self,
        ref: JobRef,
        model: str,
        prompt: Prompt,
        *,
        site: Site,
        bypass: bool = False,
        plain_json: bool = False,
        repairs: int | None = None,
        least_tokens: int | None = None,
    ) -> Answer:
        """Ask, or take the answer that was paid for already.

        A caller that is cancelled does not take the answer along: a request that is with the provider is finished in
        the background, kept, and booked.

        Args:
            ref: The job that asks.
            model: The model key.
            prompt: What is asked.
            site: Where in the job it is asked; the usage of the answer is what this site has paid for it, in all tries.
            bypass: Take no other job's answer; this job's own all the same.
            plain_json: Ask for JSON in words.
            repairs: See `LanguageModels.ask`.
            least_tokens: How short the answer's room may be made where the job's cap has no money for more; None: it
                is as asked.

        Raises:
            CostLimitError: It could cost more than is left of the job's cap.
            ModelError: No usable answer; `retryable` while the model is waited for. Its usage is what this site has
                paid for the question.
            AnswerAwaitedError: In collecting mode: the answer comes with a batch.
        """
        own: UUID | None = ref.job_id if bypass else None
        digest = answer_digest(model, prompt, own=own)
        known = await find_known(self._database, ref, digest, site)
        if known.answer is not None:
            return known.answer
        key = reservation_of(ref, digest, site)
        question = _Question(ref, model, prompt, site, digest, key, plain_json, repairs, least_tokens)
        exchange = None
        if is_collecting() and self.catalog.has_batches(model):
            exchange = await collect(
                self._database,
                self._models,
                ref,
                model,
                prompt,
                digest,
                site,
                plain_json=plain_json,
                is_booked=known.spent != Usage(),
                admit=None if known.cap is None else partial(self._caps.reserve_for_batch, ref, model, prompt, key),
            )
        flight = Flight()
        buying = asyncio.create_task(self._buy(question, flight, exchange, has_cap=known.cap is not None))
        self._flights.add(buying)
        buying.add_done_callback(self._note_landed)
        try:
            answer = await asyncio.shield(buying)
        except asyncio.CancelledError:
            flight.is_stopped = True
            if flight.is_waiting:
                buying.cancel()
            raise
        except ModelError as error:
            error.usage = known.spent + error.usage
            if not error.retryable:
                raise
            raise await self.patience.judge(ref, model, digest, error) from error
        return answer.model_copy(update={"usage": known.spent + answer.usage})

    async def drain(self, seconds: float) -> None:
        """Wait for requests that are with providers, and for their bookings; give up those that take longer."""
        if self._flights:
            _, late = await asyncio.wait(self._flights, timeout=seconds)
            if late:
                logger.warning("%d requests were given up: what they have cost is not known", len(late))
            for flight in late:
                flight.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._caps.close()

    def _note_landed(self, flight: asyncio.Task[Answer]) -> None:
        self._flights.discard(flight)
        if not flight.cancelled():
            # Whoever was cancelled does not ask for it.
            flight.exception()

    async def _buy(self, question: _Question, flight: Flight, exchange: Exchange | None, *, has_cap: bool) -> Answer:
        """Ask a provider, and book what it was paid, whatever became of its answer."""
        hold = Hold(None, question.ref.job_id, question.prompt)
        if has_cap:
            # What a batch has brought is paid for, whatever is left.
            hold = Hold(question.key, question.ref.job_id, question.prompt)
            if exchange is None:
                least = question.least_tokens
                hold = await self._caps.reserve(
                    question.ref, question.model, question.prompt, question.key, least=least
                )
            flight.admit = partial(self._caps.admit, hold, question.model, flight)
        answer: Answer | None = None
        failure: BaseException | None = None
        try:
            answer = await self._models.ask(
                question.ref.organization,
                question.model,
                hold.prompt,
                plain_json=question.plain_json,
                repairs=question.repairs,
                exchange=exchange,
                flight=flight,
            )
        except BaseException as error:
            failure = error
        flight.is_over = True
        if answer is not None or flight.usage != Usage():
            line = Line(
                question.ref,
                question.model,
                question.digest,
                question.site,
                flight.usage,
                ANSWERED if failure is None else _code_of(failure),
            )
            await self._book(line, answer, hold)
        else:
            await self._caps.free(hold)
        if failure is not None:
            raise failure
        assert answer is not None
        return answer

    async def _book(self, line: Line, answer: Answer | None, hold: Hold) -> None:
        """Book, again and again while Postgres is away: its line has a name, and is written once."""
        tries = 0
        while True:
            try:
                await self.writer.write(
                    line.ref.job_id, lambda connection: book(connection, line, answer, reservation=hold.id)
                )
            except Exception as error:
                tries += 1
                if tries == BOOKING_TRIES or not is_away(error):
                    logger.exception("%.6f US dollars were paid to %s and not booked", line.usage.usd, line.model)
                    raise
                await asyncio.sleep(0.25 * 2 ** (tries - 1))
            else:
                self._caps.note_freed(hold)
                return

    async def sources(self, organization: str, ids: Sequence[UUID]) -> tuple[list[str], list[ImagePart]]:
        """Load the texts and the images of attachments."""
        attachments = await get_attachments(self._database, organization, ids)
        texts = [as_source(row) for row in attachments if row.mode == "text"]
        images = [
            ImagePart(media_type=row.media_type, base64=row.content) for row in attachments if row.mode == "image"
        ]
        return texts, images


def _code_of(failure: BaseException) -> str:
    if isinstance(failure, ModelError):
        return failure.code.value
    return (ErrorCode.CANCELLED if isinstance(failure, asyncio.CancelledError) else ErrorCode.INTERNAL).value
