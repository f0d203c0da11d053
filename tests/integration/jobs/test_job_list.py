"""The list of all jobs, against plain counting and sorting of the same rows."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
import pytest_asyncio
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from towpath.accounts.types import KeyKind, Principal, Role, Scope
from towpath.ai.types import AI_JOB
from towpath.core.errors import LimitReachedError
from towpath.db.engine import Connection, Database, sqlalchemy_url
from towpath.db.migrate import MIGRATIONS
from towpath.entities.types import ENTITY_BATCH, ENTITY_SETTLE
from towpath.jobs.lists import JobFilter
from towpath.jobs.registry import personal_kinds, upkeep_kinds
from towpath.jobs.service.reading import JobReader
from towpath.jobs.store import counters as job_counters
from towpath.jobs.store.counters import compact_counters
from towpath.jobs.store.ends import finish_job
from towpath.jobs.store.housekeeping import sweep_jobs
from towpath.jobs.store.jobs import begin_job, create_job, get_job
from towpath.jobs.store.listing import list_page, totals_by_status
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import Finish, JobRef, JobState, JobStatus, ReviewStatus, job_status
from towpath.vectors.types import VECTOR_UPSERTION

pytestmark = pytest.mark.asyncio(loop_scope="session")

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KINDS = [ENTITY_BATCH, AI_JOB, VECTOR_UPSERTION, ENTITY_SETTLE]
TEMPLATES = [UUID(int=number) for number in (1, 2)]
PEOPLE = [UUID(int=number) for number in (11, 12)]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks and spans of a few jobs, so that a hundred of them make a tree."""
    monkeypatch.setattr(job_counters, "BLOCK_JOBS", 4)
    monkeypatch.setattr(job_counters, "SPAN_BLOCKS", 3)
    monkeypatch.setattr(job_counters, "MAX_PIECES", 5)


@pytest_asyncio.fixture
async def impatient(database_url: str) -> AsyncIterator[Database]:
    """A handle that fails where it would wait for another transaction's lock."""
    handle = Database(f"{database_url}?options=-c%20lock_timeout%3D2s")
    yield handle
    await handle.close()


@dataclass
class Chance:
    """Random jobs and filters."""

    random: random.Random

    def moment(self) -> datetime:
        # Few enough that several jobs have the same.
        return NOON + timedelta(seconds=self.random.randrange(150))

    def columns(self) -> dict[str, Any]:
        return {
            "kind": self.random.choice(KINDS),
            "state": self.random.choice(list(JobState)).value,
            "retrying": self.random.random() < 0.2,
            "review_status": self.random.choice([None, None, *(status.value for status in ReviewStatus)]),
            "template_id": self.random.choice([None, *TEMPLATES]),
        }

    def wanted(self) -> JobFilter:
        def some(options: list[Any]) -> list[Any]:
            return self.random.sample(options, self.random.choice([0, 0, 1, 2]))

        window = sorted([self.moment(), self.moment()])
        return JobFilter(
            kinds=some(KINDS),
            statuses=some(list(JobStatus)),
            review_statuses=some(list(ReviewStatus)),
            template_id=self.random.choice([None, None, *TEMPLATES]),
            created_after=self.random.choice([None, window[0]]),
            created_before=self.random.choice([None, window[1]]),
            user_id=self.random.choice([None, None, *PEOPLE]),
        )


async def put(connection: Connection, organization: str, created_at: datetime, **columns: Any) -> UUID:
    job = uuid4()
    values = {
        "id": job, "organization": organization, "created_at": created_at, "kind": ENTITY_BATCH,
        "state": "PENDING", **columns,
    }  # fmt: skip
    names, places = ", ".join(values), ", ".join(["%s"] * len(values))
    await connection.execute(f"INSERT INTO jobs ({names}) VALUES ({places})", list(values.values()))
    return job


async def change(connection: Connection, job: UUID, **columns: Any) -> None:
    changes = ", ".join(f"{name} = %s" for name in columns)
    await connection.execute(f"UPDATE jobs SET {changes} WHERE id = %s", [*columns.values(), job])


async def fill(database: Database, organization: str, count: int, **columns: Any) -> list[UUID]:
    async with database.transaction() as connection:
        return [
            await put(connection, organization, NOON + timedelta(seconds=place), **columns) for place in range(count)
        ]


async def fold_all(database: Database) -> None:
    while await compact_counters(database, limit=50):
        pass


