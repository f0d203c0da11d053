"""The gateway's books: a call that was paid is booked once, whatever became of it; and caps hold over all workers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from temporalio.testing import ActivityEnvironment

from tests.support.books import Books, as_sums, bill_of, books_of
from tests.support.llm_server import KEY, TOKENS_IN, TOKENS_OUT, Fault, LlmServer
from tests.support.waiting import until
from towpath.core.errors import CostLimitError, ErrorCode, ModelError
from towpath.core.usage import Usage
from towpath.db.engine import Database
from towpath.enrichment.types import BATCH_ENRICHMENT
from towpath.jobs.patience import Patience
from towpath.jobs.store.jobs import create_job, get_job
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import JobRef
from towpath.llm import LanguageModels, caps
from towpath.llm.bounds import max_price
from towpath.llm.gateway import LlmGateway
from towpath.llm.store.ledger import sum_job
from towpath.llm.types import Answer, LlmConfig, Prompt, ProviderConfig, Purpose, Site, WireFormat

pytestmark = pytest.mark.asyncio(loop_scope="session")
MODEL, OTHER = "openai::gpt-4o", "anthropic::claude-haiku-4-5"
FORM = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}
SITE = Site(Purpose.ENRICHMENT, 0)
WRONG, DOWN = Fault(content={"name": 7}), Fault(status=503)


async def nowhere() -> str:
    raise AssertionError("nobody asked for the local model")


def make_models(url: str) -> LanguageModels:
    return LanguageModels(
        LlmConfig(
            providers={
                "openai": ProviderConfig(url=f"{url}/v1", key=KEY, prices="openai"),
                "anthropic": ProviderConfig(api=WireFormat.ANTHROPIC, url=url, key=KEY, prices="anthropic"),
            },
            seconds=20.0,
        ),
        nowhere,
    )


class House:
    """A job, and two workers' gateways that ask for it."""

    def __init__(self, database: Database, provider: LlmServer) -> None:
        self.database, self.provider = database, provider
        self.models = [make_models(provider.url) for _ in range(2)]
        self.gateways = [LlmGateway(database, models, Patience(database, seconds=600)) for models in self.models]
        self.catalog = self.models[0].catalog
        self.ref = JobRef(organization=uuid4().hex, kind=BATCH_ENRICHMENT, job_id=uuid4())

    async def make(self, cap: float | None = None) -> JobRef:
        ref = self.ref
        async with self.database.transaction() as connection:
            row = JobRow(id=ref.job_id, organization=ref.organization, kind=ref.kind, max_cost_usd=cap)
            await create_job(connection, row)
        return ref

    async def ask(
        self,
        text: str,
        *,
        worker: int = 0,
        site: Site = SITE,
        model: str = MODEL,
        ref: JobRef | None = None,
        **more: Any,
    ) -> Answer:
        """One try of an activity."""
        prompt = Prompt(system="be exact", user=text, form=FORM, most_tokens=512)

        async def asking() -> Answer:
            return await self.gateways[worker].ask(ref or self.ref, model, prompt, site=site, **more)

        answer: Answer = await ActivityEnvironment().run(asking)
        return answer

    async def books(self) -> Books:
        return await books_of(self.database, self.ref.job_id)

    @property
    def bill(self) -> Usage:
        return bill_of(self.provider, self.catalog)


@pytest_asyncio.fixture(loop_scope="session")
async def house(database: Database, provider: LlmServer) -> AsyncIterator[House]:
    made = House(database, provider)
    yield made
    for gateway in made.gateways:
        await gateway.drain(5)
    for models in made.models:
        await models.close()


def assert_booked(books: Books, bill: Usage) -> None:
    assert books.ledger == books.job == as_sums(bill)
    assert books.reserved == 0


