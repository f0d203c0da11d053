"""Indexes: what entities are matched on, labels, tuning."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response, status

from towpath.api.http.auth import Editor, Owner, Reader
from towpath.api.http.idempotency import IdempotencyKey, digest_of, replay, slot_of, write_once
from towpath.api.http.responses import json_answer
from towpath.api.http.routing import ApiRoute
from towpath.api.http.state import State
from towpath.core.values import Offset
from towpath.db.engine import Connection
from towpath.entities.group_types import GoldenRules, LabelPage
from towpath.entities.types import BatchStatus, IndexBody, IndexList, IndexView, LabelCounts, LabelsBody, TuneStarted
from towpath.entities.views import STATUS_PATH

router = APIRouter(prefix="/v1/indexes", tags=["indexes"], route_class=ApiRoute)

Name = Annotated[str, Path(alias="indexName", min_length=1, max_length=128)]


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
        if first := await slot.claim(connection):
            return replay(first, digest)
        result = await state.indexes.put(connection, caller, body, max_jobs=state.limits.max_jobs(caller.organization))
        answer = result.view.model_dump(mode="json", by_alias=True, exclude_none=True)
        code = status.HTTP_201_CREATED if result.is_new else status.HTTP_200_OK
        await slot.save(connection, digest, code, answer)
    if result.job is not None:
        state.gateway.start_soon(result.job)
    return json_answer(answer, code)


@router.get("", summary="List indexes")
async def get_indexes(
    state: State,
    caller: Reader,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Offset = 0,
) -> IndexList:
    """Indexes of the caller's organisation by name."""
    return await state.indexes.list_all(caller.organization, limit=limit, offset=offset)


@router.get("/{indexName}", summary="One index", response_model_exclude_none=True)
async def get_index(state: State, caller: Reader, index_name: Name) -> IndexView:
    """Configuration, counts and the job that rebuilds it, if one does."""
    return await state.indexes.read(caller.organization, index_name)


@router.delete("/{indexName}", summary="Drop an index", status_code=status.HTTP_204_NO_CONTENT)
async def delete_index(state: State, caller: Owner, index_name: Name) -> None:
    """Drops the index with its entities, pairs and labels. Batches that write to it fail with INDEX_DROPPED."""
    await state.indexes.drop(caller.organization, index_name)


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
    """Stores labels; a pair that has one gets the new one. `tune` makes the index learn from them.

    They hold at once, also against the model and across re-indexing: `true` puts both into one group, with whatever is
    the same as one of them, and `false` keeps them apart. 409 if labels would contradict each other.
    """
    return await write_once(
        state,
        slot_of(request, caller, idempotency_key),
        digest_of(body),
        lambda connection: state.corrections.add_labels(connection, caller.organization, index_name, body),
    )


@router.get("/{indexName}/labels", summary="What people have said of pairs")
async def get_labels(
    state: State,
    caller: Reader,
    index_name: Name,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Offset = 0,
) -> LabelPage:
    """Labels, newest first; those of a split or a merge name their correction."""
    return await state.corrections.list_labels(caller.organization, index_name, limit=limit, offset=offset)


@router.delete("/{indexName}/labels", summary="Take the label of a pair back", response_model=LabelCounts)
async def delete_label(
    state: State,
    caller: Editor,
    index_name: Name,
    entity_id: Annotated[str, Query(alias="entityId", min_length=1, max_length=512)],
    other_id: Annotated[str, Query(alias="duplicateId", min_length=1, max_length=512)],
) -> Response:
    """The pair is judged by its fields again, at once."""

    async def remove(connection: Connection) -> LabelCounts:
        return await state.corrections.remove_label(connection, caller.organization, index_name, entity_id, other_id)

    counts = await state.db.repeatable(remove)
    return json_answer(counts.model_dump(mode="json", by_alias=True))


@router.get("/{indexName}/golden-rules", summary="By what the values of golden records survive")
async def get_golden_rules(state: State, caller: Reader, index_name: Name) -> GoldenRules:
    """The rules of the index; by default the most frequent value survives."""
    return await state.groups.read_rules(caller.organization, index_name)


@router.put("/{indexName}/golden-rules", summary="Say by what the values of golden records survive")
async def put_golden_rules(state: State, caller: Editor, index_name: Name, body: GoldenRules) -> GoldenRules:
    """Takes the place of the rules that the index has, at once; `{}` gives it the usual ones. Nothing is re-indexed.

    A request for a group may say other rules.
    """
    return await state.groups.put_rules(caller.organization, index_name, body)


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
        if first := await slot.claim(connection):
            return replay(first, b"")
        job = await state.indexes.tune(
            connection, caller, index_name, max_jobs=state.limits.max_jobs(caller.organization)
        )
        started = TuneStarted(job_id=job.id, status=BatchStatus.PENDING, status_url=f"{STATUS_PATH}{job.id}")
        answer = started.model_dump(mode="json", by_alias=True)
        await slot.save(connection, b"", 202, answer)
    state.gateway.start_soon(job)
    return json_answer(answer, 202)
