"""Semantic models, their topics, and the connections that they are over."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from towpath.accounts.types import Principal
from towpath.ai.domain.semantics.content import MAX_BYTES, get_topic
from towpath.ai.service.connections import (
    add_connection,
    change_connection,
    delete_connection,
    draft_connection,
    get_connection,
    list_connections,
)
from towpath.ai.service.models import (
    accept_schema_reading,
    change_content,
    create_model,
    delete_model,
    draft_schema_model,
    draft_schema_refresh,
    find_base,
    get_model,
    list_models,
    load_model,
    merge_branch,
    wait_for_schema,
)
from towpath.ai.store.tables import ModelRow
from towpath.ai.types import ConnectionBody, ConnectionView, ModelBody, ModelContentBody, ModelFilter, ModelKind
from towpath.api.http.auth import Editor, Reader
from towpath.api.http.bodies import body_of, read_body
from towpath.api.http.idempotency import IdempotencyKey, accept_job_once, respond_once, slot_of
from towpath.api.http.ids import ConnectionId, ModelId, TopicName
from towpath.api.http.media import YAML, media_type
from towpath.api.http.rates import limit_ai_requests
from towpath.api.http.responses import json_answer
from towpath.api.http.routing import ApiRoute
from towpath.api.http.state import AppState, State
from towpath.api.http.uploads import read_whole
from towpath.api.routes.ai_views import show_page_info
from towpath.api.routes.semantic_model_views import make_connection_view, show_connection, show_model, show_topic
from towpath.core.errors import BadInputError, ErrorCode
from towpath.jobs.idempotency import Slot
from towpath.jobs.store.tables import JobRow

router = APIRouter(tags=["models"], dependencies=[Depends(limit_ai_requests)], route_class=ApiRoute)

READ_FOR_SHARED = "POST /v1/models, its base"
BranchQuery = Annotated[UUID | None, Query(description="A branch of the model.")]


@router.post("/v1/connections", status_code=201, summary="Connect a database", openapi_extra=body_of(ConnectionBody))
async def connect(request: Request, state: State, caller: Editor, idempotency_key: IdempotencyKey = None) -> Response:
    """A DuckDB file or a Postgres; what it is reached by is kept encrypted, and it is only ever read."""
    body, digest = await read_body(request, state, ConnectionBody)
    row = await draft_connection(state.ai, caller, body)

    async def add(inside: AppState) -> dict[str, Any]:
        return show_connection(await add_connection(inside.db, row))

    return await respond_once(state, slot_of(request, caller, idempotency_key), digest, add, status=201)


@router.get("/v1/connections", summary="List connections", response_model_exclude_none=True)
async def connections(state: State, caller: Reader) -> list[ConnectionView]:
    """Without their credentials."""
    return [make_connection_view(row) for row in await list_connections(state.ai, caller)]


@router.get("/v1/connections/{connectionId}", summary="One connection")
async def connection(state: State, caller: Reader, connection_id: ConnectionId) -> dict[str, Any]:
    """Without its credentials."""
    return show_connection(await get_connection(state.ai, caller, connection_id))


@router.put("/v1/connections/{connectionId}", summary="Change a connection", openapi_extra=body_of(ConnectionBody))
async def change(request: Request, state: State, caller: Editor, connection_id: ConnectionId) -> dict[str, Any]:
    """As a whole; the models over it stay."""
    body, _ = await read_body(request, state, ConnectionBody)
    return show_connection(await change_connection(state.ai, caller, connection_id, body))


@router.delete("/v1/connections/{connectionId}", status_code=204, summary="Forget a connection")
async def forget(state: State, caller: Editor, connection_id: ConnectionId) -> None:
    """409 while there are models over it."""
    await delete_connection(state.ai, caller, connection_id)


@router.get("/v1/models", summary="List models")
async def models(
    state: State,
    caller: Reader,
    model_id: Annotated[UUID | None, Query(alias="modelId")] = None,
    base_model_id: Annotated[UUID | None, Query(alias="baseModelId")] = None,
    connection_id: Annotated[UUID | None, Query(alias="connectionId")] = None,
    name: str | None = None,
    kind: Annotated[ModelKind | None, Query(alias="modelKind")] = None,
    include_deleted: Annotated[bool, Query(alias="includeDeleted")] = False,
    include: Literal["activeBranches"] | None = None,
    sort_field: Annotated[
        Literal["name", "createdAt", "updatedAt", "modelKind", "connectionId", "baseModelId"], Query(alias="sortField")
    ] = "name",
    sort_direction: Annotated[Literal["asc", "desc"], Query(alias="sortDirection")] = "asc",
    cursor: Annotated[str | None, Query(pattern=r"^\d{1,9}$", description="`nextCursor` of the page before.")] = None,
    page_size: Annotated[int, Query(alias="pageSize", ge=1, le=100)] = 20,
) -> dict[str, Any]:
    """By name, or as asked."""
    columns: dict[str, object | None] = {
        "id": model_id, "base_model_id": base_model_id, "connection_id": connection_id, "name": name, "kind": kind
    }  # fmt: skip
    model_filter = ModelFilter(
        columns={column: value for column, value in columns.items() if value is not None},
        include_deleted=include_deleted,
        sort=sort_field,
        descending=sort_direction == "desc",
    )
    offset = int(cursor or 0)
    page = await list_models(
        state.ai, caller, model_filter, offset=offset, size=page_size, with_branches=include is not None
    )
    records = [show_model(row) for row in page.rows]
    if include is not None:
        for record, row in zip(records, page.rows, strict=True):
            record["branches"] = [{"id": str(branch.id), "name": branch.name} for branch in page.branches[row.id]]
    end = offset + len(page.rows)
    return {
        "records": records,
        "pageInfo": show_page_info(has_more=end < page.total, cursor=str(end), size=page_size, total=page.total),
    }


@router.post("/v1/models", summary="Make a model", openapi_extra=body_of(ModelBody))
async def create(request: Request, state: State, caller: Editor, idempotency_key: IdempotencyKey = None) -> Response:
    """A SCHEMA model is made by reading the database; SHARED, SHARED_EXTENSION and BRANCH of YAML or JSON.

    A SHARED one with neither base nor content is made over the connection's schema model, which is read if need be.
    """
    body, digest = await read_body(request, state, ModelBody)
    slot = slot_of(request, caller, idempotency_key)
    if body.model_kind is ModelKind.SCHEMA:
        row = await _read_schema(state, slot, digest, await draft_schema_model(state.ai, caller, body))
        return json_answer(_show_changed(row))

    if slot.key is None or not await slot.is_taken(state.db):
        # Before the transaction of the key: the job that reads a database begins only once it is committed.
        body = await _complete_base(state, caller, body, slot.key, digest)

    async def add(inside: AppState) -> dict[str, Any]:
        return _show_changed(await create_model(inside.ai, caller, body))

    return await respond_once(state, slot, digest, add)


async def _complete_base(
    state: AppState, caller: Principal, body: ModelBody, key: str | None, digest: bytes
) -> ModelBody:
    """Name the schema model that a SHARED model is made over, and read it first if there is none."""
    base = await find_base(state.ai, caller, body)
    if not isinstance(base, JobRow):
        return base
    schema = await _read_schema(state, Slot(caller.organization, READ_FOR_SHARED, key), digest, base)
    return body.model_copy(update={"base_model_id": schema.id})


async def _read_schema(state: AppState, slot: Slot, digest: bytes, job: JobRow) -> ModelRow:
    """Read a database by a job, or wait for that of the first request with its key."""
    return await wait_for_schema(state.ai, await accept_job_once(state, slot, digest, job, accept_schema_reading))


def _show_changed(row: ModelRow) -> dict[str, Any]:
    return {"success": True, "model": show_model(row)}


@router.get("/v1/models/{modelId}", summary="One model")
async def model(state: State, caller: Reader, model_id: ModelId) -> dict[str, Any]:
    """Without its content."""
    return show_model(await get_model(state.ai, caller, model_id))


@router.delete("/v1/models/{modelId}", status_code=204, summary="Delete a model")
async def delete(state: State, caller: Editor, model_id: ModelId) -> None:
    """409 while others are laid over it."""
    await delete_model(state.ai, caller, model_id)


@router.get("/v1/models/{modelId}/content", summary="What a model says")
async def content(state: State, caller: Reader, model_id: ModelId, branch_id: BranchQuery = None) -> dict[str, Any]:
    """Its own content, and the whole that it makes with what it is laid over."""
    row, whole = await load_model(state.ai, caller, model_id, branch_id)
    return {
        "model": show_model(row),
        "content": row.content,
        "whole": whole.model_dump(mode="json", by_alias=True, exclude_none=True),
    }


@router.put(
    "/v1/models/{modelId}/content",
    summary="Change what a model says",
    openapi_extra=body_of(ModelContentBody, text=YAML),
)
async def put_content(request: Request, state: State, caller: Editor, model_id: ModelId) -> dict[str, Any]:
    """YAML as `application/yaml`, or JSON `{"content": ...}`. What is not valid is refused with its place."""
    if media_type(request.headers) == YAML:
        raw = await read_whole(request, limit=MAX_BYTES)
        try:
            content: str | dict[str, Any] = raw.decode()
        except UnicodeDecodeError as error:
            raise BadInputError("the body is not UTF-8", code=ErrorCode.INVALID_ENCODING) from error
    else:
        content = (await read_body(request, state, ModelContentBody))[0].content
    return _show_changed(await change_content(state.ai, caller, model_id, content))


@router.post("/v1/models/{modelId}/refresh", summary="Read the database again")
async def refresh(
    request: Request, state: State, caller: Editor, model_id: ModelId, idempotency_key: IdempotencyKey = None
) -> dict[str, Any]:
    """Brings a SCHEMA model up to date; what is laid over it stays."""
    slot = slot_of(request, caller, idempotency_key)
    return _show_changed(await _read_schema(state, slot, b"", await draft_schema_refresh(state.ai, caller, model_id)))


@router.post("/v1/models/{modelId}/merge", summary="Merge a branch")
async def merge(
    request: Request, state: State, caller: Editor, model_id: ModelId, idempotency_key: IdempotencyKey = None
) -> Response:
    """Into the model that it belongs to; the branch is then deleted."""

    async def join(inside: AppState) -> dict[str, Any]:
        return _show_changed(await merge_branch(inside.ai, caller, model_id))

    return await respond_once(state, slot_of(request, caller, idempotency_key), b"", join)


@router.get("/v1/models/{modelId}/topic", summary="Topics of a model")
async def topics(state: State, caller: Reader, model_id: ModelId, branch_id: BranchQuery = None) -> dict[str, Any]:
    """What can be asked together."""
    _, whole = await load_model(state.ai, caller, model_id, branch_id)
    return {"success": True, "topics": [show_topic(whole, name, full=False) for name in whole.topics]}


@router.get("/v1/models/{modelId}/topic/{topicName}", summary="One topic")
async def topic(
    state: State, caller: Reader, model_id: ModelId, topic_name: TopicName, branch_id: BranchQuery = None
) -> dict[str, Any]:
    """With the views that it reaches, and how."""
    _, whole = await load_model(state.ai, caller, model_id, branch_id)
    get_topic(whole, topic_name)
    return {"success": True, "topic": show_topic(whole, topic_name, full=True)}
