"""Semantic models, their topics, and the connections that they are over."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from towpath.ai.domain.semantics.content import MAX_BYTES, topic_of
from towpath.ai.store.connections import add_connection, change_connection, get_connection, list_connections
from towpath.ai.store.models import get_model, list_models, models_over
from towpath.ai.store.tables import ConnectionRow, ModelRow
from towpath.ai.types import ConnectionBody, ConnectionView, ModelBody, ModelContentBody, ModelKind
from towpath.api.ai_views import page_info
from towpath.api.http.auth import Editor, Reader
from towpath.api.http.bodies import body_of, read_body
from towpath.api.http.idempotency import IdempotencyKey, once, slot_of
from towpath.api.http.ids import ConnectionId, ModelId, TopicName
from towpath.api.http.media import YAML, media_type
from towpath.api.http.rates import limited
from towpath.api.http.responses import json_answer
from towpath.api.http.routing import ApiRoute
from towpath.api.http.state import AppState, State
from towpath.api.http.uploads import read_whole
from towpath.api.semantic_models import (
    change_content,
    connection_columns,
    connection_view,
    content_of,
    forget_connection,
    forget_model,
    make_model,
    make_schema_model,
    merge_branch,
    model_view,
    refresh_schema_model,
    topic_answer,
    with_base,
)
from towpath.core.errors import BadInputError, ErrorCode

router = APIRouter(tags=["models"], dependencies=[Depends(limited)], route_class=ApiRoute)

BranchQuery = Annotated[UUID | None, Query(description="A branch of the model.")]


@router.post("/v1/connections", status_code=201, summary="Connect a database", openapi_extra=body_of(ConnectionBody))
async def connect(request: Request, state: State, caller: Editor, idempotency_key: IdempotencyKey = None) -> Response:
    """A DuckDB file or a Postgres; what it is reached by is kept encrypted, and it is only ever read."""
    body, digest = await read_body(request, state, ConnectionBody)
    columns = await connection_columns(state, caller.organization, body)

    async def add(inside: AppState) -> dict[str, Any]:
        return _shown(await add_connection(inside.db, ConnectionRow(organization=caller.organization, **columns)))

    return await once(state, slot_of(request, caller, idempotency_key), digest, add, status=201)


def _shown(row: ConnectionRow) -> dict[str, Any]:
    return connection_view(row).model_dump(mode="json", by_alias=True, exclude_none=True)


@router.get("/v1/connections", summary="List connections", response_model_exclude_none=True)
async def connections(state: State, caller: Reader) -> list[ConnectionView]:
    """Without their credentials."""
    return [connection_view(row) for row in await list_connections(state.db, caller.organization)]


@router.get("/v1/connections/{connectionId}", summary="One connection")
async def connection(state: State, caller: Reader, connection_id: ConnectionId) -> dict[str, Any]:
    """Without its credentials."""
    return _shown(await get_connection(state.db, caller.organization, connection_id))


@router.put("/v1/connections/{connectionId}", summary="Change a connection", openapi_extra=body_of(ConnectionBody))
async def change(request: Request, state: State, caller: Editor, connection_id: ConnectionId) -> dict[str, Any]:
    """As a whole; the models over it stay."""
    body, _ = await read_body(request, state, ConnectionBody)
    columns = await connection_columns(state, caller.organization, body)
    return _shown(await change_connection(state.db, caller.organization, connection_id, columns))


@router.delete("/v1/connections/{connectionId}", status_code=204, summary="Forget a connection")
async def forget(state: State, caller: Editor, connection_id: ConnectionId) -> None:
    """409 while there are models over it."""
    await forget_connection(state, caller, connection_id)


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
    given = {"id": model_id, "base_model_id": base_model_id, "connection_id": connection_id, "name": name, "kind": kind}
    offset = int(cursor or 0)
    rows, total = await list_models(
        state.db,
        caller.organization,
        {column: value for column, value in given.items() if value is not None},
        include_deleted=include_deleted,
        sort=sort_field,
        descending=sort_direction == "desc",
        offset=offset,
        limit=page_size,
    )
    records = [model_view(row) for row in rows]
    if include is not None:
        over = await models_over(state.db, caller.organization, [row.id for row in rows])
        branches = [one for one in over if one.kind is ModelKind.BRANCH]
        for record in records:
            record["branches"] = [
                {"id": str(one.id), "name": one.name} for one in branches if str(one.base_model_id) == record["id"]
            ]
    more = offset + len(rows) < total
    return {
        "records": records,
        "pageInfo": page_info(more=more, cursor=str(offset + len(rows)), size=page_size, total=total),
    }


@router.post("/v1/models", summary="Make a model", openapi_extra=body_of(ModelBody))
async def create(request: Request, state: State, caller: Editor, idempotency_key: IdempotencyKey = None) -> Response:
    """A SCHEMA model is made by reading the database; SHARED, SHARED_EXTENSION and BRANCH of YAML or JSON.

    A SHARED one with neither base nor content is made over the connection's schema model, which is read if need be.
    """
    body, digest = await read_body(request, state, ModelBody)
    slot = slot_of(request, caller, idempotency_key)
    if body.model_kind is ModelKind.SCHEMA:
        return json_answer(_made(await make_schema_model(state, caller, body, slot, digest)))

    async def make(inside: AppState) -> dict[str, Any]:
        return _made(await make_model(inside, caller, await with_base(inside, caller, body)))

    return await once(state, slot, digest, make)


def _made(row: ModelRow) -> dict[str, Any]:
    return {"success": True, "model": model_view(row)}


@router.get("/v1/models/{modelId}", summary="One model")
async def model(state: State, caller: Reader, model_id: ModelId) -> dict[str, Any]:
    """Without its content."""
    return model_view(await get_model(state.db, caller.organization, model_id))


@router.delete("/v1/models/{modelId}", status_code=204, summary="Delete a model")
async def delete(state: State, caller: Editor, model_id: ModelId) -> None:
    """409 while others are laid over it."""
    await forget_model(state, caller, model_id)


@router.get("/v1/models/{modelId}/content", summary="What a model says")
async def content(state: State, caller: Reader, model_id: ModelId, branch_id: BranchQuery = None) -> dict[str, Any]:
    """Its own content, and the whole that it makes with what it is laid over."""
    row, whole = await content_of(state, caller.organization, model_id, branch_id)
    return {
        "model": model_view(row),
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
            given: str | dict[str, Any] = raw.decode()
        except UnicodeDecodeError as error:
            raise BadInputError("the body is not UTF-8", code=ErrorCode.INVALID_ENCODING) from error
    else:
        given = (await read_body(request, state, ModelContentBody))[0].content
    return _made(await change_content(state, caller, model_id, given))


@router.post("/v1/models/{modelId}/refresh", summary="Read the database again")
async def refresh(
    request: Request, state: State, caller: Editor, model_id: ModelId, idempotency_key: IdempotencyKey = None
) -> dict[str, Any]:
    """Brings a SCHEMA model up to date; what is laid over it stays."""
    slot = slot_of(request, caller, idempotency_key)
    return _made(await refresh_schema_model(state, caller, model_id, slot, b""))


@router.post("/v1/models/{modelId}/merge", summary="Merge a branch")
async def merge(
    request: Request, state: State, caller: Editor, model_id: ModelId, idempotency_key: IdempotencyKey = None
) -> Response:
    """Into the model that it belongs to; the branch is then deleted."""

    async def join(inside: AppState) -> dict[str, Any]:
        return _made(await merge_branch(inside, caller, model_id))

    return await once(state, slot_of(request, caller, idempotency_key), b"", join)


@router.get("/v1/models/{modelId}/topic", summary="Topics of a model")
async def topics(state: State, caller: Reader, model_id: ModelId, branch_id: BranchQuery = None) -> dict[str, Any]:
    """What can be asked together."""
    _, whole = await content_of(state, caller.organization, model_id, branch_id)
    return {"success": True, "topics": [topic_answer(whole, name, full=False) for name in whole.topics]}


@router.get("/v1/models/{modelId}/topic/{topicName}", summary="One topic")
async def topic(
    state: State, caller: Reader, model_id: ModelId, topic_name: TopicName, branch_id: BranchQuery = None
) -> dict[str, Any]:
    """With the views that it reaches, and how."""
    _, whole = await content_of(state, caller.organization, model_id, branch_id)
    topic_of(whole, topic_name)
    return {"success": True, "topic": topic_answer(whole, topic_name, full=True)}
