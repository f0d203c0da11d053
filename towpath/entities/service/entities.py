"""Single entities: deleted, and read with what belongs to them. How they are written, `upserts` says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from towpath.core.errors import NotFoundError
from towpath.core.json_values import parse_json
from towpath.core.turns import Turns
from towpath.db.engine import Connection, Database, Result
from towpath.entities.domain.matching import MatchModel, copy_key, entity_uid
from towpath.entities.domain.parsing import Entity
from towpath.entities.group_types import Cause
from towpath.entities.service.deciding import decide_near
from towpath.entities.service.judgements import judges_of_partners, judges_of_rows
from towpath.entities.service.matching import ModelCache, close_gaps
from towpath.entities.service.naming import Reason
from towpath.entities.store import groups as group_store
from towpath.entities.store import pairs as pair_store
from towpath.entities.store.indexes import Index, add_entities, find_index, list_indexes
from towpath.entities.store.locks import lock_single_writes
from towpath.entities.store.records import (
    delete_entity,
    find_entity,
    read_stored,
)
from towpath.entities.types import Candidate, EntityDuplicates, GroupPage, GroupView, PairPage
from towpath.entities.views import candidate_views, group_view, pair_view


@dataclass(frozen=True, slots=True)
class EntityDetail:
    """One stored entity with its best candidates, each explained, and its group.

    Attributes:
        entity: As it was sent.
        candidates: The best ones.
        total: How many candidates there are.
        group: Its group; None: it stands alone.
    """

    entity: Entity
    candidates: list[Candidate]
    total: int
    group: GroupView | None


@dataclass(frozen=True, slots=True)
class Overview:
    """The indexes of an organization, and the one that is looked at.

    Attributes:
        indexes: The first of them, by name.
        chosen: The one that was named, else the first; None: there is none.
        detail: The entity that was asked for, if it is there.
        groups: A page of the chosen index's groups, where no entity was asked for.
        total: How many groups there are.
    """

    indexes: list[Index]
    chosen: Index | None
    detail: EntityDetail | None
    groups: list[GroupView]
    total: int


class EntityService:
    """Writes and reads single entities.

    Args:
        database: Where they are.
        models: This process's models.
        turns: Orders the single writes of one index within this process.
    """

    def __init__(self, database: Database, models: ModelCache, turns: Turns) -> None:
        self._database = database
        self._models = models
        self._turns = turns

    async def write_in_turn(
        self, organization: str, index_name: str, write: Callable[[Connection], Awaitable[Result]]
    ) -> Result:
        """Write a single entity when no other single write of its index is under way, in a transaction of its own.

        Args:
            organization: Whose index.
            index_name: Its name.
            write: Writes; it is repeated where Postgres breaks a deadlock.

        Returns:
            What the write returns.
        """

        async def write_alone(connection: Connection) -> Result:
            await lock_single_writes(connection, organization, index_name)
            return await write(connection)

        # Within this process a writer waits for its turn without holding a connection.
        async with self._turns.of((organization, index_name)):
            return await self._database.repeatable(write_alone)

    async def remove(self, organization: str, index_name: str, entity_id: str) -> None:
        """Delete one entity and decide anew who is left of its group.

        Args:
            organization: Whose index.
            index_name: Its name.
            entity_id: An id, or a sku.

        Raises:
            NotFoundError: No such index or entity.
        """

        async def write(connection: Connection) -> None:
            await self._remove(connection, organization, index_name, entity_id)

        await self.write_in_turn(organization, index_name, write)

    async def _remove(self, connection: Connection, organization: str, index_name: str, entity_id: str) -> None:
        index = await find_index(connection, organization, index_name, lock="share")
        uid, _ = await _find(connection, index, entity_id)
        stored = await read_stored(connection, index, [uid])
        partners = await delete_entity(connection, index.index_no, uid)
        if partners is None:
            # Somebody else's job has just removed it.
            return
        model = await self._models.get(connection, index)
        near = await _close_gaps(connection, index, model, {row.uid: copy_key(row.values) for row in stored})
        await decide_near(connection, index, model, sorted({*near, *partners, uid}), Reason(Cause.DELETE))
        await add_entities(connection, index.index_no, -1, changes=1)

    async def read(self, organization: str, index_name: str, entity_id: str) -> str:
        """Return an entity's JSON as it was last sent.

        Raises:
            NotFoundError: No such index or entity.
        """
        async with self._database.transaction() as connection:
            index = await find_index(connection, organization, index_name)
            _, body = await _find(connection, index, entity_id)
        return body

    async def list_duplicates(
        self,
        organization: str,
        index_name: str,
        entity_id: str,
        *,
        min_similarity: float | None,
        duplicates_only: bool,
        limit: int,
        offset: int,
        explain: bool,
    ) -> EntityDuplicates:
        """List the candidates of one entity, best first.

        Args:
            organization: Whose index.
            index_name: Its name.
            entity_id: An id, or a sku.
            min_similarity: The lowest similarity; None: the index's candidate threshold.
            duplicates_only: Whether candidates that are no duplicates are left out.
            limit: The most candidates.
            offset: How many to pass over.
            explain: Whether each says why.

        Raises:
            NotFoundError: No such index or entity.
        """
        async with self._database.transaction() as connection:
            index = await find_index(connection, organization, index_name)
            uid, _ = await _find(connection, index, entity_id)
            partners, total = await pair_store.page_partners(
                connection,
                index.index_no,
                uid,
                minimum=_lowest(index, min_similarity),
                duplicates_only=duplicates_only,
                limit=limit,
                offset=offset,
            )
            judges = await judges_of_partners(connection, index, {uid: partners})
        candidates = candidate_views(index.config, uid, partners, judges, explain=explain)
        return EntityDuplicates(entity_id=entity_id, duplicates=candidates, total_duplicates=total)

    async def list_pairs(
        self,
        organization: str,
        index_name: str,
        *,
        min_similarity: float | None,
        duplicates_only: bool,
        limit: int,
        offset: int,
        explain: bool,
    ) -> PairPage:
        """List all pairs of an index, each once, most similar first. The arguments are those of `list_duplicates`.

        Raises:
            NotFoundError: No such index.
        """
        async with self._database.transaction() as connection:
            index = await find_index(connection, organization, index_name)
            rows, total = await pair_store.page_pairs(
                connection,
                index.index_no,
                minimum=_lowest(index, min_similarity),
                duplicates_only=duplicates_only,
                limit=limit,
                offset=offset,
            )
            judges = await judges_of_rows(connection, index, rows)
        views = [
            pair_view(index.config, row, explain=explain, judge=judge) for row, judge in zip(rows, judges, strict=True)
        ]
        return PairPage(duplicates=views, limit=limit, offset=offset, total=total)

    async def list_groups(
        self, organization: str, index_name: str, *, entity_id: str | None, limit: int, offset: int
    ) -> GroupPage:
        """List the groups of an index, largest first.

        Args:
            organization: Whose index.
            index_name: Its name.
            entity_id: Only the group that holds this entity; None: all groups.
            limit: The most groups.
            offset: How many to pass over.

        Raises:
            NotFoundError: No such index or entity.
        """
        async with self._database.transaction() as connection:
            index = await find_index(connection, organization, index_name)
            group_uid: int | None = None
            if entity_id is not None:
                uid, _ = await _find(connection, index, entity_id)
                group_uid = await group_store.find_group(connection, index.index_no, uid)
                if group_uid is None:
                    return GroupPage(groups=[], total=0, limit=limit, offset=offset)
            rows, total = await group_store.page_groups(
                connection, index.index_no, limit=limit, offset=offset, group_uid=group_uid
            )
        return GroupPage(groups=_group_views(rows), total=total, limit=limit, offset=offset)

    async def read_overview(
        self,
        organization: str,
        index_name: str,
        entity_id: str,
        *,
        max_indexes: int,
        max_candidates: int,
        limit: int,
        offset: int,
    ) -> Overview:
        """Read what a person looks at: the indexes, and of one of them an entity or a page of groups.

        Args:
            organization: Whose indexes.
            index_name: Which one; one that is not there stands for the first.
            entity_id: An id, or a sku; empty: the groups.
            max_indexes: The most indexes.
            max_candidates: The most candidates of the entity.
            limit: The most groups.
            offset: How many groups to pass over.
        """
        async with self._database.transaction() as connection:
            indexes, _ = await list_indexes(connection, organization, limit=max_indexes, offset=0)
            chosen = next((index for index in indexes if index.name == index_name), indexes[0] if indexes else None)
            if chosen is None:
                return Overview(indexes, None, None, [], 0)
            if entity_id:
                detail = await _read_detail(connection, chosen, entity_id, max_candidates)
                return Overview(indexes, chosen, detail, [], 0)
            rows, total = await group_store.page_groups(connection, chosen.index_no, limit=limit, offset=offset)
        return Overview(indexes, chosen, None, _group_views(rows), total)


async def _find(connection: Connection, index: Index, entity_id: str) -> tuple[int, str]:
    stored = await find_entity(connection, index.index_no, entity_id, entity_uid(entity_id))
    if stored is None:
        raise NotFoundError(f"no entity {entity_id} in index {index.name}")
    return stored


async def _close_gaps(connection: Connection, index: Index, model: MatchModel, vacated: Mapping[int, int]) -> set[int]:
    """Link the copies that are left where some have gone, and return them."""
    pairs = await close_gaps(connection, index, model, vacated)
    return set() if pairs is None else {*pairs.left.tolist(), *pairs.right.tolist()}


async def _read_detail(
    connection: Connection, index: Index, entity_id: str, max_candidates: int
) -> EntityDetail | None:
    stored = await find_entity(connection, index.index_no, entity_id, entity_uid(entity_id))
    if stored is None:
        return None
    uid, body = stored
    partners, total = await pair_store.page_partners(
        connection,
        index.index_no,
        uid,
        minimum=index.config.candidate_threshold,
        duplicates_only=False,
        limit=max_candidates,
        offset=0,
    )
    judges = await judges_of_partners(connection, index, {uid: partners})
    group_uid = await group_store.find_group(connection, index.index_no, uid)
    groups: list[GroupView] = []
    if group_uid is not None:
        rows, _ = await group_store.page_groups(connection, index.index_no, limit=1, offset=0, group_uid=group_uid)
        groups = _group_views(rows)
    return EntityDetail(
        entity=parse_json(body),
        candidates=candidate_views(index.config, uid, partners, judges, explain=True),
        total=total,
        group=groups[0] if groups else None,
    )


def _group_views(rows: Sequence[tuple[int, list[str]]]) -> list[GroupView]:
    return [group_view(row) for row in rows]


def _lowest(index: Index, min_similarity: float | None) -> float:
    return index.config.candidate_threshold if min_similarity is None else min_similarity
