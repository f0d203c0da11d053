"""Vector tasks and search, each beside a bare script that uses the same model and the same Chroma server.

    python -m bench.vectors --size 20000

One line of JSON a figure. The bare script embeds and upserts batch after batch, two at once so that it keeps
both cores busy as two workers do; it has no queue, keeps no progress, and starts from nothing when it dies.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from bench import datasets
from bench.figures import tell
from towpath.db.migrate import migrate
from towpath.demo.client import Towpath
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.settings import Settings
from towpath.vectors.embedding import Embedder, make_embedder
from towpath.vectors.embedding.local import TOKENIZER, find_packaged
from towpath.vectors.types import LOCAL_MODEL, EmbeddingConfig

RUN = "/embeddings/upsertion-tasks/run"
CHUNK = 256
QUERIES = 300
WARM_UP = 30


def sentences(count: int, seed: int = 3) -> list[str]:
    """Texts of 6 to 24 words that the model knows, like titles and short descriptions."""
    from tokenizers import Tokenizer

    vocabulary = Tokenizer.from_file(str(find_packaged(TOKENIZER))).get_vocab()
    words = sorted(word for word in vocabulary if word.isascii() and word.isalpha() and len(word) > 3)
    chance = random.Random(seed)
    return [" ".join(chance.choices(words, k=chance.randrange(6, 25))) for _ in range(count)]


def as_items(texts: Sequence[str]) -> list[dict[str, Any]]:
    """Items of a task."""
    return [
        {"object_id": f"o{number}", "payload": {"text": text, "group": number % 10}}
        for number, text in enumerate(texts)
    ]


async def durable_task(towpath: Towpath, start: Callable[[], Any]) -> float:
    """Seconds from sending a task to its end."""
    began = time.perf_counter()
    task_id = (await asyncio.to_thread(start))["id"]
    while True:
        info = await asyncio.to_thread(
            towpath.call, "GET", "/embeddings/upsertion-tasks/info", params={"task_id": task_id}
        )
        if info["status"] not in {"pending", "processing"}:
            break
        await asyncio.sleep(0.05)
    if info["status"] != "done" or info["failed_items"]:
        raise RuntimeError(f"the task ended as {info}")
    return time.perf_counter() - began


async def bare_collection(url: str) -> Any:
    """Fill a collection of its own on the same server, with Chroma's usual settings and cosine."""
    import chromadb
    from chromadb.config import Settings as ChromaSettings

    address = urlsplit(url)
    client = await chromadb.AsyncHttpClient(
        host=address.hostname or "", port=address.port or 8000, settings=ChromaSettings(anonymized_telemetry=False)
    )
    return await client.create_collection(
        f"bare-{time.time_ns()}", configuration={"hnsw": {"space": "cosine"}}, embedding_function=None
    )


async def bare_loop(collection: Any, embedder: Embedder, texts: Sequence[str]) -> float:
    """Seconds of the bare script."""
    began = time.perf_counter()
    starts = iter(range(0, len(texts), CHUNK))

    async def work() -> None:
        for start in starts:
            part = list(texts[start : start + CHUNK])
            vectors = (await embedder.embed(part)).vectors
            await collection.upsert(
                ids=[f"o{start + number}" for number in range(len(part))],
                embeddings=vectors,
                documents=part,
                metadatas=[{"group": (start + number) % 10} for number in range(len(part))],
            )

    await asyncio.gather(work(), work())
    return time.perf_counter() - began


async def medians(calls: Sequence[Callable[[str], Awaitable[Any]]], queries: Sequence[str]) -> list[float]:
    """Median milliseconds of each call after a warm-up; in turn query by query, so that all meet the same machine."""
    times: list[list[float]] = [[] for _ in calls]
    for number, query in enumerate(queries):
        for call, series in zip(calls, times, strict=True):
            began = time.perf_counter()
            await call(query)
            if number >= WARM_UP:
                series.append((time.perf_counter() - began) * 1000)
    return [statistics.median(series) for series in times]


async def searches(towpath: Towpath, collection: Any, embedder: Embedder) -> None:
    """Search through the façade against the bare client, in turn on the same server."""
    import httpx

    queries = [text[:60] for text in sentences(QUERIES + WARM_UP, seed=8)]
    key = towpath.key
    async with httpx.AsyncClient(base_url=towpath.url, headers={"Authorization": f"Bearer {key}"}) as http:

        async def through_the_facade(query: str, **options: Any) -> None:
            body = {"search_query": query, "limit": 10, **options}
            (await http.post("/embeddings/similarity-search", json=body)).raise_for_status()

        async def filtered(query: str) -> None:
            await through_the_facade(query, filter={"group": 3})

        async def bare(query: str) -> None:
            vector = (await embedder.embed([query])).vectors[0]
            await collection.query(query_embeddings=[vector], n_results=10)

        async def bare_filtered(query: str) -> None:
            vector = (await embedder.embed([query])).vectors[0]
            await collection.query(query_embeddings=[vector], n_results=10, where={"group": 3})

        for figure, ours, theirs in (
            ("search", through_the_facade, bare),
            ("search with a filter that keeps a tenth", filtered, bare_filtered),
        ):
            low, high = await medians((theirs, ours), queries)
            tell(figure, queries=QUERIES, p50_ms=round(high, 2), bare_p50_ms=round(low, 2), ratio=round(high / low, 2))


