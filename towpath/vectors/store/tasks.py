"""Tasks as jobs: their place in the order of acceptance, restart, list, failed items."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlmodel import col, func, select
from sqlmodel.sql.expression import SelectOfScalar

from towpath.core.errors import ErrorCode, NotFoundError
from towpath.db.engine import Connection, Database
from towpath.jobs.rows import ref_of
from towpath.jobs.store.jobs import merge_params
from towpath.jobs.store.staging import Retake, has_unfinished_items, plan_pages
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import FailedItem, JobState
from towpath.vectors.types import Collection, Scope, TaskStatus


async def next_order(connection: Connection) -> int:
    """Return the next place in the order in which tasks are accepted."""
    cursor = await connection.execute("SELECT nextval('vector_orders')")
    return int((await cursor.fetchone() or (0,))[0])


async def find_task(database: Database, organization: str, kind: str, task_id: str) -> JobRow:
    """Return a task by its own id.

    Raises:
        NotFoundError: No such task, or another tenant's.
    """
    query = select(JobRow).where(
        JobRow.organization == organization, JobRow.kind == kind, JobRow.external_id == task_id
    )
    async with database.session() as session:
        row = (await session.exec(query)).one_or_none()
    if row is None:
        raise NotFoundError(f"no task {task_id}")
    return row


async def claim_task_id(connection: Connection, organization: str, kind: str, task_id: str) -> UUID | None:
    """Hold a task id until the transaction ends, so that two requests with it run one after the other.

    Returns:
        The job that has it already.
    """
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"{organization}\n{kind}\n{task_id}",)
    )
    cursor = await connection.execute(
        "SELECT id FROM jobs WHERE organization = %s AND kind = %s AND external_id = %s", (organization, kind, task_id)
    )
    row = await cursor.fetchone()
    return row[0] if row else None


async def prepare_restart(connection: Connection, job: JobRow, scope: Scope = Scope.REMAINING) -> None:
    """Set back what the next attempt takes up again.

    A run over everything is accepted anew; one over the remaining items keeps its place, so that it
    does not overwrite what a later task has written since.
    """
    everything = scope is Scope.ALL or not await has_unfinished_items(connection, job.id)
    await plan_pages(connection, job.id, retake=Retake.ALL if everything else Retake.FAILED)
    if everything:
        order = await next_order(connection)
        await merge_params(connection, ref_of(job), {"order": order})


async def list_tasks(
    database: Database,
    organization: str,
    kind: str,
    *,
    status: TaskStatus | None,
    collection: Collection | None,
    limit: int,
    offset: int,
) -> tuple[list[JobRow], int]:
    """Return a page of tasks, newest first, and how many there are."""

    def narrow(query: SelectOfScalar[JobRow] | SelectOfScalar[int]) -> SelectOfScalar[JobRow] | SelectOfScalar[int]:
        query = query.where(JobRow.organization == organization, JobRow.kind == kind)
        if collection is not None:
            query = query.where(col(JobRow.params)["collection"].as_string() == collection.value)
        return query if status is None else _with_status(query, status)

    rows = narrow(select(JobRow)).order_by(col(JobRow.created_at).desc(), col(JobRow.id)).limit(limit).offset(offset)
    async with database.session() as session:
        total = (await session.exec(narrow(select(func.count(col(JobRow.id)))))).one()
        return list((await session.exec(rows)).all()), int(total)  # type: ignore[arg-type]


def _with_status(
    query: SelectOfScalar[JobRow] | SelectOfScalar[int], status: TaskStatus
) -> SelectOfScalar[JobRow] | SelectOfScalar[int]:
    state, cancelling = col(JobRow.state), col(JobRow.cancelling)
    active = [JobState.PENDING, JobState.RUNNING, JobState.PAUSED]
    match status:
        case TaskStatus.PENDING:
            return query.where(state == JobState.PENDING, ~cancelling)
        case TaskStatus.PROCESSING:
            return query.where(state.in_([JobState.RUNNING, JobState.PAUSED]), ~cancelling)
        case TaskStatus.DONE:
            return query.where(state == JobState.COMPLETED)
        case TaskStatus.CANCELED:
            return query.where((state == JobState.CANCELLED) | (state.in_(active) & cancelling))
        case TaskStatus.REFUSED:
            return query.where(state == JobState.FAILED, col(JobRow.error_code) == ErrorCode.REFUSED)
        case TaskStatus.FAILED:
            return query.where(
                state == JobState.FAILED, func.coalesce(col(JobRow.error_code), "") != ErrorCode.REFUSED.value
            )


async def read_failed_items(
    database: Database, job_ids: Sequence[UUID], *, most: int | None
) -> dict[UUID, list[FailedItem]]:
    """Return the failed items of tasks, by position, up to `most` a task."""
    async with database.transaction() as connection:
        cursor = await connection.execute(
            """
            SELECT job_id, item_index, item_id, stage, code, message, item FROM (
                SELECT *, row_number() OVER (PARTITION BY job_id ORDER BY item_index) AS place
                FROM job_failures WHERE job_id = ANY(%s)
            ) AS ranked WHERE %s::int IS NULL OR place <= %s ORDER BY job_id, item_index
            """,
            (list(job_ids), most, most),
        )
        failures: dict[UUID, list[FailedItem]] = {}
        for job_id, index, item_id, stage, code, message, item in await cursor.fetchall():
            failure = FailedItem(index=index, id=item_id, stage=stage, code=ErrorCode(code), message=message, item=item)
            failures.setdefault(job_id, []).append(failure)
    return failures
