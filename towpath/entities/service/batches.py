"""Batches of entities: a body is staged into a job in the transaction that accepts it; status and results are shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from towpath.accounts.types import Principal
from towpath.core.errors import ErrorCode, NotFoundError
from towpath.core.json_stream import Slice
from towpath.core.json_values import parse_json
from towpath.db.engine import Connection, Database
from towpath.entities.domain.matching import entity_uid
from towpath.entities.domain.parsing import ScalarFields, parse_entity
from towpath.entities.params import BatchParams
from towpath.entities.service.dynamic import index_for_write
from towpath.entities.service.judgements import judges_of_partners
from towpath.entities.store.indexes import find_index
from towpath.entities.store.results import read_results
from towpath.entities.types import ENTITY_BATCH, BatchStatus, Candidate
from towpath.entities.views import STATUS_PATH, batch_view, candidate_views, entity_answer
from towpath.jobs.params import params_of
from towpath.jobs.rows import ref_of
from towpath.jobs.staging import ItemKind, StagedUpload, Stager, UploadBody, UploadLimits
from towpath.jobs.store import jobs as job_store
from towpath.jobs.store.staging import StagedItem, read_failures
from towpath.jobs.store.tables import JobRow
from towpath.jobs.store.warnings import add_warnings
from towpath.jobs.types import JobWarning
from towpath.webhooks.store.endpoints import add_job_endpoint
from towpath.webhooks.types import JobEndpoint

MAX_ENTITIES = 1_000_000
MAX_ENTITY_BYTES = 1 << 20
MAX_ERRORS = 1000


@dataclass(frozen=True, slots=True)
class StagedBatch:
    """Entities that have been staged into a job which is not accepted yet.

    Attributes:
        job_id: The job.
        upload: What has been staged.
        fields: The fields that the entities have.
    """

    job_id: UUID
    upload: StagedUpload
    fields: ScalarFields


class BatchService:
    """Accepts and shows batches.

    Args:
        database: Where they are.
        page_items: Entities in one page.
        window: The pages that a batch has under way at once.
    """

    def __init__(self, database: Database, *, page_items: int, window: int) -> None:
        self._database = database
        self._limits = UploadLimits(items=MAX_ENTITIES, item_bytes=MAX_ENTITY_BYTES, page_items=page_items)
        self._window = window

    async def stage(
        self, connection: Connection, job_id: UUID, body: UploadBody | bytes, *, start: bytes
    ) -> StagedBatch:
        """Stage the entities of a body, in the transaction that is to accept the job.

        Args:
            connection: Of that transaction.
            job_id: The job to come.
            body: A list of entities as it comes, or one entity that has been read.
            start: What the digest covers besides the body.

        Raises:
            BadInputError: The body as a whole cannot be taken.
            TooLargeError: It holds too much.
        """
        fields = ScalarFields()
        kind = ItemKind("entities", "id", _make_reader(fields), may_be_bare=True)
        stager = Stager(connection, job_id, self._limits, kind)
        if isinstance(body, bytes):
            return StagedBatch(job_id, await stager.stage_one(body, start=start), fields)
        return StagedBatch(job_id, await stager.stage(body, start=start), fields)

    async def accept(
        self,
        connection: Connection,
        caller: Principal,
        staged: StagedBatch,
        *,
        index_name: str,
        deadline: datetime | None,
        endpoint: JobEndpoint | None,
        max_jobs: int,
    ) -> JobRow:
        """Accept a staged batch as a job; it is to be started after the commit.

        Args:
            connection: Of the transaction that has staged it.
            caller: Who sends it.
            staged: The entities.
            index_name: The index to write to; the default one is created on first use.
            deadline: When the job is to have ended.
            endpoint: The endpoint that its events go to besides the registered ones.
            max_jobs: How many jobs the organization may have in flight; 0: any number.

        Raises:
            NotFoundError: No such index.
            LimitReachedError: There are as many jobs as may be.
        """
        upload = staged.upload
        job = JobRow(
            id=staged.job_id,
            organization=caller.organization,
            kind=ENTITY_BATCH,
            params={"index": index_name},
            digest=upload.digest,
            total=upload.items,
            processed=upload.failed,
            failed=upload.failed,
            deadline=deadline,
            created_by=caller.key_id,
            window_size=self._window,
        )
        index = await index_for_write(connection, caller.organization, index_name, staged.fields)
        await job_store.create_job(connection, job, most=max_jobs)
        if index.dynamic and (message := staged.fields.left_out(index.config)):
            left_out = JobWarning(code=ErrorCode.FIELDS_LEFT_OUT, message=message)
            await add_warnings(connection, ref_of(job), [left_out])
        if endpoint is not None:
            await add_job_endpoint(connection, job.id, endpoint)
        return job

    async def show(self, job: JobRow, *, limit: int, offset: int, explain: bool) -> dict[str, Any]:
        """Show a batch's status with a page of its results, ready for JSON.

        Args:
            job: The batch; or a re-index or a judge, which have no results.
            limit: The most results; 0: none.
            offset: How many finished entities to pass over.
            explain: Whether each candidate says why.
        """
        failures, total = await read_failures(self._database, job.id, limit=MAX_ERRORS, offset=0)
        view = batch_view(job, failures=failures, total_failures=total)
        view.progress = job.fraction
        view.created_at, view.started_at, view.completed_at = job.created_at, job.started_at, job.completed_at
        answer = view.model_dump(mode="json", by_alias=True, exclude_none=True)
        results = await self._read_results(job, limit=limit, offset=offset, explain=explain)
        if results:
            answer["results"] = results
        if job.result is not None:
            answer["report"] = job.result
        return answer

    async def _read_results(self, job: JobRow, *, limit: int, offset: int, explain: bool) -> list[dict[str, Any]]:
        if limit == 0 or job.kind != ENTITY_BATCH:
            return []
        async with self._database.transaction() as connection:
            try:
                index = await find_index(connection, job.organization, params_of(job, BatchParams).index)
            except NotFoundError:
                # It has been dropped: what was sent is still shown, and nobody has candidates.
                index = None
            number = index.index_no if index else None
            rows = await read_results(connection, job.id, number, limit=limit, offset=offset)
            judges = {}
            if index is not None:
                judges = await judges_of_partners(connection, index, {row.uid: row.partners for row in rows})
        results: list[dict[str, Any]] = []
        for row in rows:
            candidates: list[Candidate] = []
            if index is not None:
                candidates = candidate_views(index.config, row.uid, row.partners, judges, explain=explain)
            results.append(entity_answer(parse_json(row.raw), candidates))
        return results


def show_accepted(job: JobRow) -> dict[str, Any]:
    """Show a batch that has just been accepted, ready for JSON: its counts, and where its status is."""
    view = batch_view(job)
    view.status = BatchStatus.PENDING
    view.status_url = f"{STATUS_PATH}{job.id}"
    return view.model_dump(mode="json", by_alias=True, exclude_none=True)


def _make_reader(fields: ScalarFields) -> Callable[[Slice, int], StagedItem]:
    def read(item: Slice, position: int) -> StagedItem:
        entity = parse_entity(item.raw, f"entities[{position}]", offset=item.offset)
        fields.see(entity)
        return StagedItem(raw=item.raw, uid=entity_uid(entity["id"]), id=str(entity["id"]))

    return read
