"""The job list at a million rows: any page of any filter, against a plain count and OFFSET on the same rows.

    python -m bench.job_list --jobs 1000000

One line of JSON a figure. A page is what `stores.job_list.list_page` gives, rows and exact total; the plain way makes
the same rows of a `count(*)` and an ORDER BY with OFFSET, by the same indexes. `first` are pages out of the first
hundred, `middle` and `last` one page each, asked again and again. Before that: what the triggers cost a write, against
a database of the same run with neither triggers nor the wider indexes.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import math
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import psycopg
from sqlalchemy import ColumnElement, func, or_
from sqlmodel import col, select

from bench.figures import tell
from towpath.ai.types import AI_JOB, QUERY_GENERATION
from towpath.db.engine import Database
from towpath.db.migrate import migrate
from towpath.enrichment.types import SCHEMA_EDIT, SINGLE_ENRICHMENT
from towpath.entities.types import ENTITY_BATCH, ENTITY_REINDEX
from towpath.extraction.types import EXTRACTION
from towpath.features import register_features
from towpath.jobs.lists import JobFilter
from towpath.jobs.store.counters import compact_counters
from towpath.jobs.store.ends import finish_job
from towpath.jobs.store.jobs import begin_job, create_job
from towpath.jobs.store.listing import list_page
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import STATUS_OF, Finish, JobRef, JobState, JobStatus, ReviewStatus
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.settings import Settings
from towpath.vectors.types import VECTOR_DELETION, VECTOR_UPSERTION

Argument = TypeVar("Argument")

SIZE = 100
SAMPLES = 200
PLAIN_SAMPLES = 10
WRITES = 1_500
BULKS = 10
FOLD = 5_000
END = datetime(2026, 6, 1, tzinfo=UTC)
DAYS = 90
# The kind that is reviewed and has templates; the others have neither.
REVIEWED = EXTRACTION
KINDS = {
    REVIEWED: 30, ENTITY_BATCH: 20, VECTOR_UPSERTION: 20, AI_JOB: 15,
    SINGLE_ENRICHMENT: 8, VECTOR_DELETION: 4, QUERY_GENERATION: 2, SCHEMA_EDIT: 0.99,
    ENTITY_REINDEX: 0.01,
}  # fmt: skip
STATES = {
    JobState.COMPLETED: 90, JobState.FAILED: 6, JobState.CANCELLED: 3.95, JobState.PAUSED: 0.04, JobState.RUNNING: 0.01,
}  # fmt: skip
REVIEWS: dict[ReviewStatus | None, float] = {
    None: 40, ReviewStatus.APPROVED: 45, ReviewStatus.PENDING: 8, ReviewStatus.REJECTED: 6, ReviewStatus.CANCELLED: 1,
}  # fmt: skip
TEMPLATES = [UUID(int=number) for number in range(1, 41)]
PEOPLE = [UUID(int=number) for number in range(1001, 1201)]
COLUMNS = (
    "id, organization, kind, state, retrying, review_status, template_id, user_id, created_at, started_at, "
    "completed_at, updated_at, state_changed_at, total, processed, succeeded, params, result"
)
PARAMS = '{"index": "products", "note": "' + "a request of some length " * 10 + '"}'
RESULT = '{"groups": 12, "pairs": 340, "note": "' + "a result of some length " * 6 + '"}'


def _chosen(dice: random.Random, weights: dict[Any, float], count: int) -> list[Any]:
    return dice.choices(list(weights), list(weights.values()), k=count)


def moments(dice: random.Random, count: int, days: float) -> list[datetime]:
    """Times up to END in rising order: workdays busy, nights and weekends nearly quiet."""
    if days < 1:
        return sorted(END - timedelta(days=days * dice.random()) for _ in range(count))
    hours = int(days * 24)
    starts = [END - timedelta(hours=hour + 1) for hour in range(hours)]
    weights = [(1.0 if 7 <= at.hour < 19 else 0.1) * (1.0 if at.weekday() < 5 else 0.2) for at in starts]
    return sorted(at + timedelta(hours=dice.random()) for at in dice.choices(starts, weights, k=count))


def rows(dice: random.Random, organization: str, count: int, days: float) -> Iterator[tuple[Any, ...]]:
    """Jobs of an organization, oldest first; the newest thousandth is under way."""
    kinds, states, reviews = (_chosen(dice, weights, count) for weights in (KINDS, STATES, REVIEWS))
    popular = [1 / (rank + 1) for rank in range(len(TEMPLATES))]
    popular[-1] = 0.0005
    templates = dice.choices(TEMPLATES, popular, k=count)
    for number, created in enumerate(moments(dice, count, days)):
        kind, state, reviewed = kinds[number], states[number], kinds[number] is REVIEWED
        if number >= count - count // 1000:
            state = dice.choice([JobState.PENDING, JobState.RUNNING])
        started = created + timedelta(seconds=1)
        ended = created + timedelta(seconds=dice.expovariate(1 / 40)) if state.final else None
        yield (
            UUID(int=dice.getrandbits(128), version=4), organization, kind, state.value,
            state is JobState.RUNNING and dice.random() < 0.3,
            reviews[number].value if reviewed and reviews[number] and state.final else None,
            templates[number] if reviewed else None,
            dice.choice(PEOPLE) if kind == AI_JOB and dice.random() < 0.6 else None,
            created, started, ended, ended or started, ended or started, 200, 200, 200, PARAMS, RESULT,
        )  # fmt: skip


async def load(database: Database, values: Iterator[tuple[Any, ...]], *, batch: int = 50_000) -> int:
    """Write jobs by COPY, a transaction a batch; how many."""
    count = 0
    while batched := list(islice(values, batch)):
        async with (
            database.transaction() as connection,
            connection.cursor() as cursor,
            cursor.copy(f"COPY jobs ({COLUMNS}) FROM STDIN") as copy,
        ):
            for row in batched:
                await copy.write_row(row)
        count += len(batched)
    return count


def percentile(values: list[float], share: float) -> float:
    """Return the value that this share of all is not above."""
    return sorted(values)[math.ceil(len(values) * share) - 1]


async def timed(call: Callable[[Argument], Awaitable[Any]], arguments: list[Argument]) -> list[float]:
    """Milliseconds of a call with each of what is given, one after the other."""
    times = []
    for argument in arguments:
        start = time.perf_counter()
        await call(argument)
        times.append((time.perf_counter() - start) * 1000)
    return times


async def plain_page(database: Database, organization: str, filters: JobFilter, page: int) -> tuple[list[JobRow], int]:
    """Return the same page and total without stored counts."""
    conditions: list[ColumnElement[bool]] = [col(JobRow.organization) == organization]
    if filters.kinds:
        conditions.append(col(JobRow.kind).in_(filters.kinds))
    if filters.statuses:
        running, retrying = col(JobRow.state) == JobState.RUNNING, col(JobRow.retrying)
        of_state = {status: col(JobRow.state) == state for state, status in STATUS_OF.items()}
        of_state |= {JobStatus.IN_PROGRESS: running & ~retrying, JobStatus.RETRY: running & retrying}
        conditions.append(or_(*(of_state[status] for status in filters.statuses)))
    if filters.review_statuses:
        conditions.append(col(JobRow.review_status).in_(filters.review_statuses))
    if filters.template_id is not None:
        conditions.append(col(JobRow.template_id) == filters.template_id)
    if filters.created_after is not None:
        conditions.append(col(JobRow.created_at) >= filters.created_after)
    if filters.created_before is not None:
        conditions.append(col(JobRow.created_at) < filters.created_before)
    if filters.user_id is not None:
        conditions.append(col(JobRow.user_id).is_(None) | (col(JobRow.user_id) == filters.user_id))
    rows = select(JobRow).where(*conditions).order_by(col(JobRow.created_at).desc(), col(JobRow.id).desc())
    async with database.session() as session:
        total = (await session.exec(select(func.count()).select_from(JobRow).where(*conditions))).one()
        return list((await session.exec(rows.offset((page - 1) * SIZE).limit(SIZE))).all()), total


def filters() -> dict[str, JobFilter]:
    """Return the filters that are measured, by name."""
    after, before = END - timedelta(days=70), END - timedelta(days=20)
    return {
        "all": JobFilter(),
        "COMPLETE": JobFilter(statuses=[JobStatus.COMPLETE]),
        "ERROR": JobFilter(statuses=[JobStatus.ERROR]),
        "ERROR or CANCELLED": JobFilter(statuses=[JobStatus.ERROR, JobStatus.CANCELLED]),
        "IN_PROGRESS": JobFilter(statuses=[JobStatus.IN_PROGRESS]),
        "RETRY": JobFilter(statuses=[JobStatus.RETRY]),
        "PAUSED": JobFilter(statuses=[JobStatus.PAUSED]),
        "a frequent kind": JobFilter(kinds=[REVIEWED]),
        "two kinds": JobFilter(kinds=[ENTITY_BATCH, AI_JOB]),
        "a kind of one in 10,000": JobFilter(kinds=[ENTITY_REINDEX]),
        "review PENDING": JobFilter(review_statuses=[ReviewStatus.PENDING]),
        "review APPROVED or REJECTED": JobFilter(review_statuses=[ReviewStatus.APPROVED, ReviewStatus.REJECTED]),
        "a popular template": JobFilter(template_id=TEMPLATES[0]),
        "a rare template": JobFilter(template_id=TEMPLATES[-1]),
        "kind, status, review, template": JobFilter(
            kinds=[REVIEWED], statuses=[JobStatus.ERROR], review_statuses=[ReviewStatus.REJECTED],
            template_id=TEMPLATES[3],
        ),
        "a seldom kind that failed": JobFilter(kinds=[SCHEMA_EDIT], statuses=[JobStatus.ERROR]),
        "50 days": JobFilter(created_after=after, created_before=before),
        "50 days, COMPLETE": JobFilter(statuses=[JobStatus.COMPLETE], created_after=after, created_before=before),
        "50 days, review PENDING": JobFilter(
            review_statuses=[ReviewStatus.PENDING], created_after=after, created_before=before
        ),
        "as a person sees them": JobFilter(user_id=PEOPLE[0]),
        "as a person sees ERROR": JobFilter(user_id=PEOPLE[0], statuses=[JobStatus.ERROR]),
    }  # fmt: skip


async def compare(database: Database, organization: str, name: str, filters: JobFilter, dice: random.Random) -> None:
    """Measure and print the figures of a filter."""

    async def load_counted(page: int) -> tuple[list[JobRow], int]:
        listed = await list_page(database, organization, filters, page=page, size=SIZE)
        return listed.jobs, listed.total

    async def plain(page: int) -> tuple[list[JobRow], int]:
        return await plain_page(database, organization, filters, page)

    total = (await load_counted(1))[1]
    pages = max(1, -(-total // SIZE))
    first = [dice.randint(1, min(100, pages)) for _ in range(SAMPLES)]
    middle, last = [-(-pages // 2)] * (SAMPLES // 4), [pages] * (SAMPLES // 2)
    for where, sampled in (("first", first), ("middle", middle), ("last", last)):
        (rows, counted), (plain_rows, plain_counted) = await load_counted(sampled[0]), await plain(sampled[0])
        assert ([job.id for job in rows], counted) == ([job.id for job in plain_rows], plain_counted)
        times = await timed(load_counted, sampled)
        slow = await timed(plain, sampled[:PLAIN_SAMPLES])
        tell(
            "job list", organization=organization, filter=name, pages=where, total=total, of=pages,
            p50_ms=round(statistics.median(times), 1), p99_ms=round(percentile(times, 0.99), 1),
            plain_p50_ms=round(statistics.median(slow), 1), plain_p99_ms=round(percentile(slow, 0.99), 1),
            ratio=round(statistics.median(times) / statistics.median(slow), 3),
        )  # fmt: skip


async def _write(database: Database) -> tuple[float, float]:
    """Milliseconds of a job's insert, and of its start and end together."""
    ref = JobRef(organization="writes", kind=ENTITY_BATCH, job_id=uuid4())

    async def create(job: JobRow) -> None:
        async with database.transaction() as connection:
            await create_job(connection, job)

    async def run(ref: JobRef) -> None:
        await begin_job(database, ref)
        await finish_job(database, Finish(ref=ref, state=JobState.COMPLETED))

    created = await timed(create, [JobRow(id=ref.job_id, organization=ref.organization, kind=ref.kind, total=10)])
    return created[0], (await timed(run, [ref]))[0]


