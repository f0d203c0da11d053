"""The chunks of upsertion and deletion tasks.

A chunk's way: what has changed? -> texts -> parts -> vectors, kept in Postgres as they come -> the index
-> one transaction that makes them live and counts the chunk -> what was replaced leaves the index.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from towpath.core.errors import BadInputError, ErrorCode, JobFaultError, TooManyError, TowpathError, UnavailableError
from towpath.core.json_values import parse_json, write_json
from towpath.db.engine import Connection, Database
from towpath.jobs.domain import Outcome, count_outcomes
from towpath.jobs.faults import judge_item_failure
from towpath.jobs.pages import record_page
from towpath.jobs.params import load_params
from towpath.jobs.patience import Patience
from towpath.jobs.store import jobs as job_store
from towpath.jobs.store.staging import Page, Retake, add_failures, load_page, plan_pages, save_outcomes
from towpath.jobs.types import Cost, FailedItem, JobRef, PagePlan, PageTask, Progress
from towpath.vectors.domain.items import digest_of, entry_of, item_source, payload_text, text_version
from towpath.vectors.embedding import Embedder, Splitter
from towpath.vectors.params import TaskParams
from towpath.vectors.sources import Sources
from towpath.vectors.store import objects as store
from towpath.vectors.store.answers import sweep_answers
from towpath.vectors.store.collections import Collections
from towpath.vectors.store.entries import read_entries
from towpath.vectors.store.garbage import collect_garbage, sweep_marks
from towpath.vectors.store.index import VectorIndex
from towpath.vectors.store.refill import find_incomplete_collections, refill_index
from towpath.vectors.types import CollectionRef, FailureStage, Phase

logger = logging.getLogger("towpath.vectors")

FETCHES = 8
# Between two looks whether the index still holds what it was given.
LOOK_SECONDS = 300.0
# What is lost at most when a worker dies: the vectors of one group.
GROUP_BATCHES = 2


@dataclass(slots=True)
class Item:
    """One item of a chunk on its way; exactly one of `draft` and `failure` is set in the end."""

    place: int
    uid: int
    raw: bytes
    data: dict[str, Any]
    text: str = ""
    parts: list[str] = field(default_factory=list)
    draft: store.Draft | None = None
    failure: FailedItem | None = None
    unchanged: bool = False


@dataclass(frozen=True, slots=True)
class TaskScope:
    """Where a task writes."""

    collection: CollectionRef
    accepted: int


class TaskChunks:
    """Works through the pages of tasks, and keeps the index in order.

    Args:
        database: Where tasks and objects are.
        index: The vector index.
        make_embedder: Makes this process's embedder; called once, when it is needed.
        sources: Files that items name.
        patience: How long an endpoint that does not answer is waited for.
    """

    def __init__(
        self,
        database: Database,
        index: VectorIndex,
        make_embedder: Callable[[], Embedder],
        sources: Sources,
        patience: Patience,
    ) -> None:
        self._database = database
        self._index = index
        self._make_embedder = make_embedder
        self._embedder: Embedder | None = None
        self._splitter: Splitter | None = None
        self._sources = sources
        self._patience = patience
        self._collections = Collections()
        self._next_look = 0.0

    async def plan(self, ref: JobRef) -> PagePlan:
        """Find the pages with work left."""
        async with self._database.transaction() as connection:
            await job_store.lock_job(connection, ref.organization, ref.job_id)
            await job_store.assert_active(connection, ref)
            # A restart has set back what it takes up again when it was accepted.
            pages = await plan_pages(connection, ref.job_id, retake=Retake.NONE)
            params = await load_params(connection, ref, TaskParams)
        await self._scope(ref, params)
        return PagePlan(pages=pages)

    async def upsert_page(self, task: PageTask) -> Progress:
        """Embed and store a page's items."""
        async with self._database.transaction() as connection:
            await job_store.assert_active(connection, task.ref)
            page = await load_page(connection, task.ref.job_id, task.page, lock=False)
            params = await load_params(connection, task.ref, TaskParams)
        embedder = self._open_embedder(params.model)
        scope = await self._scope(task.ref, params)
        items = list(_waiting(page))
        if not items:
            return count_outcomes(page.outcomes)
        await self._read(task.ref.organization, items, page.first_index)
        await self._compare(items, scope, embedder)
        cost = await self._embed(task, items, scope, embedder, page.first_index)
        await self._add(items, scope)
        async with self._database.transaction() as connection:
            change = await _store(connection, task, scope, items, cost)
        await self._clean(scope)
        return change

    async def _read(self, organization: str, items: list[Item], first_index: int) -> None:
        """Read the text of each item, or note why there is none."""
        slots = asyncio.Semaphore(FETCHES)

        async def read(item: Item) -> None:
            try:
                item.text = await self._text(organization, item, slots)
            except TowpathError as error:
                code: ErrorCode = ErrorCode.SOURCE_FAILED
                if error.code is ErrorCode.NOTHING_TO_EMBED:
                    code = error.code
                item.failure = _failure(item, first_index, FailureStage.DOWNLOADING, code, error.detail)
            except Exception as error:
                ended = judge_item_failure(error, f"the source of the item {item.data['object_id']!r}")
                item.failure = _failure(item, first_index, FailureStage.DOWNLOADING, *ended)

        await asyncio.gather(*(read(item) for item in items))

    async def _text(self, organization: str, item: Item, slots: asyncio.Semaphore) -> str:
        text = payload_text(item.data.get("payload"))
        if text is not None:
            return text
        source = item_source(item.data.get("item_info"))
        if source is not None:
            async with slots:
                text = await self._sources.read(organization, source)
        if not text or not text.strip():
            raise BadInputError("nothing to embed", code=ErrorCode.NOTHING_TO_EMBED)
        return text

    async def _compare(self, items: list[Item], scope: TaskScope, embedder: Embedder) -> None:
        """Make a draft of each item; one whose text is live already needs no vectors."""
        number = scope.collection.collection_no
        async with self._database.transaction() as connection:
            standings = await store.read_standings(connection, number, [item.uid for item in items])
        for item in items:
            if item.failure is not None:
                continue
            payload, info = item.data.get("payload"), item.data.get("item_info")
            draft = store.Draft(
                uid=item.uid,
                object_id=item.data["object_id"],
                version=text_version(item.text, part_tokens=embedder.part_tokens, overlap=embedder.overlap),
                digest=digest_of([payload, info]),
                payload=None if payload is None else write_json(payload).decode(),
                item_info=None if info is None else write_json(info).decode(),
            )
            standing = standings.get(item.uid)
            if standing is not None and standing.version == draft.version:
                draft.parts = standing.parts
                item.unchanged = standing.digest == draft.digest
            item.draft = draft

    async def _embed(
        self, task: PageTask, items: list[Item], scope: TaskScope, embedder: Embedder, first_index: int
    ) -> Cost:
        """Give every draft that needs them its vectors, and keep those in Postgres group by group.

        What the collection has the vector of is not embedded, whichever object it came with.
        """
        cost = Cost()
        fresh = [item for item in items if item.draft is not None and not item.draft.parts]
        await asyncio.to_thread(self._split, fresh, embedder, first_index)
        fresh = [item for item in fresh if item.draft is not None]
        number = scope.collection.collection_no
        async with self._database.transaction() as connection:
            vector_of = await read_entries(
                connection, number, {entry for item in fresh for entry in _draft(item).entries}
            )
        await self._keep([item for item in fresh if _take(item, vector_of)], scope)
        missing = sorted((item for item in fresh if _draft(item).vectors is None), key=lambda item: len(item.text))
        for group in _groups(missing, embedder.batch * GROUP_BATCHES):
            await self._embed_group(task, group, embedder, cost, first_index, vector_of)
            await self._keep([item for item in group if item.draft is not None and _take(item, vector_of)], scope)
        return cost

    def _split(self, items: list[Item], embedder: Embedder, first_index: int) -> None:
        if self._splitter is None:
            self._splitter = Splitter(part_tokens=embedder.part_tokens, overlap=embedder.overlap)
        for item in items:
            try:
                item.parts = self._splitter.split(item.text)
                _draft(item).parts = len(item.parts)
                _draft(item).entries = [entry_of(part) for part in item.parts]
            except BadInputError as error:
                item.draft = None
                item.failure = _failure(item, first_index, FailureStage.SPLITTING, error.code, error.detail)
            except Exception as error:
                item.draft = None
                ended = judge_item_failure(error, f"the text of the item {item.data['object_id']!r}")
                item.failure = _failure(item, first_index, FailureStage.SPLITTING, *ended)

    async def _keep(self, items: list[Item], scope: TaskScope) -> None:
        if items:
            async with self._database.transaction() as connection:
                await store.store_vectors(connection, scope.collection.collection_no, [_draft(item) for item in items])

    async def _embed_group(
        self,
        task: PageTask,
        group: list[Item],
        embedder: Embedder,
        cost: Cost,
        first_index: int,
        vector_of: dict[int, store.Vector],
    ) -> None:
        call = f"embed:{task.page}"
        texts = {
            entry: part
            for item in group
            for entry, part in zip(_draft(item).entries, item.parts, strict=True)
            if entry not in vector_of
        }
        if not texts:
            # Each came with an item before.
            return
        try:
            embedded = await embedder.embed(list(texts.values()))
        except BadInputError as error:
            if len(group) > 1:
                # One text is refused; alone, each shows whether it is the one.
                for item in group:
                    await self._embed_group(task, [item], embedder, cost, first_index, vector_of)
                return
            group[0].draft = None
            code = ErrorCode.EMBEDDING_FAILED
            group[0].failure = _failure(group[0], first_index, FailureStage.INFERENCE, code, error.detail)
            return
        except (TooManyError, UnavailableError) as error:
            judged = await self._patience.judge(task.ref, embedder.model, call, error)
            if judged.retryable:
                raise
            for item in group:
                item.draft = None
                item.failure = _failure(item, first_index, FailureStage.INFERENCE, judged.code, judged.detail)
            return
        await self._patience.note_answer(task.ref, call)
        cost.usd += embedded.usd
        cost.input_tokens += embedded.tokens
        vector_of |= zip(texts, embedded.vectors, strict=True)

    async def _add(self, items: list[Item], scope: TaskScope) -> None:
        entries = store.entries_of([item.draft for item in items if item.draft is not None])
        if entries:
            await self._index.add(scope.collection.collection_no, list(entries), np.stack(list(entries.values())))

    async def delete_page(self, task: PageTask) -> Progress:
        """Delete a page's objects."""
        async with self._database.transaction() as connection:
            params = await load_params(connection, task.ref, TaskParams)
        scope = await self._scope(task.ref, params)
        number = scope.collection.collection_no
        async with self._database.transaction() as connection:
            page = await load_page(connection, task.ref.job_id, task.page)
            await job_store.assert_active(connection, task.ref)
            before = count_outcomes(page.outcomes)
            places = np.flatnonzero(page.outcomes == Outcome.WAITING).tolist()
            objects = [(int(page.uids[place]), str(parse_json(page.lines[place]))) for place in places]
            written = await store.delete_objects(connection, number, objects, accepted=scope.accepted)
            for place in places:
                missing = int(page.uids[place]) in written.missing
                page.outcomes[place] = Outcome.UNCHANGED if missing else Outcome.DONE
            await save_outcomes(connection, task.ref.job_id, task.page, page.outcomes, 1)
            change = await record_page(connection, task, Phase.DELETE, before, count_outcomes(page.outcomes))
        await self._clean(scope)
        return change

    async def _clean(self, scope: TaskScope) -> None:
        """Take what was replaced out of the index now; what is left over, the housekeeping takes."""
        try:
            while await collect_garbage(self._database, self._index, collection_no=scope.collection.collection_no):
                pass
        except UnavailableError as error:
            logger.info("left to the housekeeping: %s", error.detail)

    async def tend_index(self) -> int:
        """Take what is not live out of the index, give back what it has lost, delete old marks and answers.

        Returns:
            How many versions went: call again while it is not 0.
        """
        await sweep_marks(self._database)
        await sweep_answers(self._database)
        try:
            await self._refill()
            return await collect_garbage(self._database, self._index)
        except UnavailableError as error:
            logger.warning("the index does not answer the housekeeping: %s", error.detail)
            return 0

    async def _refill(self) -> None:
        now = time.monotonic()
        if now < self._next_look:
            return
        for number in await find_incomplete_collections(self._database, self._index):
            logger.warning("the index lacks vectors of the collection %s; adding them", number)
            await refill_index(self._database, self._index, number)
        self._next_look = now + LOOK_SECONDS

    def _open_embedder(self, model: str) -> Embedder:
        if self._embedder is None:
            self._embedder = self._make_embedder()
        if self._embedder.model != model:
            raise JobFaultError(f"no worker serves the embedding model {model}", code=ErrorCode.REFUSED)
        return self._embedder

    async def _scope(self, ref: JobRef, params: TaskParams) -> TaskScope:
        collection = await self._collections.ensure(self._database, ref.organization, params.collection, params.model)
        return TaskScope(collection, params.order)


