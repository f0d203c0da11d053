"""What a quality report reads of a large index: a part, however the planner sees it, and what follows from the part."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.integration.entities.planned import Counting
from tests.integration.entities.test_plans import fill
from towpath.db.engine import Connection, Database
from towpath.entities.domain.matching.quality import BIN_EDGES
from towpath.entities.store import quality as store
from towpath.entities.store.indexes import Index, add_entities, create_index, generation
from towpath.entities.types import FieldType, IndexConfig, IndexField

ENTITIES = 6_000
PAIRS = 18_000
WANTED = 600
CONFIG = IndexConfig(index_name="people", fields=[IndexField(name="name", type=FieldType.TEXT)])


async def make_index(connection: Connection, organization: str) -> Index:
    """An index with entities in groups of two, and as many pairs of random ones."""
    created = await create_index(connection, organization, CONFIG)
    assert created is not None
    number = created.index_no
    await connection.execute(
        """
        INSERT INTO entities (index_no, uid, id_json, body, digest, values, keys, group_uid)
        SELECT %(index)s, unnest(ARRAY[a, b]), unnest(ARRAY[n * 2, n * 2 + 1])::text, '{}', '\\x00', '[]', '\\x00',
               least(a, b)
        FROM (SELECT n, hashint8extended(n, 1) a, hashint8extended(n, 2) b FROM generate_series(1, %(groups)s) n) u
        """,
        {"index": number, "groups": ENTITIES // 2},
    )
    await connection.execute(
        """
        INSERT INTO entity_pairs (index_no, left_uid, right_uid, similarity, bits, duplicate)
        SELECT %(index)s, least(a, b), greatest(a, b), 0.7 + 0.3 * n / %(pairs)s, '\\x0000000000000000',
               n > 0.5 * %(pairs)s
        FROM (
            SELECT n, hashint8extended(n %% %(groups)s + 1, 1) a,
                   hashint8extended((hashint8extended(n, 3) & 65535) %% %(groups)s + 1, 2) b
            FROM generate_series(1, %(pairs)s) n
        ) u ON CONFLICT DO NOTHING
        """,
        {"index": number, "groups": ENTITIES // 2, "pairs": PAIRS},
    )
    await add_entities(connection, number, ENTITIES)
    return await generation(connection, number)


@asynccontextmanager
async def made(database: Database) -> AsyncIterator[tuple[Connection, Index]]:
    """An index beside another one, undone at the end."""
    async with database.transaction() as connection, connection.transaction(force_rollback=True):
        await make_index(connection, "other")
        yield connection, await make_index(connection, "acme")


async def count(connection: Connection, index: Index, part_size: int) -> Any:
    return await store.count_pairs(connection, index, BIN_EDGES, near=0.1, part_size=part_size)


async def test_a_part_of_the_pairs_is_read_and_scaled_up(database: Database) -> None:
    async with made(database) as (connection, index):
        counting = Counting(connection)

        part = await count(counting.connection, index, WANTED)
        whole = await count(connection, index, ENTITIES)

    found = float(whole.pairs.sum())
    assert whole.share == 1.0
    assert part.share == pytest.approx(1 - (1 - WANTED / ENTITIES) ** 2)
    assert part.pairs.sum() / part.share == pytest.approx(found, rel=0.1)
    assert part.duplicates.sum() / part.share == pytest.approx(float(whole.duplicates.sum()), rel=0.1)
    assert part.grey / part.share == pytest.approx(whole.grey, rel=0.15)
    assert part.near / part.share == pytest.approx(whole.near, rel=0.15)
    assert counting.rows < found, str(counting)


async def test_a_part_with_too_many_pairs_is_cut_off_and_scaled_by_what_it_reached(database: Database) -> None:
    async with made(database) as (connection, index):
        small = await generation(connection, index.index_no)
        uids = [store.LOWEST + store.SPAN * place // 300 for place in range(300)]
        await connection.execute("DELETE FROM entity_pairs WHERE index_no = %s", (small.index_no,))
        await connection.execute(
            """
            INSERT INTO entity_pairs (index_no, left_uid, right_uid, similarity, bits, duplicate)
            SELECT %s, l, r, 0.9, '\\x00', true FROM unnest(%s::bigint[]) l, unnest(%s::bigint[]) r WHERE l < r
            """,
            (small.index_no, uids, uids),
        )

        part = await count(connection, small, WANTED)

    assert part.pairs.sum() == WANTED * store.MAX_PAIRS_AN_ENTITY
    assert part.pairs.sum() / part.share == pytest.approx(300 * 299 / 2, rel=0.2)


async def test_groups_are_counted_over_a_part_of_the_index(database: Database) -> None:
    async with made(database) as (connection, index):
        counting = Counting(connection)

        part = await store.count_groups(counting.connection, index, largest=5, members=20, part_size=WANTED)
        whole = await store.count_groups(connection, index, largest=5, members=20, part_size=ENTITIES)

    assert (whole.sizes, whole.share) == ([(2, ENTITIES // 2)], 1.0)
    assert part.sizes[0][1] / part.share == pytest.approx(ENTITIES // 2, rel=0.15)
    assert counting.rows < 2 * ENTITIES, str(counting)


async def test_the_largest_groups_come_with_their_first_members(database: Database) -> None:
    async with database.transaction() as connection, connection.transaction(force_rollback=True):
        index = await create_index(connection, "acme", CONFIG)
        assert index is not None
        uids = await fill(connection, index.index_no, 100)
        await connection.execute(
            "UPDATE entities SET group_uid = %s WHERE index_no = %s AND uid = ANY(%s)",
            (uids[0], index.index_no, uids[:40]),
        )

        counted = await store.count_groups(connection, index, largest=2, members=20, part_size=100)

    assert counted.sizes == [(2, 30), (40, 1)]
    assert [(group, size, len(ids)) for group, size, ids in counted.largest] == [(uids[0], 40, 20), (uids[40], 2, 2)]


async def test_sampled_pairs_have_their_entities_beside_them(database: Database) -> None:
    async with made(database) as (connection, index):
        counting = Counting(connection)

        sampled = await store.sample_pairs(counting.connection, index, part_size=WANTED)
        total = (await count(connection, index, ENTITIES)).pairs.sum()

    order = [(one.left_uid, one.right_uid) for one in sampled]
    assert order == sorted(order)
    assert all(one.left_group is not None and one.right_group is not None for one in sampled)
    assert len(sampled) == pytest.approx(total * (1 - (1 - WANTED / ENTITIES) ** 2), rel=0.1)
    assert counting.rows < 10 * len(sampled), str(counting)


async def test_labels_are_read_beside_their_pairs(database: Database) -> None:
    async with database.transaction() as connection, connection.transaction(force_rollback=True):
        index = await create_index(connection, "acme", CONFIG)
        assert index is not None
        uids = await fill(connection, index.index_no, 1_000)
        await connection.execute(
            """
            INSERT INTO entity_labels (organization, index_name, left_uid, right_uid, left_id, right_id, duplicate)
            SELECT o, 'people', l, r, '', '', true FROM unnest(%s::bigint[], %s::bigint[]) u(l, r),
                   unnest(ARRAY['acme', 'other']) o
            """,
            (uids[:500], uids[1:501]),
        )
        await connection.execute(
            "DELETE FROM entity_pairs WHERE index_no = %s AND left_uid = %s", (index.index_no, uids[0])
        )
        counting = Counting(connection)

        labels = await store.read_judged_labels(counting.connection, "acme", "people", index.index_no, limit=400)

    assert len(labels) == 400
    assert [label.similarity is None for label in labels] == [True] + [False] * 399
    assert [label.verdict for label in labels] == [False] + [True] * 399
    assert counting.rows < 10 * 400, str(counting)
