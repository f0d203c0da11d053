"""One entity at a time: written, matched and decided in one transaction, without a workflow."""

from __future__ import annotations

from dataclasses import dataclass

from towpath.db.engine import Connection
from towpath.entities.domain.parsing import Draft
from towpath.entities.store.indexes import Index, add_entities
from towpath.entities.store.matching import Models, decide_near, find_candidates, score_candidates, store_scores
from towpath.entities.store.pairs import PartnerRow, read_partners
from towpath.entities.store.records import Stored, delete_entity, write_drafts


async def take_turn(connection: Connection, organization: str, index_name: str) -> None:
    """Wait until no other single write of an index is under way in any process: the first thing of its transaction.

    Each decides its neighbours anew, in an order that depends on what is there: two at once would wait for each
    other's pairs again and again, a second each time until Postgres sees it.
    """
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"single/{organization}/{index_name}",)
    )


@dataclass(frozen=True, slots=True)
class Upserted:
    """The entity's candidates, and whether the write changed anything."""

    partners: list[PartnerRow]
    changed: bool


async def upsert(connection: Connection, models: Models, index: Index, draft: Draft, *, limit: int) -> Upserted:
    """Store one entity and find its candidates, by the same functions as a batch.

    Args:
        connection: In the request's transaction.
        models: This process's models.
        index: Held by `find_index(lock="share")`.
        draft: The entity.
        limit: The most candidates to return.
    """
    written = await write_drafts(connection, index.index_no, [draft])
    changed = bool(written.created or written.changed)
    if changed:
        model = await models.get(connection, index)
        stored = [Stored(draft.uid, draft.values, draft.source, draft.keys)]
        candidates = await find_candidates(connection, index, stored)
        pairs = await score_candidates(connection, index, model, stored, candidates)
        await store_scores(connection, index, pairs)
        near = {*pairs.left.tolist(), *pairs.right.tolist(), *written.partners}
        await decide_near(connection, index, model, sorted(near))
        await add_entities(connection, index.index_no, len(written.created))
    partners = await read_partners(connection, index.index_no, [draft.uid], limit=limit)
    return Upserted(partners=partners.get(draft.uid, []), changed=changed)


async def remove(connection: Connection, models: Models, index: Index, uid: int) -> bool:
    """Delete one entity and decide anew who is left of its group.

    Returns:
        Whether it was there.
    """
    partners = await delete_entity(connection, index.index_no, uid)
    if partners is None:
        return False
    await decide_near(connection, index, await models.get(connection, index), sorted(partners))
    await add_entities(connection, index.index_no, -1)
    return True
