"""The batch endpoints of both protocols through the real SDKs: what is sent, found again, cancelled and read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import orjson
import pytest
import pytest_asyncio

from tests.support.batch_server import ERRORED, EXPIRED, BatchLlmServer, batch_server
from tests.support.builders import providers
from towpath.llm.batches.cutting import batch_name, custom_id
from towpath.llm.batches.remote import BatchEndpoint, make_endpoint
from towpath.llm.batches.types import NamedCall, RemoteBatch, ResultKind
from towpath.llm.models import LanguageModels
from towpath.llm.types import LlmConfig, Prompt, WireFormat

MODELS = {"openai": "openai::gpt-4o", "anthropic": "anthropic::claude-haiku-4-5"}
FORM = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
LONG_AGO = datetime.now(UTC) - timedelta(minutes=5)
NOBODY: frozenset[str] = frozenset()


@pytest.fixture(scope="module")
def served() -> Iterator[BatchLlmServer]:
    with batch_server() as server:
        yield server


@pytest.fixture
def server(served: BatchLlmServer) -> BatchLlmServer:
    served.reset()
    return served


@pytest.fixture(params=["openai", "anthropic"])
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def config(server: BatchLlmServer) -> LlmConfig:
    known = providers(server.url)
    known["anthropic"].api, known["anthropic"].prices = WireFormat.ANTHROPIC, "anthropic"
    return LlmConfig(providers=known)


@pytest_asyncio.fixture(loop_scope="session")
async def endpoint(server: BatchLlmServer, provider: str) -> AsyncIterator[BatchEndpoint]:
    made = make_endpoint(config(server).providers[provider], seconds=30, max_calls=1000)
    yield made
    await made.close()


async def calls_of(server: BatchLlmServer, provider: str, name: str, count: int) -> list[NamedCall]:
    async def nowhere() -> str:
        raise AssertionError("no local model")

    models = LanguageModels(config(server), nowhere)
    calls = []
    for number in range(1, count + 1):
        prompt = Prompt(system="You know cities.", user=f"Where is {name}, {number}?", form=FORM)
        body = await models.body_of("acme", MODELS[provider], prompt)
        calls.append(NamedCall(custom_id(name, number), body))
    await models.close()
    return calls


async def send(server: BatchLlmServer, provider: str, endpoint: BatchEndpoint, name: str, count: int) -> RemoteBatch:
    calls = await calls_of(server, provider, name, count)
    return await endpoint.create(name, calls, await endpoint.upload(name, calls, again=False))


@pytest.mark.asyncio(loop_scope="session")
async def test_a_batch_is_sent_looked_at_and_read(
    server: BatchLlmServer, provider: str, endpoint: BatchEndpoint
) -> None:
    server.ends = False
    server.outcome = lambda _model, prompt: {"2?": ERRORED, "3?": EXPIRED}.get(prompt[-2:], "answered")
    name = batch_name(uuid4())
    sent = await send(server, provider, endpoint, name, 3)
    assert not sent.has_ended
    assert not server.calls, "no call of its own was made"
    server.finish()
    ended = await endpoint.look(sent.id)
    assert (ended.has_ended, ended.answered, ended.failed) == (True, 1, 2)
    results = {result.custom_id: result async for result in endpoint.results(ended)}
    assert [results[custom_id(name, number)].kind for number in (1, 2, 3)] == [
        ResultKind.ANSWERED, ResultKind.FAILED, ResultKind.EXPIRED,
    ]  # fmt: skip
    assert "usage" in orjson.loads(results[custom_id(name, 1)].reply)
    assert results[custom_id(name, 2)].problem == "as told"


@pytest.mark.asyncio(loop_scope="session")
async def test_a_batch_that_was_created_and_never_answered_is_found(
    server: BatchLlmServer, provider: str, endpoint: BatchEndpoint
) -> None:
    mine, other, never = (batch_name(uuid4()) for _ in range(3))
    await send(server, provider, endpoint, other, 2)
    sent = await send(server, provider, endpoint, mine, 2)
    found = (await endpoint.find(mine, calls=2, since=LONG_AGO, known=NOBODY)).match
    assert found is not None
    assert found.id == sent.id
    search = await endpoint.find(never, calls=2, since=LONG_AGO, known=NOBODY)
    assert (search.match, search.undecided) == (None, False)


@pytest.mark.asyncio(loop_scope="session")
async def test_a_batch_without_a_name_that_still_runs_leaves_the_search_undecided(server: BatchLlmServer) -> None:
    server.ends = False
    mine, other = batch_name(uuid4()), batch_name(uuid4())
    endpoint = make_endpoint(config(server).providers["anthropic"], seconds=30, max_calls=1000)
    running = await send(server, "anthropic", endpoint, other, 2)
    # Of as many calls: it may be the one. Of another number, or known to be another one: it is not.
    for count, known, undecided in ((2, NOBODY, True), (3, NOBODY, False), (2, frozenset({running.id}), False)):
        search = await endpoint.find(mine, calls=count, since=LONG_AGO, known=known)
        assert (search.match, search.undecided) == (None, undecided)
    server.finish()
    search = await endpoint.find(mine, calls=2, since=LONG_AGO, known=NOBODY)
    assert (search.match, search.undecided) == (None, False)
    await endpoint.close()


@pytest.mark.asyncio(loop_scope="session")
async def test_an_uploaded_file_is_taken_by_a_later_try(server: BatchLlmServer) -> None:
    name = batch_name(uuid4())
    endpoint = make_endpoint(config(server).providers["openai"], seconds=30, max_calls=1000)
    calls = await calls_of(server, "openai", name, 2)
    first = await endpoint.upload(name, calls, again=False)
    assert await endpoint.upload(name, calls, again=True) == first
    assert await endpoint.upload(name, calls[:1], again=True) != first, "it is not whole"
    await endpoint.close()


@pytest.mark.asyncio(loop_scope="session")
async def test_a_cancel_keeps_what_was_answered(server: BatchLlmServer, provider: str, endpoint: BatchEndpoint) -> None:
    server.ends = False
    sent = await send(server, provider, endpoint, batch_name(uuid4()), 3)
    server.answer_some(1)
    await endpoint.cancel(sent.id)
    ended = await endpoint.look(sent.id)
    assert (ended.has_ended, ended.answered) == (True, 1)
    kinds = [result.kind async for result in endpoint.results(ended)]
    assert sorted(kinds) == [ResultKind.ANSWERED, ResultKind.CANCELLED, ResultKind.CANCELLED]
    # One that has ended is left as it is.
    assert (await endpoint.cancel(sent.id)).has_ended