async def plainly(database: Database, organization: str, wanted: JobFilter) -> list[UUID]:
    """The ids of all jobs that match, by reading every row."""
    async with database.transaction() as connection:
        found = await connection.execute(
            "SELECT id, kind, state, retrying, review_status, template_id, created_at, user_id FROM jobs "
            "WHERE organization = %s",
            (organization,),
        )
        rows = await found.fetchall()
    matching = [
        (created_at, job)
        for job, kind, state, retrying, review, template, created_at, user in rows
        if (kind in wanted.kinds if wanted.kinds else kind not in upkeep_kinds())
        and (not wanted.statuses or job_status(JobState(state), retrying=retrying) in wanted.statuses)
        and (not wanted.review_statuses or review in wanted.review_statuses)
        and (wanted.template_id is None or template == wanted.template_id)
        and (wanted.created_after is None or created_at >= wanted.created_after)
        and (wanted.created_before is None or created_at < wanted.created_before)
        and (wanted.user_id in {None, user} or (user is None and kind not in personal_kinds()))
    ]
    return [job for _, job in sorted(matching, reverse=True)]


async def listed(database: Database, organization: str, wanted: JobFilter, *, size: int) -> list[UUID]:
    """The ids that one gets page after page, until one is empty; every page tells the same total."""
    found: list[UUID] = []
    for number in range(1, 1000):
        page = await list_page(database, organization, wanted, page=number, size=size)
        found += [job.id for job in page.jobs]
        if not page.jobs:
            assert page.total == len(found)
            return found
        assert len(page.jobs) == min(size, page.total - (number - 1) * size)
    raise AssertionError("the pages do not end")


class Sessions:
    """Connections with a transaction open in each, to be committed or rolled back at any time."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.idle: list[Connection] = []
        self.open: list[Connection] = []

    async def begin(self) -> Connection:
        connection = self.idle.pop() if self.idle else await psycopg.AsyncConnection.connect(self._url)
        self.open.append(connection)
        return connection

    async def end(self, place: int, *, commit: bool) -> None:
        connection = self.open.pop(place)
        await (connection.commit() if commit else connection.rollback())
        self.idle.append(connection)


@asynccontextmanager
async def sessions(database: Database) -> AsyncIterator[Sessions]:
    opened = Sessions(database.url)
    try:
        yield opened
    finally:
        for connection in opened.idle + opened.open:
            await connection.close()


class History:
    """Random writes to an organization's jobs, some of them in transactions that stay open for a while."""

    def __init__(self, database: Database, others: Sessions, organization: str, chance: Chance) -> None:
        self.database = database
        self.others = others
        self.organization = organization
        self.chance = chance
        self.dice = chance.random
        self.free: list[UUID] = []
        self.held: dict[Connection, list[UUID]] = {}

    async def step(self) -> None:
        steps = [self.insert, self.change, self.delete, self.fold, self.begin, self.end]
        await self.dice.choices(steps, [8, 6, 3, 2, 2, 2])[0]()

    def some(self, most: int) -> list[UUID]:
        return self.dice.sample(self.free, min(len(self.free), most))

    async def insert(self) -> None:
        async with self.database.transaction() as connection:
            for _ in range(self.dice.choice([1, 1, 3, 12])):
                self.free.append(await self.put(connection))

    async def put(self, connection: Connection) -> UUID:
        user = self.dice.choice([None, None, *PEOPLE])
        columns = self.chance.columns()
        return await put(connection, self.organization, self.chance.moment(), user_id=user, **columns)

    async def change(self) -> None:
        async with self.database.transaction() as connection:
            for job in self.some(1):
                await change(connection, job, **self.chance.columns())

    async def delete(self) -> None:
        gone = self.some(self.dice.choice([1, 4]))
        async with self.database.transaction() as connection:
            await connection.execute("DELETE FROM jobs WHERE id = ANY(%s)", (gone,))
        self.free = [job for job in self.free if job not in gone]

    async def fold(self) -> None:
        await compact_counters(self.database, limit=self.dice.choice([1, 7, 1000]))

    async def begin(self) -> None:
        if len(self.others.open) == 4:
            return
        session = await self.others.begin()
        self.held[session] = self.some(2)
        self.free = [job for job in self.free if job not in self.held[session]]
        await self.put(session)
        for job in self.held[session]:
            await change(session, job, **self.chance.columns())

    async def end(self) -> None:
        for session in self.others.open[:1]:
            self.free += self.held.pop(session)
            await self.others.end(0, commit=self.dice.random() < 0.6)