def _draft(item: Item) -> store.Draft:
    if item.draft is None:
        raise AssertionError("only items with a draft get here")
    return item.draft


def _take(item: Item, vector_of: dict[int, store.Vector]) -> bool:
    """Give a draft its vectors when all of them are known."""
    draft = _draft(item)
    if any(entry not in vector_of for entry in draft.entries):
        return False
    draft.vectors = np.stack([vector_of[entry] for entry in draft.entries])
    return True


def _waiting(page: Page) -> Iterator[Item]:
    for place in np.flatnonzero(page.outcomes == Outcome.WAITING).tolist():
        raw = page.lines[place]
        item = Item(place=place, uid=int(page.uids[place]), raw=raw, data=parse_json(raw))
        yield item


def _failure(item: Item, first_index: int, stage: FailureStage, code: ErrorCode, message: str) -> FailedItem:
    return FailedItem(
        index=first_index + item.place,
        id=item.data["object_id"],
        stage=stage,
        code=code,
        message=message,
        item=item.raw.decode(),
    )


def _groups(items: list[Item], most_parts: int) -> Iterator[list[Item]]:
    group: list[Item] = []
    parts = 0
    for item in items:
        if group and parts + len(item.parts) > most_parts:
            yield group
            group, parts = [], 0
        group.append(item)
        parts += len(item.parts)
    if group:
        yield group