@pytest.mark.parametrize("model", [MODEL, OTHER])
@pytest.mark.parametrize(
    ("faults", "code"),
    [
        ([], "answered"),
        ([WRONG], "answered"),
        ([WRONG, WRONG, WRONG], "model_output_invalid"),
        ([Fault(refusal="no")] * 3, None),
        ([Fault(cut=True)] * 3, "model_output_invalid"),
        ([WRONG, Fault(status=400, message="refused")], "model_refused"),
        ([WRONG, Fault(status=400, message="maximum context length")], "context_length_exceeded"),
        ([WRONG, DOWN], "provider_unavailable"),
        ([WRONG, Fault(close=True)], "provider_unavailable"),
    ],
)
async def test_what_was_paid_is_booked_whatever_became_of_the_answer(
    house: House, faults: list[Fault], code: str | None, model: str
) -> None:
    await house.make()
    house.provider.faults = list(faults)
    house.provider.cached = 30

    try:
        usage = (await house.ask("Orion", model=model)).usage
    except ModelError as error:
        usage = error.usage

    assert house.bill.input_tokens
    assert usage == house.bill
    assert_booked(await house.books(), house.bill)
    async with house.database.transaction() as connection:
        cursor = await connection.execute(
            "SELECT outcome, cache_read_tokens > 0 FROM llm_ledger WHERE job_id = %s", (house.ref.job_id,)
        )
        [(outcome, is_cached)] = await cursor.fetchall()
    assert is_cached
    assert code is None or outcome == code


async def test_a_call_that_was_paid_nothing_has_no_line(house: House) -> None:
    await house.make(cap=10.0)
    house.provider.faults = [Fault(status=400, message="refused")]
    with pytest.raises(ModelError) as caught:
        await house.ask("Orion")
    assert caught.value.usage == Usage()
    books = await house.books()
    assert (books.lines, books.reserved) == (0, 0)


async def test_an_answer_is_booked_once_and_failed_tries_that_were_paid_are_booked_each(house: House) -> None:
    await house.make()
    house.provider.faults = [WRONG, DOWN, WRONG, WRONG, Fault(close=True)]
    for _ in range(2):
        with pytest.raises(ModelError) as caught:
            await house.ask("Orion")
        assert caught.value.retryable
    first = await house.ask("Orion")
    again = [await house.ask("Orion", worker=worker) for worker in (1, 0)]

    # 1 + 2 of no use, and the answer.
    assert len(house.provider.bill) == 4
    assert [answer.usage for answer in (first, *again)] == [house.bill] * 3
    assert not any(answer.cached for answer in (first, *again))
    books = await house.books()
    assert_booked(books, house.bill)
    assert books.lines == 3
    [total] = await sum_job(house.database, house.ref.job_id)
    assert (total.model, total.purpose, total.requests, total.failed) == (MODEL, "enrichment", 3, 2)


async def test_two_items_that_ask_the_same_pay_once_and_the_one_that_paid_has_the_cost(house: House) -> None:
    await house.make()
    first = await house.ask("Orion")
    second = await house.ask("Orion", site=Site(Purpose.ENRICHMENT, 1))
    assert (first.usage, second.usage, second.cached) == (house.bill, Usage(), True)
    assert_booked(await house.books(), house.bill)


async def test_an_answer_of_another_job_is_free_and_one_of_an_earlier_attempt_keeps_its_cost(house: House) -> None:
    ref = await house.make()
    await house.ask("Orion")
    later = await house.ask("Orion", ref=ref.model_copy(update={"attempt": 2}))
    assert (later.usage, later.cached) == (house.bill, False)
    other = House(house.database, house.provider)
    other.ref.organization = ref.organization
    await other.make()
    free = await other.ask("Orion")
    assert (free.usage, free.cached) == (Usage(), True)
    assert (await other.books()).lines == 0
    for models in other.models:
        await models.close()