@pytest.mark.parametrize("seed", range(6))
async def test_after_any_history_totals_and_pages_are_those_of_plain_counting(database: Database, seed: int) -> None:
    organization, chance = uuid4().hex, Chance(random.Random(seed))

    async def compare(wanted: JobFilter) -> None:
        size = chance.random.choice([3, 10, 100])
        assert await listed(database, organization, wanted, size=size) == await plainly(database, organization, wanted)

    async with sessions(database) as others:
        history = History(database, others, organization, chance)
        for _ in range(25):
            for _ in range(20):
                await history.step()
            await compare(chance.wanted())
    await fold_all(database)

    await compare(JobFilter())
    for _ in range(30):
        await compare(chance.wanted())


async def test_folded_counts_are_the_rows_of_each_block_and_span(database: Database) -> None:
    organization, chance = uuid4().hex, Chance(random.Random(7))
    async with database.transaction() as connection:
        for place in range(300):
            await put(connection, organization, NOON + timedelta(seconds=place), **chance.columns())
    await fold_all(database)

    async with database.transaction() as connection:
        found = await connection.execute(
            """
            SELECT level, c.from_at::text, sum(c.jobs) FROM job_counts c JOIN job_facets USING (facet)
            WHERE organization = %s AND template_id IS NULL GROUP BY 1, 2
            """,
            (organization,),
        )
        kept = {(level, start): int(jobs) for level, start, jobs in await found.fetchall()}
        found = await connection.execute(
            """
            SELECT level, b.from_at::text, b.jobs, count(j.id) FROM (
                SELECT *, lead(from_at, 1, 'infinity') OVER (PARTITION BY level ORDER BY from_at) AS to_at
                FROM job_blocks WHERE organization = %(org)s
            ) b LEFT JOIN jobs j ON j.organization = %(org)s AND j.created_at >= from_at AND j.created_at < to_at
            GROUP BY 1, 2, 3
            """,
            {"org": organization},
        )
        blocks = await found.fetchall()

    assert kept == {(level, start): jobs for level, start, jobs, _ in blocks}
    assert all(jobs == rows for _, _, jobs, rows in blocks)
    assert max(jobs for level, _, jobs, _ in blocks if level == 0) <= 8
    assert sum(level == 1 for level, *_ in blocks) >= 300 / 8 / 6


async def test_the_order_is_creation_and_then_id_both_falling(database: Database) -> None:
    organization = uuid4().hex
    async with database.transaction() as connection:
        same = [await put(connection, organization, NOON) for _ in range(30)]
        later = await put(connection, organization, NOON + timedelta(microseconds=1))
        earlier = await put(connection, organization, NOON - timedelta(microseconds=1))
    await fold_all(database)

    assert await listed(database, organization, JobFilter(), size=4) == [later, *sorted(same, reverse=True), earlier]


async def test_a_page_beyond_the_last_is_empty_and_tells_the_total(database: Database) -> None:
    organization = uuid4().hex
    await fill(database, organization, 25)

    page = await list_page(database, organization, JobFilter(), page=4, size=10)
    far = await list_page(database, organization, JobFilter(), page=10**9, size=1000)
    nobody = await list_page(database, uuid4().hex, JobFilter(), page=1, size=10)

    assert (page.jobs, page.total) == (far.jobs, far.total) == ([], 25)
    assert (nobody.jobs, nobody.total) == ([], 0)


async def test_a_window_takes_its_first_moment_in_and_leaves_its_last_out(database: Database) -> None:
    organization = uuid4().hex
    jobs = await fill(database, organization, 60)
    moments = [NOON + timedelta(seconds=place) for place in range(60)]

    async def between(first: int, last: int) -> list[UUID]:
        wanted = JobFilter(created_after=moments[first], created_before=moments[last])
        return (await listed(database, organization, wanted, size=100))[::-1]

    for _ in range(2):
        assert await between(10, 50) == jobs[10:50]
        assert await between(10, 11) == jobs[10:11]
        assert await between(10, 10) == await between(50, 10) == []
        await fold_all(database)


async def test_an_organization_sees_its_own_jobs_only(database: Database) -> None:
    ours, theirs = uuid4().hex, uuid4().hex
    jobs = await fill(database, ours, 20)
    await fill(database, theirs, 30)
    await fold_all(database)

    assert await listed(database, ours, JobFilter(), size=9) == jobs[::-1]


