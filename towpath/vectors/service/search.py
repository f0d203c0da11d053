"""Search in a collection: the query becomes a vector here, the stores do the rest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from uuid import UUID, uuid4

from towpath.core.errors import JobFaultError, NotFoundError
from towpath.db.engine import Database
from towpath.vectors.domain.filters import Node, parse_filter, sort_field
from towpath.vectors.domain.items import entry_of, query_text, text_version
from towpath.vectors.embedding import Embedder
from towpath.vectors.store.collections import Collections
from towpath.vectors.store.index import VectorIndex
from towpath.vectors.store.search import Page, Query, Search, Sort, count_matches, search_nearest, search_payload
from towpath.vectors.types import Collection, CollectionRef, CountAnswer, CountBody, SearchAnswer, SearchBody


class SearchService:
    """Answers searches; the model and the index are opened by the first one.

    Args:
        database: Where objects are.
        index: The vector index.
        make_embedder: Makes the embedder; called when the first query comes.
        model: The embedding model, as collections are kept by it.
        exact: Up to so many entries all of a collection are compared, instead of asking the index.
    """

    def __init__(
        self, database: Database, index: VectorIndex, make_embedder: Callable[[], Embedder], *, model: str, exact: int
    ) -> None:
        self._database = database
        self._index = index
        self._make_embedder = make_embedder
        self._model = model
        self._exact = exact
        self._collections = Collections()
        self._embedder: Embedder | None = None

    async def search(
        self, organization: str, name: Collection, body: SearchBody, *, reader: UUID | None, by_payload: bool = False
    ) -> SearchAnswer:
        """Return a page of objects; the pages of one search are cut from one answer.

        Args:
            organization: Whose.
            name: In which collection.
            body: The search.
            reader: Who reads: others' pages are others' answers.
            by_payload: Leave the query aside.

        Raises:
            NotFoundError: Nothing was ever stored there, or no model is ready.
            BadInputError: The filter or the sort cannot be understood.
        """
        collection = await self._collection(organization, name)
        session = body.session_id or (str(uuid4()) if body.create_session else None)
        answer = SearchAnswer(search_results=[], session_id=session, meta_info=body.meta_info)
        text = None if by_payload else query_text(body.search_query)
        if text is None and body.filter is None:
            answer.total_count = 0
            return answer
        page = await self._page(collection, text, _search_of(body), _question(body, text, session, reader))
        answer.search_results, answer.total_count = page.results, page.total
        if page.more:
            answer.next_page_offset = body.offset + body.limit
        return answer

    async def count(self, organization: str, name: Collection, body: CountBody) -> CountAnswer:
        """Count the objects that a payload search would find.

        Raises:
            NotFoundError: Nothing was ever stored there.
            BadInputError: The filter cannot be understood.
        """
        collection = await self._collection(organization, name)
        if body.filter is None:
            return CountAnswer(total_count=0)
        async with self._database.transaction() as connection:
            return CountAnswer(
                total_count=await count_matches(connection, collection.collection_no, parse_filter(body.filter))
            )

    async def _page(self, collection: CollectionRef, text: str | None, search: Search, question: bytes) -> Page:
        number = collection.collection_no
        if text is None:
            return await search_payload(self._database, number, search, question=question)
        embedder = self._open_embedder()
        query = Query(
            (await embedder.embed([text])).vectors[0],
            entry=entry_of(text),
            version=text_version(text, part_tokens=embedder.part_tokens, overlap=embedder.overlap),
        )
        return await search_nearest(
            self._database, self._index, number, query, search, question=question, exact=self._exact
        )

    async def _collection(self, organization: str, name: Collection) -> CollectionRef:
        return await self._collections.find(self._database, organization, name, self._model)

    def _open_embedder(self) -> Embedder:
        if self._embedder is None:
            try:
                self._embedder = self._make_embedder()
            except JobFaultError as error:
                raise NotFoundError(f"no embedding model is ready: {error.detail}") from error
        return self._embedder

    async def close(self) -> None:
        """Let go of the model."""
        if self._embedder is not None:
            await self._embedder.close()


def _search_of(body: SearchBody) -> Search:
    node: Node = parse_filter(body.filter or {})
    sort = None
    if body.sort_by is not None:
        field = sort_field(body.sort_by.field, column=body.sort_by.force_not_payload)
        sort = Sort(field, body.sort_by.order, body.similarity_first)
    return Search(node, limit=body.limit, offset=body.offset, max_distance=body.max_distance, sort=sort)


def _question(body: SearchBody, text: str | None, session: str | None, reader: UUID | None) -> bytes:
    """Digest what is equal for all pages of one search."""
    question = body.model_dump(
        mode="json", include={"max_distance", "filter", "sort_by", "similarity_first", "user_id"}
    )
    reader_parts = [text, session, None if reader is None else str(reader)]
    return hashlib.blake2b(json.dumps([question, *reader_parts], sort_keys=True).encode(), digest_size=16).digest()