@pytest.mark.parametrize("cap", [None, 1.0])
async def test_an_answer_that_comes_after_a_cancel_is_kept_and_booked(house: House, cap: float | None) -> None:
    await house.make(cap)
    gate = threading.Event()
    house.provider.faults = [Fault(gate=gate)]
    asking = asyncio.ensure_future(house.ask("Orion"))
    await asyncio.to_thread(until, lambda: house.provider.calls, "the call")
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    async with house.database.transaction() as connection:
        await connection.execute("UPDATE jobs SET state = 'CANCELLED' WHERE id = %s", (house.ref.job_id,))
    assert (await house.books()).lines == 0
    gate.set()
    await house.gateways[0].drain(20)

    assert house.bill.input_tokens == TOKENS_IN
    assert_booked(await house.books(), house.bill)
    kept = await house.ask("Orion", worker=1)
    assert (kept.data, kept.usage) == ({"name": kept.data["name"]}, house.bill)
    assert len(house.provider.calls) == 1


async def test_a_cancel_sends_nothing_more(house: House) -> None:
    """Neither what waits for a slot, nor the repair of an answer that comes after it."""
    await house.make()
    house.models[0]._config.concurrency = 1
    gate = threading.Event()
    house.provider.faults = [Fault(gate=gate, content={"name": 7}, match="first")]
    first = asyncio.ensure_future(house.ask("first"))
    await asyncio.to_thread(until, lambda: house.provider.calls, "the call")
    second = asyncio.ensure_future(house.ask("second"))
    while len(house.gateways[0]._flights) < 2:
        await asyncio.sleep(0)
    for asking in (first, second):
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    gate.set()
    await house.gateways[0].drain(20)

    assert len(house.provider.calls) == len(house.provider.bill) == 1
    assert_booked(await house.books(), house.bill)


async def test_a_request_that_outlasts_the_drain_is_given_up(house: House) -> None:
    await house.make()
    gate = threading.Event()
    house.provider.faults = [WRONG, Fault(gate=gate)]
    asking = asyncio.ensure_future(house.ask("Orion"))
    await asyncio.to_thread(until, lambda: len(house.provider.calls) == 2, "the repair")
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await house.gateways[0].drain(0.01)
    # What was paid before is known; what the repair costs, nobody has told.
    assert_booked(await house.books(), house.bill)
    gate.set()


class AwayDatabase(Database):
    """Postgres that breaks the connection at the next commits, after or before it has committed."""

    breaks: list[str]

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.breaks = []

    def transaction(self) -> Any:
        from contextlib import asynccontextmanager

        import psycopg

        @asynccontextmanager
        async def broken() -> AsyncIterator[Any]:
            how = self.breaks.pop(0) if self.breaks else ""
            async with super(AwayDatabase, self).transaction() as connection:
                yield connection
                if how == "before":
                    raise psycopg.OperationalError("the connection is lost")
            if how == "after":
                raise psycopg.OperationalError("the connection is lost")

        return broken()


@pytest.mark.parametrize("breaks", [["before"], ["after"], ["before", "after", "before"]])
async def test_a_booking_whose_commit_is_in_doubt_is_written_once(house: House, breaks: list[str]) -> None:
    await house.make()
    away = AwayDatabase(house.database.url)
    gateway = LlmGateway(away, house.models[0], Patience(house.database, seconds=600))
    away.breaks = list(breaks)
    prompt = Prompt(system="be exact", user="Orion", form=FORM)

    answer = await gateway.ask(house.ref, MODEL, prompt, site=SITE)

    assert away.breaks == []
    assert answer.usage == house.bill
    assert_booked(await house.books(), house.bill)
    assert (await house.books()).lines == 1
    await away.close()


async def run_all(*asking: Awaitable[Answer]) -> tuple[list[Answer], list[BaseException]]:
    outcomes = await asyncio.gather(*asking, return_exceptions=True)
    return (
        [outcome for outcome in outcomes if isinstance(outcome, Answer)],
        [outcome for outcome in outcomes if isinstance(outcome, BaseException)],
    )


