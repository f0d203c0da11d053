"""Indexes: what entities are matched on, labels, tuning."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Path, Query, Request, Response, status

from towpath.accounts.types import Principal
from towpath.api.entity_answers import STATUS_PATH, index_view
from towpath.api.http.auth import Editor, Owner, Reader
from towpath.api.http.idempotency import IdempotencyKey, digest_of, slot_of
from towpath.api.http.responses import json_answer
from towpath.api.http.routing import ApiRoute
from towpath.api.http.state import AppState, State
from towpath.core.errors import BadInputError, ConflictError, NotFoundError
from towpath.core.values import Offset
from towpath.db.engine import Connection
from towpath.db.tables import JobRow
from towpath.entities.domain.matching import entity_uid
from towpath.entities.store.indexes import (
    Index,
    create_index,
    drop_index,
    find_index,
    list_indexes,
    mark_reindexing,
    replace_config,
)
from towpath.entities.store.labels import StoredLabel, read_labels, save_labels
from towpath.entities.store.records import find_entity
from towpath.entities.types import (
    BatchStatus,
    IndexBody,
    IndexConfig,
    IndexList,
    IndexView,
    LabelCounts,
    LabelsBody,
    TuneStarted,
)
from towpath.jobs.store import jobs as job_store
from towpath.jobs.types import JobKind

router = APIRouter(prefix="/v1/indexes", tags=["indexes"], route_class=ApiRoute)

Name = Annotated[str, Path(alias="indexName", min_length=1, max_length=128)]


def _json(view: IndexView | IndexList, **more: Any) -> dict[str, Any]:
    return {**view.model_dump(mode="json", by_alias=True, exclude_none=True), **more}


@router.post(
    "",
    summary="Create or update an index",
    response_model=IndexView,
    responses={201: {"model": IndexView, "description": "Created."}},
)
async def put_index(
    request: Request, state: State, caller: Editor, body: IndexBody, idempotency_key: IdempotencyKey = None
) -> Response:
    """Creates the index, or changes it. A change that touches stored entities runs as a job: `reindexJobId`.

    Reads go on with the old configuration until that job ends; poll it like a batch.
    """
    slot, digest = slot_of(request, caller, idempotency_key), digest_of(body)
    async with state.db.transaction() as connection:
        if known := await slot.open(connection):
            return known.replay(digest)
        answer, code, job = await _put(connection, state, caller, body)
        await slot.keep(connection, digest, code, answer)
    if job is not None:
        state.gateway.start_soon(job)
    return json_answer(answer, code)


async def _put(
    connection: Connection, state: AppState, caller: Principal, body: IndexBody
) -> tuple[dict[str, Any], int, JobRow | None]:
    """Make or change an index: the answer, its status, and the job that rebuilds it, if one is needed."""
    config = body.config()
    made = await create_index(connection, caller.organization, config)
    if made is not None:
        return _json(index_view(made)), status.HTTP_201_CREATED, None
    if body.if_exists == "error":
        raise ConflictError(f"an index named {config.index_name} exists")
    index = await find_index(connection, caller.organization, config.index_name, lock="exclusive")
    if index.config == config:
        await _refuse_while_rebuilding(connection, index)
        return _json(index_view(index)), status.HTTP_200_OK, None
    if index.entities == 0:
        await _refuse_while_rebuilding(connection, index)
        await replace_config(connection, index.index_no, config)
        changed = await find_index(connection, caller.organization, config.index_name)
        return _json(index_view(changed)), status.HTTP_200_OK, None
    job = await _rebuild(connection, state, caller, index, config)
    return _json(index_view(index), reindexJobId=str(job.id)), status.HTTP_200_OK, job


async def _refuse_while_rebuilding(connection: Connection, index: Index) -> None:
    if index.reindex_job is not None:
        job = await connection.execute(
            "SELECT 1 FROM jobs WHERE id = %s AND state IN ('PENDING', 'RUNNING', 'PAUSED')", (index.reindex_job,)
        )
        if await job.fetchone():
            raise ConflictError(f"a re-index of {index.name} is running: job {index.reindex_job}")


async def _rebuild(
    connection: Connection, state: AppState, caller: Principal, index: Index, config: IndexConfig
) -> JobRow:
    job = JobRow(
        id=uuid4(),
        organization=caller.organization,
        kind=JobKind.ENTITY_REINDEX,
        params={
            "index": index.name,
            "config": config.model_dump(mode="json", by_alias=True),
            "fields": [field.name for field in index.config.fields],
        },
        total=index.entities,
        created_by=caller.key_id,
        window_size=state.settings.window,
    )
    await mark_reindexing(connection, index, job.id)
    await job_store.create_job(connection, job, most=state.limits.most_jobs(caller.organization))
    return job


@router.get("", summary="List indexes")
async def get_indexes(
    state: State,
    caller: Reader,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Offset = 0,
) -> IndexList:
    """Indexes of the caller's organisation by name."""
    async with state.db.transaction() as connection:
        found, total = await list_indexes(connection, caller.organization, limit=limit, offset=offset)
    return IndexList(indexes=[index_view(index) for index in found], limit=limit, offset=offset, total=total)


