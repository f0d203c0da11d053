"""Indexes: created, changed, dropped, listed; and the job that rebuilds one."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

from towpath.accounts.types import Principal
from towpath.core.errors import BadInputError, ConflictError
from towpath.db.engine import Connection, Database
from towpath.entities.params import ReindexParams
from towpath.entities.store.indexes import (
    Index,
    create_index,
    drop_index,
    find_index,
    is_rebuilding,
    list_indexes,
    mark_reindexing,
    replace_config,
)
from towpath.entities.store.labels import read_labels
from towpath.entities.types import ENTITY_REINDEX, ENTITY_SETTLE, IndexBody, IndexConfig, IndexList, IndexView
from towpath.entities.views import index_view
from towpath.jobs.params import params_of
from towpath.jobs.rows import ref_of
from towpath.jobs.store import jobs as job_store
from towpath.jobs.store.ends import cancel_now
from towpath.jobs.store.tables import JobRow


@dataclass(frozen=True, slots=True)
class PutResult:
    """What came of putting an index.

    Attributes:
        view: The index as it is now; while a job rebuilds it, as it was.
        is_new: Whether it was created.
        job: The job that rebuilds it, to be started after the commit; None: none is needed.
    """

    view: IndexView
    is_new: bool = False
    job: JobRow | None = None


def make_reindex_job(index: Index, config: IndexConfig, *, window: int, settles: bool = False) -> JobRow:
    """Make the row of a job that rebuilds an index.

    Args:
        index: The live generation.
        config: What the next one has.
        window: The chunks that the job has under way at once.
        settles: Whether nobody has asked for it.
    """
    params: dict[str, object] = {
        "index": index.name,
        "config": config.model_dump(mode="json", by_alias=True),
        "fields": [field.name for field in index.config.fields],
    }
    if settles:
        params["settles"] = True
    return JobRow(
        id=uuid4(),
        organization=index.organization,
        kind=ENTITY_SETTLE if settles else ENTITY_REINDEX,
        params=params,
        total=index.entities,
        window_size=window,
    )


class IndexService:
    """Creates, changes and describes indexes.

    Args:
        database: Where they are.
        window: The chunks that a job which rebuilds an index has under way at once.
    """

    def __init__(self, database: Database, *, window: int) -> None:
        self._database = database
        self._window = window

    async def put(self, connection: Connection, caller: Principal, body: IndexBody, *, max_jobs: int) -> PutResult:
        """Create an index or change it.

        Args:
            connection: In the caller's transaction.
            caller: Who asks.
            body: The configuration.
            max_jobs: How many jobs the organization may have in flight; 0: any number.

        Raises:
            ConflictError: It exists and must not, or a job rebuilds it.
            LimitReachedError: A job is needed, and there are as many as may be.
        """
        config = body.config()
        created = await create_index(connection, caller.organization, config)
        if created is not None:
            return PutResult(index_view(created), is_new=True)
        if body.if_exists == "error":
            raise ConflictError(f"an index named {config.index_name} exists")
        index = await find_index(connection, caller.organization, config.index_name, lock="exclusive")
        if index.config == config:
            if not await _settles(connection, index):
                await _refuse_while_rebuilding(connection, index)
            return PutResult(index_view(index))
        if index.entities == 0:
            # Nothing is stored in the old shape, so nothing has to be rebuilt.
            await _stop_settling(connection, index)
            await _refuse_while_rebuilding(connection, index)
            await replace_config(connection, index.index_no, config)
            return PutResult(index_view(await find_index(connection, caller.organization, config.index_name)))
        job = await self._rebuild(connection, caller, index, config, max_jobs=max_jobs)
        view = index_view(index)
        view.reindex_job_id = job.id
        return PutResult(view, job=job)

    async def _rebuild(
        self, connection: Connection, caller: Principal, index: Index, config: IndexConfig, *, max_jobs: int
    ) -> JobRow:
        job = make_reindex_job(index, config, window=self._window)
        job.created_by = caller.key_id
        await _stop_settling(connection, index)
        await mark_reindexing(connection, index, job.id)
        await job_store.create_job(connection, job, most=max_jobs)
        return job

    async def list_all(self, organization: str, *, limit: int, offset: int) -> IndexList:
        """List an organization's indexes by name."""
        async with self._database.transaction() as connection:
            indexes, total = await list_indexes(connection, organization, limit=limit, offset=offset)
        return IndexList(indexes=[index_view(index) for index in indexes], limit=limit, offset=offset, total=total)

    async def read(self, organization: str, name: str) -> IndexView:
        """Show one index.

        Raises:
            NotFoundError: No such index.
        """
        async with self._database.transaction() as connection:
            return index_view(await find_index(connection, organization, name))

    async def drop(self, organization: str, name: str) -> None:
        """Drop an index with its entities, pairs and labels.

        Raises:
            NotFoundError: No such index.
        """
        async with self._database.transaction() as connection:
            await drop_index(connection, await find_index(connection, organization, name, lock="exclusive"))

    async def tune(self, connection: Connection, caller: Principal, name: str, *, max_jobs: int) -> JobRow:
        """Accept the job that learns from the labels of an index; it is to be started after the commit.

        Args:
            connection: In the caller's transaction.
            caller: Who asks.
            name: The index.
            max_jobs: How many jobs the organization may have in flight; 0: any number.

        Raises:
            NotFoundError: No such index.
            BadInputError: There are not labels of both kinds.
            ConflictError: A job rebuilds the index already.
            LimitReachedError: There are as many jobs as may be.
        """
        index = await find_index(connection, caller.organization, name, lock="exclusive")
        labels = await read_labels(connection, caller.organization, index.name)
        if len({label.duplicate for label in labels}) < 2:
            raise BadInputError("tuning needs labels of both kinds: duplicates and not", field="labels")
        return await self._rebuild(connection, caller, index, index.config, max_jobs=max_jobs)


async def _refuse_while_rebuilding(connection: Connection, index: Index) -> None:
    if await is_rebuilding(connection, index):
        raise ConflictError(f"a re-index of {index.name} is running: job {index.reindex_job}")


async def _settles(connection: Connection, index: Index) -> bool:
    """Say whether what rebuilds the index is a job that nobody has asked for."""
    if index.reindex_job is None or not await is_rebuilding(connection, index):
        return False
    job = await job_store.lock_job(connection, index.organization, index.reindex_job)
    return params_of(job, ReindexParams).settles


async def _stop_settling(connection: Connection, index: Index) -> None:
    """End such a job: what somebody asks for goes before it, and makes it needless."""
    if index.reindex_job is not None and await _settles(connection, index):
        job = await job_store.lock_job(connection, index.organization, index.reindex_job)
        await cancel_now(connection, job, ref_of(job))
