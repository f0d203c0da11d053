"""Embedders: the local model as it is installed, and a remote one through the official client."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest

from tests.support.embedding_server import KEY, EmbeddingServer, embedding_server, vector_of
from towpath.core.errors import BadInputError, ErrorCode, JobFaultError, TooManyError, UnavailableError
from towpath.vectors.embedding import Splitter, make_embedder
from towpath.vectors.embedding.local import DIMENSIONS, LocalEmbedder
from towpath.vectors.embedding.remote import RemoteEmbedder
from towpath.vectors.types import LOCAL_MODEL, EmbeddingConfig

TEXTS = [
    "a cat sleeps on the sofa", "the kitten naps on the couch", "quarterly revenue grew by ten percent", "",
    "x " * 600, "Füße 漢字 🦜", "the annual turnover of the firm",
]  # fmt: skip


@pytest.fixture(scope="module")
def local() -> LocalEmbedder:
    return LocalEmbedder(EmbeddingConfig(model=LOCAL_MODEL, threads=2))


@pytest.fixture
def server() -> Iterator[EmbeddingServer]:
    with embedding_server() as served:
        yield served


def remote(server: EmbeddingServer, **more: object) -> RemoteEmbedder:
    made = make_embedder(
        EmbeddingConfig.model_validate({"model": "openai::test-embed", "url": server.url, "key": KEY, **more})
    )
    assert isinstance(made, RemoteEmbedder)
    return made


async def test_what_means_the_same_lies_close(local: LocalEmbedder) -> None:
    vectors = (await local.embed(TEXTS)).vectors

    assert vectors.shape == (len(TEXTS), DIMENSIONS)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    nearness = vectors @ vectors.T
    assert nearness[0, 1] > 0.6 > nearness[0, 2]
    assert nearness[2, 6] > nearness[2, 1]


async def test_a_text_has_the_same_vector_in_any_company(local: LocalEmbedder) -> None:
    together = (await local.embed(TEXTS)).vectors
    for place, text in enumerate(TEXTS):
        alone = (await local.embed([text])).vectors[0]
        assert float(together[place] @ alone) > 1 - 1e-5

    turned = (await local.embed(TEXTS[::-1])).vectors[::-1]
    assert np.allclose(together, turned, atol=1e-5)


async def test_calls_at_once_do_not_mix(local: LocalEmbedder) -> None:
    texts = [f"text number {number}" for number in range(40)]
    whole = (await local.embed(texts)).vectors
    parts = await asyncio.gather(*(local.embed([text]) for text in texts))

    assert np.allclose(whole, np.concatenate([part.vectors for part in parts]), atol=1e-4)


async def test_no_text_gives_no_vector(local: LocalEmbedder) -> None:
    assert (await local.embed([])).vectors.shape == (0, DIMENSIONS)


def test_a_long_text_is_cut_into_bounded_parts_that_overlap_and_lose_nothing() -> None:
    words = [f"word{number}" for number in range(3000)]
    splitter = Splitter(part_tokens=100, overlap=20)

    parts = splitter.split(" ".join(words))

    from tokenizers import Tokenizer

    from towpath.vectors.embedding.local import TOKENIZER, find_packaged

    tokenizer = Tokenizer.from_file(str(find_packaged(TOKENIZER)))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    assert all(len(tokenizer.encode(part, add_special_tokens=False).ids) <= 100 for part in parts)
    seen: list[str] = []
    overlapped = 0
    for part in parts:
        own = part.split()
        overlapped += sum(1 for word in own if word in seen[-40:])
        seen += [word for word in own if word not in seen[-40:]]
    assert seen == words
    assert overlapped > len(parts)


def test_a_short_text_is_one_part_and_a_book_is_refused() -> None:
    splitter = Splitter(part_tokens=20, overlap=4)

    assert splitter.split("short") == ["short"]
    for text in ("x" * 2_000_001, "word and another. " * 20_000):
        with pytest.raises(BadInputError) as caught:
            splitter.split(text)
        assert caught.value.code is ErrorCode.TOO_MANY_PARTS


async def test_a_remote_model_is_asked_in_batches_and_told_apart_by_index(server: EmbeddingServer) -> None:
    texts = [f"text {number}" for number in range(10)]
    embedder = remote(server, batch=4)

    embedded = await embedder.embed(texts)

    assert [len(call["input"]) for call in server.calls] == [4, 4, 2]
    assert server.calls[0]["model"] == "test-embed"
    assert np.allclose(embedded.vectors, np.array([vector_of(text) for text in texts]), atol=1e-6)
    assert embedded.tokens == 30
    await embedder.close()


async def test_each_failure_of_a_remote_model_is_told_as_what_it_is(server: EmbeddingServer) -> None:
    embedder = remote(server)
    cases: list[tuple[int, dict[str, str], type[Exception], int | None]] = [
        (429, {"Retry-After": "7"}, TooManyError, 7),
        (500, {}, UnavailableError, None),
        (503, {"Retry-After": "9"}, UnavailableError, 9),
        (400, {}, BadInputError, None),
        (422, {}, BadInputError, None),
        (401, {}, JobFaultError, None),
        (403, {}, JobFaultError, None),
        (404, {}, JobFaultError, None),
    ]
    for status, headers, error, wait in cases:
        server.script = [(status, headers)]
        with pytest.raises(error) as caught:
            await embedder.embed(["text"])
        assert caught.value.retry_after == wait, status  # type: ignore[attr-defined]
    # One call each: the client's own retries are off.
    assert len(server.calls) == len(cases)
    await embedder.close()


async def test_a_remote_model_that_is_not_there_may_come_back() -> None:
    with embedding_server() as served:
        embedder = remote(served)
    with pytest.raises(UnavailableError):
        await embedder.embed(["text"])
    await embedder.close()


def test_an_unknown_model_and_a_missing_key_say_what_to_set() -> None:
    with pytest.raises(JobFaultError, match="openai::<model>"):
        make_embedder(EmbeddingConfig(model="word2vec"))
    with pytest.raises(JobFaultError, match="TOWPATH_EMBEDDING_KEY"):
        make_embedder(EmbeddingConfig(model="openai::x"))