async def _write_rows(database: Database) -> tuple[float, float]:
    """Milliseconds a thousand rows of one INSERT, and of one UPDATE of their state."""
    async with database.transaction() as connection:
        start = time.perf_counter()
        await connection.execute(
            "INSERT INTO jobs (id, organization, kind, state) "
            "SELECT gen_random_uuid(), 'rows', 'ai_job', 'PENDING' FROM generate_series(1, 10000)"
        )
        middle = time.perf_counter()
        await connection.execute("UPDATE jobs SET state = 'RUNNING' WHERE organization = 'rows'")
        end = time.perf_counter()
        await connection.execute("DELETE FROM jobs WHERE organization = 'rows'")
    return (middle - start) * 100, (end - middle) * 100


async def write_cost(server: str) -> None:
    """Measure what triggers and indexes cost a write, in both databases in turn."""
    handles = {}
    for name in ("counted", "plain"):
        with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE bench_{name}")
        url = f"{server}/bench_{name}"
        await asyncio.to_thread(migrate, url)
        if name == "plain":
            with psycopg.connect(url) as connection:
                connection.execute("ALTER TABLE jobs DISABLE TRIGGER USER")
                connection.execute("DROP INDEX jobs_newest, jobs_of_user")
                connection.execute("CREATE INDEX jobs_newest ON jobs (organization, created_at DESC, id DESC)")
        handles[name] = Database(url)
    for rounds, measure, figures in (
        (WRITES, _write, ("create a job", "begin and finish a job")),
        (BULKS, _write_rows, ("insert of 1,000 rows", "change of the state of 1,000 rows")),
    ):
        measured: dict[str, list[tuple[float, float]]] = {name: [] for name in handles}
        for number in range(rounds + rounds // 10 + 1):
            for name, handle in handles.items():
                times = await measure(handle)
                # The first rounds warm up.
                measured[name] += [times] if number > rounds // 10 else []
        for column, figure in enumerate(figures):
            medians = [statistics.median(times[column] for times in measured[name]) for name in ("counted", "plain")]
            counted, plain = medians
            tell(figure, ms=round(counted, 3), plain_ms=round(plain, 3), ratio=round(counted / plain, 3))
    for handle in handles.values():
        await handle.close()


async def fold_all(database: Database) -> None:
    """Fold what the load has left open, and tell how fast."""
    start, count, longest = time.perf_counter(), 0, 0.0
    while True:
        begun = time.perf_counter()
        folded = await compact_counters(database, limit=FOLD)
        longest = max(longest, time.perf_counter() - begun)
        count += folded
        if not folded:
            break
    seconds = time.perf_counter() - start
    tell("fold", deltas=count, a_second=round(count / seconds), longest_piece_ms=round(longest * 1000))


async def run(jobs: int) -> None:
    """Measure and print all figures."""
    dice = random.Random(20)
    with tempfile.TemporaryDirectory(prefix="towpath-bench-") as folder:
        settings = Settings(home=Path(folder) / "home", port=0, ui_port=0, postgres_port=0)
        async with EmbeddedStack(settings, parts={"postgres"}, echo=False) as stack:
            await write_cost(stack.database_url.rsplit("/", 1)[0])
            await asyncio.to_thread(migrate, stack.database_url)
            database = Database(stack.database_url)
            start = time.perf_counter()
            stored = await load(database, rows(dice, "acme", jobs, DAYS))
            stored += await load(database, rows(dice, "second", jobs // 10, DAYS))
            stored += await load(database, rows(dice, "hour", jobs // 10, 1 / 24))
            tell("load", jobs=stored, seconds=round(time.perf_counter() - start, 1))
            await fold_all(database)
            async with database.statement() as connection:
                await connection.execute("VACUUM (ANALYZE)")
                await connection.execute("CHECKPOINT")
            # What the load has left is not the list's to look through.
            gc.collect()
            gc.freeze()
            for name, job_filter in filters().items():
                await compare(database, "acme", name, job_filter, dice)
            for organization in ("second", "hour"):
                await compare(database, organization, "all", JobFilter(), dice)
                await compare(database, organization, "ERROR", JobFilter(statuses=[JobStatus.ERROR]), dice)
            await load(database, rows(dice, "acme", FOLD, 1 / 24))
            await compare(database, "acme", f"all, {FOLD} deltas open", JobFilter(), dice)
            await database.close()


def main() -> None:
    """Entry of `python -m bench.job_list`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1_000_000, help="jobs of the largest organization")
    register_features()
    asyncio.run(run(parser.parse_args().jobs))


if __name__ == "__main__":
    main()
