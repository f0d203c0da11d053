"""Copies hold together however many they are: by both ways to find candidates, and where some have gone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import uuid4

import numpy as np
import orjson
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from towpath.db.engine import Connection, Database
from towpath.entities.domain.matching import DF_CAP, entity_uid
from towpath.entities.domain.parsing import make_draft
from towpath.entities.service.candidates import Candidates, find_across, find_candidates, load_postings
from towpath.entities.store.indexes import Index, add_entities, create_index, generation
from towpath.entities.store.records import read_stored, write_drafts
from towpath.entities.types import FieldType, IndexConfig, IndexField

CONFIG = IndexConfig(
    index_name="lamps",
    fields=[IndexField(name="name", type=FieldType.TEXT), IndexField(name="brand", type=FieldType.STRING)],
)
COPIES = DF_CAP + 100


def lamp(number: int, name: str = "Orion desk lamp 9W black") -> dict[str, Any]:
    return {"id": number, "name": name, "brand": "Orion"}


async def make(connection: Connection, rows: Iterable[dict[str, Any]]) -> Index:
    index = await create_index(connection, uuid4().hex, CONFIG)
    assert index is not None
    drafts = [make_draft(row, orjson.dumps(row), CONFIG) for row in rows]
    await write_drafts(connection, index.index_no, drafts)
    await add_entities(connection, index.index_no, len(drafts))
    return await generation(connection, index.index_no)


def pairs(found: Candidates) -> set[tuple[int, int]]:
    return {(min(a, b), max(a, b)) for a, b in zip(found.query.tolist(), found.candidate.tolist(), strict=True)}


def groups(uids: list[int], found: set[tuple[int, int]]) -> int:
    place = {uid: at for at, uid in enumerate(sorted(uids))}
    rows, columns = zip(*[(place[a], place[b]) for a, b in found], strict=True)
    matrix = sparse.coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(uids), len(uids)))
    return int(connected_components(matrix)[0])


def furthest(uids: list[int], found: set[tuple[int, int]]) -> int:
    """The most steps from the first entity to any other."""
    neighbours: dict[int, set[int]] = {uid: set() for uid in uids}
    for left, right in found:
        neighbours[left].add(right)
        neighbours[right].add(left)
    reached, frontier, steps = {min(uids)}, {min(uids)}, 0
    while frontier := {other for uid in frontier for other in neighbours[uid]} - reached:
        reached |= frontier
        steps += 1
    return steps


async def test_any_number_of_copies_is_linked_by_both_ways(database: Database) -> None:
    uids = [entity_uid(number) for number in range(COPIES)]
    async with database.transaction() as connection, connection.transaction(force_rollback=True):
        index = await make(connection, [*map(lamp, range(COPIES)), lamp(-1, "Orion floor lamp")])
        stored = await read_stored(connection, index, uids)

        by_sql = pairs(await find_candidates(connection, index, stored))
        single = await find_candidates(connection, index, stored[500:501])

    ordered = sorted(uids)
    beside = {(left, right) for at, left in enumerate(ordered) for right in ordered[at + 1 : at + 3]}
    one = [pair for pair in by_sql if ordered[500] in pair]
    assert groups(uids, by_sql) == 1
    assert beside < by_sql
    assert len(by_sql) < 5.5 * COPIES
    assert furthest(uids, by_sql) <= 15
    assert {*ordered[498:500], *ordered[501:503]} <= set(single.candidate.tolist()) <= set(np.ravel(one).tolist())


async def test_loaded_postings_link_the_same_copies(database: Database) -> None:
    async with database.transaction() as connection:
        index = await make(connection, [*map(lamp, range(COPIES)), *(lamp(-n, "Vega lamp") for n in range(1, 40))])
        stored = await read_stored(connection, index, [entity_uid(n) for n in range(-39, COPIES)])
        by_sql = await find_candidates(connection, index, stored)
    loaded = await load_postings(database, index)
    async with database.transaction() as connection:
        by_memory = await find_candidates(connection, index, stored, loaded)

    assert pairs(by_memory) == pairs(by_sql)
    assert groups([row.uid for row in stored], pairs(by_sql)) == 2


async def test_copies_are_linked_again_where_one_has_changed(database: Database) -> None:
    uids = sorted(entity_uid(number) for number in range(COPIES))
    by_uid = {entity_uid(number): number for number in range(COPIES)}
    async with database.transaction() as connection, connection.transaction(force_rollback=True):
        index = await make(connection, map(lamp, range(COPIES)))
        moved = [lamp(by_uid[uid], "Another lamp") for uid in uids[200:210]]
        kept = {**lamp(by_uid[uids[300]]), "colour": "red"}

        drafts = [make_draft(row, orjson.dumps(row), CONFIG) for row in [*moved, kept]]
        written = await write_drafts(connection, index.index_no, drafts)
        across = pairs(await find_across(connection, index, written.vacated))

    assert len(written.changed) == 11
    assert sorted(written.vacated) == uids[200:210]
    assert across == {
        (left, right)
        for place, left in enumerate(uids[198:200] + uids[210:212])
        for right in (uids[198:200] + uids[210:212])[place + 1 : place + 3]
    }


async def test_fields_that_come_later_leave_copies_copies(database: Database) -> None:
    wider = CONFIG.model_copy(update={"fields": [*CONFIG.fields, IndexField(name="size", type=FieldType.STRING)]})
    async with database.transaction() as connection, connection.transaction(force_rollback=True):
        index = await make(connection, map(lamp, range(COPIES)))
        row = lamp(COPIES)
        await write_drafts(connection, index.index_no, [make_draft(row, orjson.dumps(row), wider)])
        stored = await read_stored(connection, index, [entity_uid(COPIES)])

        found = await find_candidates(connection, index, stored)

    assert len(found.candidate) >= 2