async def test_retry_is_apart_from_in_progress(database: Database) -> None:
    organization = uuid4().hex
    async with database.transaction() as connection:
        running = await put(connection, organization, NOON, state="RUNNING")
        retrying = await put(connection, organization, NOON, state="RUNNING", retrying=True)
        paused = await put(connection, organization, NOON, state="PAUSED", retrying=True)

    async def of(*statuses: JobStatus) -> set[UUID]:
        return set(await listed(database, organization, JobFilter(statuses=statuses), size=10))

    for _ in range(2):
        assert await of(JobStatus.IN_PROGRESS) == {running}
        assert await of(JobStatus.RETRY) == {retrying}
        assert await of(JobStatus.PAUSED, JobStatus.RETRY) == {retrying, paused}
        await fold_all(database)


async def test_totals_by_status_are_those_of_the_list(database: Database, neighbour: Database) -> None:
    organization, chance = uuid4().hex, Chance(random.Random(8))
    async with database.transaction() as connection:
        for place in range(80):
            user = chance.random.choice([None, *PEOPLE])
            await put(connection, organization, chance.moment(), user_id=user, **chance.columns())
            if place == 50:
                await compact_counters(neighbour, limit=1000)

    for user in (None, PEOPLE[0]):
        for _ in range(2):
            totals = await totals_by_status(database, organization, user_id=user)

            for status in JobStatus:
                wanted = JobFilter(statuses=[status], user_id=user)
                assert totals[status] == (await list_page(database, organization, wanted, page=1, size=1)).total
            await fold_all(database)


async def test_what_the_system_starts_for_itself_is_listed_to_who_asks_for_it(database: Database) -> None:
    organization = uuid4().hex
    reader = JobReader(database)
    caller = Principal(organization=organization, kind=KeyKind.ORGANIZATION, role=Role.OWNER, scopes=frozenset(Scope))
    asked, upkeep = JobRow(organization=organization, kind=ENTITY_BATCH), JobRow(
        organization=organization, kind=ENTITY_SETTLE
    )  # fmt: skip
    async with database.transaction() as connection:
        for job in (asked, upkeep):
            await create_job(connection, job)

    async def ids(**options: Any) -> list[UUID]:
        return [job.id for job in (await reader.list_newest(caller, limit=10, **options)).jobs]

    assert await ids() == [asked.id]
    assert await ids(kind=ENTITY_SETTLE) == [upkeep.id]
    assert set(await ids(has_upkeep=True)) == {asked.id, upkeep.id}
    assert await ids(kind=ENTITY_BATCH, has_upkeep=True) == [asked.id]
    assert (await reader.count_by_status(caller))[JobStatus.PENDING] == 1
    assert (await reader.find(caller, upkeep.id)).id == upkeep.id
    assert [job.id for job in await reader.find_by_any_id(caller, str(upkeep.id), limit=5)] == [upkeep.id]
    async with database.transaction() as connection:
        # One is in flight, so that two may be.
        await create_job(connection, JobRow(organization=organization, kind=ENTITY_BATCH), most=2)
        with pytest.raises(LimitReachedError):
            await create_job(connection, JobRow(organization=organization, kind=ENTITY_BATCH), most=2)


async def test_a_row_of_the_list_is_the_whole_job(database: Database) -> None:
    organization = uuid4().hex
    job = JobRow(organization=organization, kind=AI_JOB, params={"prompt": "how many lamps"}, total=3)
    async with database.transaction() as connection:
        await create_job(connection, job)

    (row,) = (await list_page(database, organization, JobFilter(), page=1, size=10)).jobs

    assert row.model_dump() == (await get_job(database, organization, job.id)).model_dump()
    assert (row.params, row.review_status, row.template_id, row.retrying) == (job.params, None, None, False)