async def _store(connection: Connection, task: PageTask, scope: TaskScope, items: list[Item], cost: Cost) -> Progress:
    """Make vectors live, and write outcomes and counts: the chunk's one transaction at its end."""
    number, ref = scope.collection.collection_no, task.ref
    page = await load_page(connection, ref.job_id, task.page, with_lines=False)
    await job_store.assert_active(connection, ref)
    before = count_outcomes(page.outcomes)
    items = [item for item in items if page.outcomes[item.place] == Outcome.WAITING]
    drafts = {item.uid: item.draft for item in items if item.draft is not None}
    standings = await store.lock_objects(
        connection, number, [(draft.uid, draft.object_id) for draft in drafts.values()]
    )
    for draft in drafts.values():
        standing = standings[draft.uid]
        moved = draft.vectors is None and standing.version != draft.version
        if moved and standing.accepted <= scope.accepted:
            raise UnavailableError("an object changed while its page was prepared")
    changed = [item for item in items if item.draft is not None and not item.unchanged]
    written = await store.write_objects(
        connection, number, [_draft(item) for item in changed], accepted=scope.accepted, standings=standings
    )
    same = [item.uid for item in items if item.unchanged]
    await store.confirm_objects(connection, number, same, accepted=scope.accepted)
    for item in items:
        if item.draft is None:
            page.outcomes[item.place] = Outcome.FAILED
        else:
            page.outcomes[item.place] = Outcome.DONE if item.uid in written.applied else Outcome.UNCHANGED
    await add_failures(connection, ref.job_id, [item.failure for item in items if item.failure is not None])
    await save_outcomes(connection, ref.job_id, task.page, page.outcomes, 1)
    return await record_page(connection, task, Phase.EMBED, before, count_outcomes(page.outcomes), cost=cost)