async def test_a_cap_holds_over_all_workers_and_what_does_not_fit_is_refused(house: House) -> None:
    price = house.catalog.price(MODEL, TOKENS_IN, TOKENS_OUT)
    most = max_price(house.catalog, MODEL, Prompt(system="be exact", user="firm 00", form=FORM, most_tokens=512))
    cap = most + 4.5 * price
    await house.make(cap)

    answers, refused = await run_all(
        *(
            house.ask(f"firm {number:02}", worker=number % 2, site=Site(Purpose.ENRICHMENT, number))
            for number in range(20)
        )
    )

    assert len(answers) == 5
    assert {type(error) for error in refused} == {CostLimitError}
    assert {error.code for error in refused if isinstance(error, ModelError)} == {ErrorCode.COST_LIMIT}
    # Each fitted in at its most, so no two were ever in flight.
    assert house.provider.most_at_once == 1
    books = await house.books()
    assert_booked(books, house.bill)
    assert books.job[0] <= cap


async def test_a_repair_that_could_cost_too_much_is_not_sent(house: House) -> None:
    prompt = Prompt(system="be exact", user="Orion", form=FORM, most_tokens=512)
    most = max_price(house.catalog, MODEL, prompt)
    await house.make(most + 1e-9)
    house.provider.faults = [WRONG]
    with pytest.raises(CostLimitError) as caught:
        await house.ask("Orion")
    assert len(house.provider.calls) == 1
    assert caught.value.usage == house.bill
    assert_booked(await house.books(), house.bill)


async def test_an_answer_gets_as_much_room_as_there_is_money_for(house: House) -> None:
    prompt = Prompt(system="be exact", user="Orion", form=FORM, most_tokens=512)
    await house.make(max_price(house.catalog, MODEL, prompt, 300))
    with pytest.raises(CostLimitError):
        await house.ask("Orion")
    await house.ask("Orion", least_tokens=128)
    [call] = house.provider.calls
    assert call["max_completion_tokens"] in {299, 300}


async def test_what_a_dead_worker_has_set_aside_is_free_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = Prompt(system="be exact", user="Orion", form=FORM, most_tokens=512)
    await house.make(max_price(house.catalog, MODEL, prompt) * 1.5)
    async with house.database.transaction() as connection:
        await connection.execute(
            "INSERT INTO llm_reservations VALUES (%s, %s, 1.0, now() + interval '1 hour')",
            (uuid4(), house.ref.job_id),
        )
    looked = asyncio.Event()
    wait = asyncio.wait_for

    async def look(waiting: Any, seconds: float) -> Any:
        looked.set()
        return await wait(waiting, min(seconds, 0.01))

    monkeypatch.setattr(asyncio, "wait_for", look)
    asking = asyncio.ensure_future(house.ask("Orion"))
    await looked.wait()
    assert not house.provider.calls
    async with house.database.transaction() as connection:
        await connection.execute("UPDATE llm_reservations SET until = now() WHERE job_id = %s", (house.ref.job_id,))
    assert (await asking).usage == house.bill


async def test_reservations_are_renewed_while_their_calls_are_in_flight(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caps, "LEASE_SECONDS", 0.06)
    await house.make(1.0)
    gate = threading.Event()
    house.provider.faults = [Fault(gate=gate)]
    asking = asyncio.ensure_future(house.ask("Orion"))
    await asyncio.to_thread(until, lambda: house.provider.calls, "the call")
    ends = []
    while len(ends) < 4:
        async with house.database.transaction() as connection:
            cursor = await connection.execute(
                "SELECT until FROM llm_reservations WHERE job_id = %s", (house.ref.job_id,)
            )
            [(end,)] = await cursor.fetchall()
        if end not in ends:
            ends.append(end)
    assert ends == sorted(ends)
    gate.set()
    await asking
    assert_booked(await house.books(), house.bill)


async def test_a_job_that_is_gone_leaves_its_line(house: House) -> None:
    await house.ask("Orion")
    books = await house.books()
    assert (books.lines, books.ledger) == (1, as_sums(house.bill))
    await house.make()
    assert (await get_job(house.database, house.ref.organization, house.ref.job_id)).cost_usd == 0