async def test_the_way_of_a_job_is_followed_until_retention_takes_it(database: Database) -> None:
    organization = uuid4().hex
    job = JobRow(organization=organization, kind=ENTITY_BATCH)
    ref = JobRef(organization=organization, kind=job.kind, job_id=job.id)
    seen = []

    async def look() -> None:
        totals = await totals_by_status(database, organization)
        seen.append({status for status, jobs in totals.items() if jobs})

    async with database.transaction() as connection:
        await create_job(connection, job)
    await look()
    await begin_job(database, ref)
    await look()
    await compact_counters(database, limit=1000)
    await finish_job(database, Finish(ref=ref, state=JobState.COMPLETED))
    await look()
    while await sweep_jobs(database, retention_days=0, limit=1000):
        await fold_all(database)
    await look()

    assert seen == [{JobStatus.PENDING}, {JobStatus.IN_PROGRESS}, {JobStatus.COMPLETE}, set()]
    assert (await list_page(database, organization, JobFilter(), page=1, size=10)).total == 0


async def test_the_moment_of_a_change_of_status_is_kept(database: Database) -> None:
    organization = uuid4().hex
    (job,) = await fill(database, organization, 1)

    async def changed_at() -> datetime:
        return (await get_job(database, organization, job)).state_changed_at

    moments = [await changed_at()]
    for columns in ({"state": "RUNNING"}, {"retrying": True}, {"review_status": "PENDING"}):
        async with database.transaction() as connection:
            await change(connection, job, **columns)
        moments.append(await changed_at())
    async with database.transaction() as connection:
        await change(connection, job, processed=5, state="RUNNING")

    assert moments == sorted(set(moments))
    assert await changed_at() == moments[-1]


async def test_writers_of_different_jobs_readers_and_folding_never_wait_for_each_other(
    database: Database, impatient: Database
) -> None:
    organization = uuid4().hex
    first, second, third = await fill(database, organization, 3)

    async with sessions(database) as others:
        session = await others.begin()
        await change(session, first, state="RUNNING")
        await put(session, organization, NOON)
        await session.execute("DELETE FROM jobs WHERE id = %s", (third,))

        async with impatient.transaction() as connection:
            await change(connection, second, state="RUNNING")
            await put(connection, organization, NOON)
        await fold_all(impatient)
        async with impatient.transaction() as connection:
            await change(connection, second, state="COMPLETED")
        before = await list_page(impatient, organization, JobFilter(), page=1, size=10)
        await others.end(0, commit=True)

    after = await list_page(database, organization, JobFilter(), page=1, size=10)
    states = (Counter(job.state for job in before.jobs), Counter(job.state for job in after.jobs))
    assert states == (Counter(PENDING=3, COMPLETED=1), Counter(PENDING=2, RUNNING=1, COMPLETED=1))


async def test_of_several_that_fold_at_once_one_works(database: Database, impatient: Database) -> None:
    organization = uuid4().hex
    await fold_all(database)
    await fill(database, organization, 5)

    async with sessions(database) as others:
        session = await others.begin()
        await session.execute("SELECT pg_advisory_xact_lock(%s)", (job_counters.COUNTERS_LOCK,))

        assert await compact_counters(impatient, limit=1000) == 0
        await others.end(0, commit=True)

    assert await compact_counters(impatient, limit=1000) >= 5


async def test_an_early_job_that_commits_late_is_counted_in_its_own_block(database: Database) -> None:
    organization = uuid4().hex
    async with sessions(database) as others:
        session = await others.begin()
        late = await put(session, organization, NOON + timedelta(milliseconds=500))
        jobs = await fill(database, organization, 100)
        await fold_all(database)
        await others.end(0, commit=True)
    first_second = JobFilter(created_before=NOON + timedelta(seconds=1))

    for _ in range(2):
        assert await listed(database, organization, first_second, size=10) == [late, jobs[0]]
        assert (await listed(database, organization, JobFilter(), size=10))[-3:] == [jobs[1], late, jobs[0]]
        await fold_all(database)


async def test_total_and_page_agree_while_others_write_and_fold(database: Database) -> None:
    organization, chance = uuid4().hex, Chance(random.Random(9))
    jobs = await fill(database, organization, 60)

    async def write(own: list[UUID]) -> None:
        for number in range(60):
            async with database.transaction() as connection:
                await change(connection, own[number % len(own)], **chance.columns())
                if number % 3:
                    own.append(await put(connection, organization, chance.moment(), **chance.columns()))
                else:
                    await connection.execute("DELETE FROM jobs WHERE id = %s", (own.pop(0),))

    async def fold(writers: asyncio.Future[Any]) -> None:
        while not writers.done():
            await compact_counters(database, limit=20)

    writers = asyncio.gather(write(jobs[:30]), write(jobs[30:]))
    folding = asyncio.create_task(fold(writers))
    while not writers.done():
        for wanted in (JobFilter(), replace(chance.wanted(), created_before=None)):
            page = await list_page(database, organization, wanted, page=1, size=1000)
            assert page.total == len(page.jobs)
    await asyncio.gather(writers, folding)

    assert await listed(database, organization, JobFilter(), size=50) == await plainly(
        database, organization, JobFilter()
    )