@router.get("/{indexName}", summary="One index", response_model_exclude_none=True)
async def get_index(state: State, caller: Reader, index_name: Name) -> IndexView:
    """Configuration, counts and the job that rebuilds it, if one does."""
    async with state.db.transaction() as connection:
        return index_view(await find_index(connection, caller.organization, index_name))


@router.delete("/{indexName}", summary="Drop an index", status_code=status.HTTP_204_NO_CONTENT)
async def delete_index(state: State, caller: Owner, index_name: Name) -> None:
    """Drops the index with its entities, pairs and labels. Batches that write to it fail with INDEX_DROPPED."""
    async with state.db.transaction() as connection:
        await drop_index(connection, await find_index(connection, caller.organization, index_name, lock="exclusive"))


@router.post(
    "/{indexName}/labels",
    summary="Say which pairs are duplicates and which are not",
    response_model=LabelCounts,
)
async def add_labels(
    request: Request,
    state: State,
    caller: Editor,
    index_name: Name,
    body: LabelsBody,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Stores labels; a pair that has one gets the new one. `tune` makes the index learn from them."""
    slot, digest = slot_of(request, caller, idempotency_key), digest_of(body)
    async with state.db.transaction() as connection:
        if known := await slot.open(connection):
            return known.replay(digest)
        index = await find_index(connection, caller.organization, index_name)
        labels: list[StoredLabel] = []
        for place, label in enumerate(body.labels):
            left = await _uid(connection, index, label.entity_id, f"labels[{place}].entityId")
            right = await _uid(connection, index, label.duplicate_id, f"labels[{place}].duplicateId")
            if left == right:
                raise BadInputError(f"labels[{place}] names one entity twice", field=f"labels[{place}].duplicateId")
            first, second = sorted([(left, str(label.entity_id)), (right, str(label.duplicate_id))])
            labels.append(StoredLabel(first[0], second[0], first[1], second[1], label.duplicate))
        await save_labels(connection, caller.organization, index.name, labels)
        stored = await read_labels(connection, caller.organization, index.name)
        same = sum(label.duplicate for label in stored)
        counts = LabelCounts(added=len(labels), total=len(stored), duplicates=same, distinct=len(stored) - same)
        answer = counts.model_dump(mode="json", by_alias=True)
        await slot.keep(connection, digest, status.HTTP_200_OK, answer)
    return json_answer(answer)


async def _uid(connection: Connection, index: Index, entity_id: int | str, where: str) -> int:
    found = await find_entity(connection, index.index_no, str(entity_id), entity_uid(entity_id))
    if found is None:
        raise NotFoundError(f"{where}: no entity {entity_id} in index {index.name}", field=where)
    return found[0]


@router.post(
    "/{indexName}/tune",
    summary="Learn from labels",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=TuneStarted,
)
async def tune_index(
    request: Request, state: State, caller: Editor, index_name: Name, idempotency_key: IdempotencyKey = None
) -> Response:
    """Starts a job that learns from the labels and scores the index anew.

    Its `result` is the report: precision and recall by cross-validation, before and after.
    """
    slot = slot_of(request, caller, idempotency_key)
    async with state.db.transaction() as connection:
        if known := await slot.open(connection):
            return known.replay(b"")
        index = await find_index(connection, caller.organization, index_name, lock="exclusive")
        labels = await read_labels(connection, caller.organization, index.name)
        if len({label.duplicate for label in labels}) < 2:
            raise BadInputError("tuning needs labels of both kinds: duplicates and not", field="labels")
        job = await _rebuild(connection, state, caller, index, index.config)
        started = TuneStarted(job_id=job.id, status=BatchStatus.PENDING, status_url=f"{STATUS_PATH}{job.id}")
        answer = started.model_dump(mode="json", by_alias=True)
        await slot.keep(connection, b"", 202, answer)
    state.gateway.start_soon(job)
    return json_answer(answer, 202)
