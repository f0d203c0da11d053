"""Requests of the embeddings API: passed on as they are, or answered by the local model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.embedding_server import DIMENSIONS, KEY, EmbeddingServer, embedding_server, vector_of
from towpath.core.errors import BadInputError, JobFaultError, TooManyError, TowpathError
from towpath.vectors.embedding.requests import EmbeddingRequests
from towpath.vectors.types import LOCAL_MODEL, EmbeddingConfig

MODEL = "openai::text-embedding-3-small"


@pytest.fixture
def server() -> Iterator[EmbeddingServer]:
    with embedding_server() as served:
        yield served


@pytest_asyncio.fixture
async def remote(server: EmbeddingServer) -> AsyncIterator[EmbeddingRequests]:
    requests = EmbeddingRequests(EmbeddingConfig(model=MODEL, url=server.url, key=KEY))
    yield requests
    await requests.close()


async def test_a_request_is_passed_on_as_it_is_but_for_the_model(
    remote: EmbeddingRequests, server: EmbeddingServer
) -> None:
    body = {"model": MODEL, "input": ["a", "b"], "dimensions": DIMENSIONS, "user": "u", "encoding_format": "float"}

    reply = await remote.answer(MODEL, body)

    assert server.calls == [{**body, "model": "text-embedding-3-small"}]
    found = {one["index"]: one["embedding"] for one in reply.body["data"]}
    assert found == {0: vector_of("a"), 1: vector_of("b")}
    assert reply.status == 200 and reply.usage.input_tokens == 6


@pytest.mark.parametrize(
    ("script", "error"),
    [((429, {"Retry-After": "7"}), TooManyError), ((400, {}), BadInputError), ((404, {}), JobFaultError)],
)
async def test_what_the_endpoint_refuses_is_an_error_of_ours(
    remote: EmbeddingRequests, server: EmbeddingServer, script: tuple[int, dict[str, str]], error: type[TowpathError]
) -> None:
    server.script = [script]

    with pytest.raises(error) as raised:
        await remote.answer(MODEL, {"model": MODEL, "input": "a"})

    assert raised.value.retry_after == (7 if script[0] == 429 else None)
    assert raised.value.retryable is (script[0] == 429)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": [1, 2, 3]}, "input"),
        ({"input": ["a", ""]}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"input": "word " * 300}, "input"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"dimensions": 5}, "dimensions"),
        ({"user": "u"}, "user"),
    ],
)
async def test_the_local_model_refuses_what_it_does_not_do(change: dict[str, Any], field: str) -> None:
    local = EmbeddingRequests(EmbeddingConfig())
    try:
        with pytest.raises(BadInputError) as error:
            await local.answer(LOCAL_MODEL, {"model": LOCAL_MODEL, "input": "a", **change})
    finally:
        await local.close()

    assert error.value.field == field
