"""What reading and writing pairs costs when the planner knows nothing of a fresh index: work is counted, not timed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
import pytest
import pytest_asyncio
from temporalio.testing import ActivityEnvironment

from tests.integration.entities.planned import Counting
from towpath.db.engine import Connection, Database
from towpath.entities.domain.parsing import make_draft, parse_entity
from towpath.entities.service.indexing import BatchIndexing
from towpath.entities.service.matching import Matcher
from towpath.entities.store import groups as group_store
from towpath.entities.store import judgements as judgement_store
from towpath.entities.store import pairs as pair_store
from towpath.entities.store.copies import read_landmarks, read_neighbours
from towpath.entities.store.indexes import Index, add_entities, create_index
from towpath.entities.store.records import delete_entity, write_drafts
from towpath.entities.store.statistics import refresh_statistics
from towpath.entities.types import ENTITY_BATCH, FieldType, IndexConfig, IndexField
from towpath.jobs.store.jobs import create_job
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import JobRef, JobState

OLD = range(1, 8)
FRESH = 8
ENTITIES = 2_000
NEIGHBOURS = 3
KEYS = 5
TABLES = ("entities", "entity_pairs", "entity_postings", "entity_dirty")


async def fill(connection: Connection, index_no: int, count: int) -> list[int]:
    """An index with entities whose pairs are their next neighbours, in groups of two."""
    low, high = -(1 << 62), 1 << 62
    uids = sorted(np.random.default_rng(index_no).integers(low, high, count, dtype=np.int64).tolist())
    keys = [np.arange(KEYS, dtype="<i8") + uid for uid in uids]
    await connection.execute(
        """
        INSERT INTO entities (index_no, uid, id_json, sku, body, digest, values, keys, group_uid)
        SELECT %s, uid, place::text, 's' || place, '{}', '\\x00', '[]', keys, pair
        FROM unnest(%s::bigint[], %s::bytea[], %s::bigint[]) WITH ORDINALITY u(uid, keys, pair, place)
        """,
        (index_no, uids, [key.tobytes() for key in keys], [uids[place - place % 2] for place in range(count)]),
    )
    await connection.execute(
        "INSERT INTO entity_postings (index_no, key, uid) SELECT %s, * FROM unnest(%s::bigint[], %s::bigint[])",
        (index_no, np.concatenate(keys).tolist(), np.repeat(uids, KEYS).tolist()),
    )
    await connection.execute(
        """
        INSERT INTO entity_groups (index_no, group_uid, size)
        SELECT index_no, group_uid, count(*) FROM entities WHERE index_no = %s GROUP BY index_no, group_uid
        """,
        (index_no,),
    )
    pairs = [(uid, other) for place, uid in enumerate(uids) for other in uids[place + 1 : place + 1 + NEIGHBOURS]]
    await connection.execute(
        """
        INSERT INTO entity_pairs (index_no, left_uid, right_uid, similarity, bits, duplicate)
        SELECT %s, l, r, 0.7 + 0.3 * random(), '\\x0000000000000000', true
        FROM unnest(%s::bigint[], %s::bigint[]) u(l, r)
        """,
        (index_no, [left for left, _ in pairs], [right for _, right in pairs]),
    )
    return uids


async def judge_half(connection: Connection, uids: list[int]) -> None:
    """Judgements of all pairs of the lower half of the entities of an index."""
    await connection.execute(
        """
        INSERT INTO entity_judgements (organization, index_name, left_uid, right_uid, left_id, right_id, left_digest,
            right_digest, answer, reason, model, job_id, cost_usd)
        SELECT 'planned', 'fresh', left_uid, right_uid, 'l', 'r', '\\x00', '\\x00', 'different', '', 'm', %s, 0
        FROM entity_pairs WHERE index_no = %s AND right_uid < %s
        """,
        (uuid4(), FRESH, uids[ENTITIES // 2]),
    )


JUDGED = Index(
    index_no=FRESH, organization="planned", name="fresh", state="live",
    config=IndexConfig(index_name="fresh", fields=[IndexField(name="name", type=FieldType.TEXT)]), dynamic=False,
    model_version=1, model_entities=ENTITIES, inferred=None, reindex_job=None, created_at=datetime.now(UTC),
    updated_at=datetime.now(UTC), entities=ENTITIES,
)  # fmt: skip


class Fresh(NamedTuple):
    """An index that came after the statistics of all others were taken."""

    database: Database
    uids: list[int]
    planted: bool
    """Whether the planner holds it for empty, as before migration 0010."""


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=[False, True], ids=["as_migrated", "planted"])
async def fresh(make_database: Callable[[], str], request: pytest.FixtureRequest) -> AsyncIterator[Fresh]:
    """Both with statistics of `index_no` that lack the fresh index, and without any, as the migration leaves it."""
    database = Database(make_database())
    async with database.transaction() as connection:
        for table in TABLES:
            await connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
            if request.param:
                await connection.execute(f"ALTER TABLE {table} ALTER COLUMN index_no SET STATISTICS 100")
        for number in OLD:
            await fill(connection, number, 60)
    async with database.statement() as connection:
        await connection.execute(f"ANALYZE {', '.join(TABLES)}")
    async with database.transaction() as connection:
        uids = await fill(connection, FRESH, ENTITIES)
        await judge_half(connection, uids)
    yield Fresh(database, uids, request.param)
    await database.close()


async def batch_page(connection: Connection, uids: list[int]) -> Any:
    return await pair_store.read_partners(connection, FRESH, uids, limit=100)


async def partners_of_one(connection: Connection, uids: list[int]) -> Any:
    return (await pair_store.read_partners(connection, FRESH, uids[700:701], limit=10))[uids[700]]


async def duplicates_of_one(connection: Connection, uids: list[int]) -> Any:
    query = {"minimum": 0.7, "duplicates_only": False, "limit": 100, "offset": 0}
    return (await pair_store.page_partners(connection, FRESH, uids[700], **query))[0]


async def first_pairs(connection: Connection, uids: list[int]) -> Any:
    query = {"minimum": 0.7, "duplicates_only": False, "limit": 1000, "offset": 0}
    return (await pair_store.page_pairs(connection, FRESH, **query))[0]


async def later_pairs(connection: Connection, uids: list[int]) -> Any:
    query = {"minimum": 0.7, "duplicates_only": True, "limit": 1000, "offset": 4000}
    return (await pair_store.page_pairs(connection, FRESH, **query))[0]


async def groups(connection: Connection, uids: list[int]) -> Any:
    return (await group_store.page_groups(connection, FRESH, limit=1000, offset=0))[0]


async def one_group(connection: Connection, uids: list[int]) -> Any:
    group = await group_store.find_group(connection, FRESH, uids[700])
    rows, _ = await group_store.page_groups(connection, FRESH, limit=1, offset=0, group_uid=group)
    return rows[0][1]


async def component(connection: Connection, uids: list[int]) -> Any:
    return (await pair_store.read_components(connection, FRESH, uids[700:701], entities=ENTITIES)).uids


async def lone_entity(connection: Connection, uids: list[int]) -> Any:
    return (await pair_store.read_components(connection, FRESH, [uids[700] - 1], entities=ENTITIES)).uids


async def statements(connection: Connection, uids: list[int]) -> Any:
    return (await judgement_store.read_statements(connection, JUDGED, uids[700:701])).judgements


async def pairs_to_judge(connection: Connection, uids: list[int]) -> Any:
    return await judgement_store.pick_pairs(connection, JUDGED, 0.0, 1.1, limit=10_000)


async def judges(connection: Connection, uids: list[int]) -> Any:
    pairs = list(pairwise(uids[:101]))
    return await judgement_store.read_judges(connection, JUDGED, pairs)


async def groups_written(connection: Connection, uids: list[int]) -> Any:
    some = np.array(uids[:100])
    await group_store.save_memberships(connection, FRESH, some, some)
    return some


async def closed_dropped(connection: Connection, uids: list[int]) -> Any:
    await pair_store.drop_closed(connection, FRESH, np.array([uids[:100], uids[1:101]]).T)
    return uids[:100]


async def neighbours_of_copies(connection: Connection, uids: list[int]) -> Any:
    some = np.array(uids[:500])
    return (await read_neighbours(connection, FRESH, some, some - 1, each_side=3))[0]


async def landmarks_of_copies(connection: Connection, uids: list[int]) -> Any:
    some = np.array(uids[:500])
    return (await read_landmarks(connection, FRESH, some, some + 1, np.zeros(500, dtype=np.int64)))[0]


async def entity_deleted(connection: Connection, uids: list[int]) -> Any:
    return await delete_entity(connection, FRESH, uids[700])


class Case(NamedTuple):
    """A read or a write: how much it answers, and the blocks that it may touch for it."""

    act: Callable[[Connection, list[int]], Awaitable[Any]]
    answers: int
    blocks: int


# A lookup touches two or three blocks of a key and one of its table.
PAIRS = NEIGHBOURS * ENTITIES - sum(range(NEIGHBOURS + 1))
JUDGED_PAIRS = NEIGHBOURS * ENTITIES // 2 - sum(range(NEIGHBOURS + 1))
CASES = [
    Case(batch_page, ENTITIES, ENTITIES * 2 * NEIGHBOURS * 8),
    Case(partners_of_one, 2 * NEIGHBOURS, 100),
    Case(duplicates_of_one, 2 * NEIGHBOURS, 100),
    Case(first_pairs, 1000, 20_000),
    Case(later_pairs, 1000, 60_000),
    Case(groups, 1000, 10_000),
    Case(one_group, 2, 100),
    Case(component, ENTITIES, 100_000),
    Case(lone_entity, 1, 30),
    Case(statements, 2 * NEIGHBOURS, 200),
    Case(pairs_to_judge, PAIRS - JUDGED_PAIRS, 120_000),
    Case(judges, 100, 4_000),
    Case(groups_written, 100, 4_000),
    Case(closed_dropped, 100, 500),
    Case(neighbours_of_copies, 500, 500 * 2 * 4),
    Case(landmarks_of_copies, 500, 500 * 2 * 4),
    Case(entity_deleted, 2 * NEIGHBOURS, 400),
]
ROWS = 100 * ENTITIES
"""Every step of every plan is linear in the index; the nested loops of before were its square."""


@pytest.mark.parametrize("generic", [False, True], ids=["custom", "generic"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.act.__name__)
async def test_work_follows_from_what_is_asked_and_not_from_statistics(fresh: Fresh, case: Case, generic: bool) -> None:
    async with fresh.database.transaction() as connection, connection.transaction(force_rollback=True):
        counting = Counting(connection, generic=generic)

        answer = await case.act(counting.connection, fresh.uids)

    assert len(answer) == case.answers
    assert counting.rows < ROWS, str(counting)
    if not fresh.planted:
        assert counting.blocks < case.blocks, str(counting)


async def test_pairs_that_are_equally_similar_come_in_the_order_of_their_ids(database: Database) -> None:
    async with database.transaction() as connection, connection.transaction(force_rollback=True):
        await fill(connection, FRESH, 50)
        await connection.execute("UPDATE entity_pairs SET similarity = 0.9 WHERE similarity < 0.95")

        pages = [
            await pair_store.page_pairs(
                connection, FRESH, minimum=0.0, duplicates_only=False, limit=20, offset=offset
            )
            for offset in range(0, 160, 20)
        ]  # fmt: skip

    found = [(row.left_id, row.right_id, row.similarity) for rows, _ in pages for row in rows]
    assert len(set(found)) == len(found) == pages[0][1] == 50 * NEIGHBOURS - 6
    assert found == sorted(found, key=lambda row: (-row[2], row[0], row[1]))


async def test_statistics_are_taken_when_a_batch_is_much_of_what_is_stored(make_database: Callable[[], str]) -> None:
    database = Database(make_database())

    async def known(table: str) -> float:
        async with database.transaction() as connection:
            found = await connection.execute("SELECT reltuples FROM pg_class WHERE relname = %s", (table,))
            return float((await found.fetchone() or (0,))[0])

    config = IndexConfig(index_name="people", fields=[IndexField(name="name", type=FieldType.TEXT)])
    raws = [b'{"id":%d,"name":"person %d"}' % (number, number) for number in range(1_200)]
    ref = JobRef(organization="acme", kind=ENTITY_BATCH, job_id=uuid4())
    async with database.transaction() as connection:
        for table in TABLES:
            await connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
        index = await create_index(connection, "acme", config)
        assert index is not None
        await write_drafts(connection, index.index_no, [make_draft(parse_entity(raw), raw, config) for raw in raws])
        await add_entities(connection, index.index_no, len(raws))
        job = JobRow(
            id=ref.job_id, organization="acme", kind=ref.kind, params={"index": "people"}, total=1_200,
            state=JobState.RUNNING,
        )  # fmt: skip
        await create_job(connection, job)
        await connection.execute("UPDATE jobs SET state = 'RUNNING', total = 1200")
    work = BatchIndexing(database, Matcher(database, memory_mb=64), share_size=500)
    assert await known("entities") == -1

    await ActivityEnvironment().run(work.train, ref)
    assert (await known("entities"), await known("entity_pairs")) == (1_200, -1)
    await ActivityEnvironment().run(work.resolve, ref)
    assert await known("entity_pairs") >= 0

    assert not await refresh_statistics(database, "entities", entities=999)
    async with database.transaction() as connection:
        await connection.execute("UPDATE pg_class SET reltuples = 20000 WHERE relname = 'entities'")
    assert not await refresh_statistics(database, "entities", entities=1_999)
    assert await refresh_statistics(database, "entities", entities=2_000)
    await database.close()