async def test_pages_up_to_a_moment_stay_while_others_insert(database: Database) -> None:
    organization = uuid4().hex
    jobs = await fill(database, organization, 90)
    until = JobFilter(created_before=NOON + timedelta(seconds=90))
    seen: list[UUID] = []

    for number in range(1, 10):
        page = await list_page(database, organization, until, page=number, size=10)
        seen += [job.id for job in page.jobs]
        assert page.total == 90
        async with database.transaction() as connection:
            for place in range(7):
                await put(connection, organization, NOON + timedelta(seconds=100 + place))
        await compact_counters(database, limit=30)

    assert seen == jobs[::-1]


async def test_blocks_that_retention_has_emptied_are_dropped(database: Database) -> None:
    organization = uuid4().hex
    await fill(database, organization, 200)
    await fold_all(database)
    kept = NOON + timedelta(seconds=190)
    async with database.transaction() as connection:
        await connection.execute("DELETE FROM jobs WHERE organization = %s AND created_at < %s", (organization, kept))
    await fold_all(database)

    async with database.transaction() as connection:
        found = await connection.execute("SELECT count(*) FROM job_blocks WHERE organization = %s", (organization,))
        assert (await found.fetchone() or (0,))[0] < 12
        await put(connection, organization, NOON)
    assert await listed(database, organization, JobFilter(), size=3) == await plainly(
        database, organization, JobFilter()
    )


def at(url: str, go: Callable[[Config], None]) -> None:
    """Move the schema of a database to a revision."""
    engine = create_engine(sqlalchemy_url(url))
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        go(config)
        connection.commit()
    engine.dispose()


@pytest.fixture
def older(make_database: Callable[[], str]) -> str:
    """A database as it was before there was a job list, with jobs in it."""
    url = make_database()
    at(url, lambda config: command.downgrade(config, "0005"))
    with psycopg.connect(url) as connection:
        connection.execute(
            """
            INSERT INTO jobs (id, organization, kind, state, created_at, updated_at, completed_at, user_id)
            SELECT gen_random_uuid(), 'acme', 'ai_job', CASE WHEN mod(n, 3) = 0 THEN 'RUNNING' ELSE 'COMPLETED' END,
                   moment, moment + interval '2 minutes', CASE WHEN mod(n, 3) > 0 THEN moment + interval '1 minute' END,
                   CASE WHEN mod(n, 5) = 0 THEN %s END
            FROM (SELECT n, %s::timestamptz + n * interval '1 second' AS moment FROM generate_series(0, 119) n) made
            """,
            (PEOPLE[0], NOON),
        )
    return url


async def test_jobs_from_before_the_upgrade_are_counted(older: str) -> None:
    await asyncio.to_thread(at, older, lambda config: command.upgrade(config, "head"))
    database = Database(older)

    for _ in range(2):
        totals = await totals_by_status(database, "acme")
        assert (totals[JobStatus.IN_PROGRESS], totals[JobStatus.COMPLETE]) == (40, 80)
        for wanted in (JobFilter(), JobFilter(statuses=[JobStatus.COMPLETE], user_id=PEOPLE[1])):
            assert await listed(database, "acme", wanted, size=50) == await plainly(database, "acme", wanted)
        await fold_all(database)
    newest, running = (await list_page(database, "acme", JobFilter(), page=1, size=120)).jobs[:3:2]
    await database.close()

    assert newest.state_changed_at == newest.completed_at == NOON + timedelta(seconds=119 + 60)
    assert (running.state, running.state_changed_at) == (JobState.RUNNING, running.updated_at)


async def test_the_upgrade_can_be_taken_back(older: str) -> None:
    for go in (command.upgrade, command.downgrade, command.upgrade):
        target = "head" if go is command.upgrade else "0005"
        await asyncio.to_thread(at, older, lambda config, go=go, target=target: go(config, target))
    database = Database(older)
    page = await list_page(database, "acme", JobFilter(), page=2, size=100)
    await database.close()

    assert (len(page.jobs), page.total) == (20, 120)