async def chroma_batches(url: str, vectors: Any) -> None:
    """Measure how fast the server takes new vectors, by batch size and number of clients."""
    base: float | None = None
    for size, clients in ((256, 1), (64, 1), (1000, 1), (4000, 1), (64, 4), (256, 2), (256, 4), (1000, 2)):
        collection = await bare_collection(url)
        starts = iter(range(0, len(vectors), size))

        async def work(collection: Any = collection, starts: Any = starts, size: int = size) -> None:
            for start in starts:
                part = vectors[start : start + size]
                await collection.add(ids=[str(start + number) for number in range(len(part))], embeddings=part)

        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(clients)))
        speed = len(vectors) / (time.perf_counter() - began)
        base = base or speed
        tell("insert into Chroma", batch=size, clients=clients, a_second=round(speed), ratio=round(speed / base, 2))


async def retrieval(embedder: Embedder) -> None:
    """Measure how often the true partner of a record is first, or among ten, against a fuzzy comparison of words."""
    from rapidfuzz import fuzz, process

    for name, load in (("abt-buy", datasets.abt_buy), ("dblp-acm", datasets.dblp_acm)):
        try:
            data = load()
        except FileNotFoundError:
            tell("retrieval", data=name, skipped="the data set is not here")
            continue
        texts = {
            row["id"]: " ".join(str(value) for field, value in row.items() if field not in {"id", "source"} and value)
            for row in data.rows
        }
        sides = sorted({row["source"] for row in data.rows})
        left, right = ([row["id"] for row in data.rows if row["source"] == side] for side in sides)
        partners: dict[str, set[str]] = {}
        for pair in data.pairs:
            first, second = pair if pair[0] in set(left) else pair[::-1]
            partners.setdefault(first, set()).add(second)
        queries = [uid for uid in left if uid in partners]
        began = time.perf_counter()
        vectors = {}
        for ids in (queries, right):
            vectors[id(ids)] = (await embedder.embed([texts[uid] for uid in ids])).vectors
        seconds = time.perf_counter() - began
        near = vectors[id(queries)] @ vectors[id(right)].T
        fuzzy = process.cdist(
            [texts[uid] for uid in queries], [texts[uid] for uid in right], scorer=fuzz.token_set_ratio
        )
        recall = {}
        for method, scores in (("model", near), ("words", fuzzy)):
            order = np.argsort(-scores, axis=1, kind="stable")[:, :10]
            for most in (1, 10):
                hits = [
                    any(right[index] in partners[uid] for index in row[:most])
                    for uid, row in zip(queries, order, strict=True)
                ]
                recall[f"{method}_recall_at_{most}"] = round(sum(hits) / len(hits), 3)
        ratio = round(recall["model_recall_at_10"] / recall["words_recall_at_10"], 3)
        tell(
            "retrieval", data=name, model=embedder.model, texts_a_second=round((len(queries) + len(right)) / seconds),
            ratio=ratio, **recall,
        )  # fmt: skip


async def run(size: int) -> None:
    """Measure and print all figures."""
    embedder = make_embedder(EmbeddingConfig(model=LOCAL_MODEL, threads=2))
    texts = sentences(size)
    with tempfile.TemporaryDirectory(prefix="towpath-bench-") as folder:
        settings = Settings(home=Path(folder) / "home", port=0, ui_port=0, workers=2)
        async with EmbeddedStack(settings, echo=False, prepare=migrate) as stack:
            await stack.start_chroma()
            towpath = Towpath(stack.api_url, stack.api_key)
            first = await durable_task(
                towpath, lambda: towpath.call("POST", RUN, json={"task_id": "first", "items": as_items(texts)})
            )
            tell("durable task", items=size, seconds=round(first, 2), items_a_second=round(size / first))
            again = await durable_task(
                towpath,
                lambda: towpath.call("PUT", "/embeddings/upsertion-tasks/restart", params={"task_id": "first"}),
            )
            tell("restart without a change", items=size, seconds=round(again, 2), ratio=round(first / again, 1))
            collection = await bare_collection(stack.chroma_url)
            bare = await bare_loop(collection, embedder, texts)
            tell("durable against bare loop", items=size, bare_seconds=round(bare, 2), ratio=round(bare / first, 3))
            await searches(towpath, collection, embedder)
            vectors = np.random.default_rng(1).standard_normal((12_000, 384)).astype(np.float32)
            await chroma_batches(stack.chroma_url, vectors)
    await retrieval(embedder)
    await embedder.close()


def main() -> None:
    """Entry of `python -m bench.vectors`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=20_000, help="items of the task (default: %(default)s)")
    asyncio.run(run(parser.parse_args().size))


if __name__ == "__main__":
    main()
