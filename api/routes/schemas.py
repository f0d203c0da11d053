"""Saved schemas: list, create, change, versions, and jobs that make or change one."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Request, Response

from towpath.accounts.types import Principal
from towpath.api.enrichments import chosen_models, start_job
from towpath.api.http.auth import Editor, Reader
from towpath.api.http.bodies import body_of, read_body
from towpath.api.http.idempotency import IdempotencyKey, once, slot_of
from towpath.api.http.responses import json_answer
from towpath.api.http.routing import ApiRoute
from towpath.api.http.state import AppState, State
from towpath.api.llm_stream import job_result
from towpath.api.webhook_targets import read_start
from towpath.core.errors import ConflictError, ModelError, ModelTimeoutError
from towpath.db.tables import SchemaRow
from towpath.enrichment.domain.content import Content, input_contract
from towpath.enrichment.domain.drafts import draft_schema
from towpath.enrichment.domain.schema import read_content
from towpath.enrichment.store.schemas import (
    create_schema,
    get_schema,
    list_schemas,
    list_versions,
    set_deleted,
    update_schema,
)
from towpath.enrichment.types import GenerateBody, PromptBody, SchemaCreate, SchemaPatch
from towpath.jobs.store.jobs import get_job, uses_schema
from towpath.jobs.types import JobKind, JobState
from towpath.llm.store.attachments import get_attachments

router = APIRouter(prefix="/api/schema", tags=["schemas"], route_class=ApiRoute)

SYNC_SECONDS = 300.0


def _short(row: SchemaRow) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "name": row.name,
        "tags": row.tags,
        "is_pinned": row.is_pinned,
        "property_count": row.property_count,
        "version": row.version,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


def _full(row: SchemaRow, content: Content) -> dict[str, Any]:
    return {**_short(row), "schema_content": content, "input_contract": input_contract(content)}


@router.get("/saved", summary="List schemas")
async def list_saved(state: State, caller: Reader) -> dict[str, Any]:
    """Pinned first, then by name."""
    rows = await list_schemas(state.db, caller.organization)
    return {"schemas": [_short(row) for row in rows], "total": len(rows)}


@router.post("/saved", summary="Save a schema", openapi_extra=body_of(SchemaCreate))
async def create_saved(
    request: Request, state: State, caller: Editor, idempotency_key: IdempotencyKey = None
) -> Response:
    """Takes content of this API, or a plain JSON Schema of an object. A taken name gets a number."""
    body, digest = await read_body(request, state, SchemaCreate)
    content = await state.checks.run(caller.organization, read_content, body.schema_content)

    async def create(inside: AppState) -> dict[str, Any]:
        row = await create_schema(
            inside.db,
            caller.organization,
            name=body.name,
            content=content,
            tags=body.tags,
            is_pinned=body.is_pinned,
            samples=body.entity_samples,
        )
        return _full(row, content)

    return await once(state, slot_of(request, caller, idempotency_key), digest, create)


@router.get("/saved/{schema_id}", summary="One schema")
async def get_saved(state: State, caller: Reader, schema_id: UUID) -> dict[str, Any]:
    """With its content and what an entity must bring."""
    row, version = await get_schema(state.db, caller.organization, schema_id)
    return {**_full(row, version.content), "entity_samples": version.entity_samples}


@router.get("/saved/{schema_id}/versions", summary="A schema's versions")
async def get_versions(state: State, caller: Reader, schema_id: UUID) -> dict[str, Any]:
    """Newest first."""
    rows = await list_versions(state.db, caller.organization, schema_id)
    return {
        "versions": [
            {"version": row.version, "schema_content": row.content, "created_at": row.created_at} for row in rows
        ],
        "total": len(rows),
    }


@router.patch("/saved/{schema_id}", summary="Change a schema", openapi_extra=body_of(SchemaPatch))
async def patch_saved(request: Request, state: State, caller: Editor, schema_id: UUID) -> Response:
    """New content is a new version; jobs that run keep theirs."""
    body, _ = await read_body(request, state, SchemaPatch)
    content = None
    if body.schema_content is not None:
        content = await state.checks.run(caller.organization, read_content, body.schema_content)
    row = await update_schema(
        state.db,
        caller.organization,
        schema_id,
        content=content,
        name=body.name,
        tags=body.tags,
        is_pinned=body.is_pinned,
    )
    _, version = await get_schema(state.db, caller.organization, schema_id)
    return json_answer(_full(row, version.content))


@router.delete("/saved/{schema_id}", summary="Delete a schema")
async def delete_saved(state: State, caller: Editor, schema_id: UUID) -> dict[str, Any]:
    """It can be restored; records keep what they were made with. One that a running job uses: 409."""
    await get_schema(state.db, caller.organization, schema_id)
    if await uses_schema(state.db, caller.organization, schema_id):
        raise ConflictError("the schema is in use by a running job")
    row = await set_deleted(state.db, caller.organization, schema_id, deleted=True)
    return {"id": str(row.id), "deleted": True}


@router.post("/saved/{schema_id}/restore", summary="Restore a deleted schema")
async def restore_saved(state: State, caller: Editor, schema_id: UUID) -> dict[str, Any]:
    """With all of its versions."""
    return _short(await set_deleted(state.db, caller.organization, schema_id, deleted=False))


async def _generate(
    request: Request, state: AppState, caller: Principal, idempotency_key: str | None
) -> tuple[Response, UUID | None]:
    body, digest, webhook = await read_start(request, state, GenerateBody)
    samples = body.entity_samples if isinstance(body.entity_samples, list) else [body.entity_samples]
    draft_schema(samples, threshold=body.sample_commonality_threshold)
    models, _ = chosen_models(state.catalog, [body.model])
    params = {"model": models[0], "body": body.model_dump(mode="json")}
    return await start_job(
        request, state, caller, JobKind.SCHEMA_GENERATION, params, digest=digest, webhook=webhook,
        message="Generation started", idempotency_key=idempotency_key,
    )  # fmt: skip


@router.post("/generate/stream", summary="Make a schema from samples", openapi_extra=body_of(GenerateBody))
async def generate_stream(
    request: Request, state: State, caller: Editor, idempotency_key: IdempotencyKey = None
) -> Response:
    """The structure is read from the samples; the model words it. Events are at `/api/llm/stream/{job_id}`."""
    return (await _generate(request, state, caller, idempotency_key))[0]


@router.post("/generate/sync", summary="Make a schema from samples and wait", openapi_extra=body_of(GenerateBody))
async def generate_sync(
    request: Request, state: State, caller: Editor, idempotency_key: IdempotencyKey = None
) -> Response:
    """Answers the schema itself."""
    return await _waited(state, caller, *await _generate(request, state, caller, idempotency_key))


async def _edit(
    request: Request, state: AppState, caller: Principal, schema_id: UUID, idempotency_key: str | None
) -> tuple[Response, UUID | None]:
    body, digest, webhook = await read_start(request, state, PromptBody)
    row, _ = await get_schema(state.db, caller.organization, schema_id)
    await get_attachments(state.db, caller.organization, body.attachment_ids or [])
    models, _ = chosen_models(state.catalog, [body.model])
    params = {
        "schema_id": str(schema_id),
        "schema_name": row.name,
        "version": row.version,
        "model": models[0],
        "body": body.model_dump(mode="json"),
    }
    return await start_job(
        request, state, caller, JobKind.SCHEMA_EDIT, params, digest=digest, webhook=webhook, message="Edit started",
        idempotency_key=idempotency_key,
    )  # fmt: skip


@router.post("/saved/{schema_id}/prompt/stream", summary="Change a schema by words", openapi_extra=body_of(PromptBody))
async def prompt_stream(
    request: Request, state: State, caller: Editor, schema_id: UUID, idempotency_key: IdempotencyKey = None
) -> Response:
    """Such as `add the head office city; make founded a date`. Saved in place at the end, as its next version."""
    return (await _edit(request, state, caller, schema_id, idempotency_key))[0]


@router.post(
    "/saved/{schema_id}/prompt", summary="Change a schema by words and wait", openapi_extra=body_of(PromptBody)
)
async def prompt_sync(
    request: Request, state: State, caller: Editor, schema_id: UUID, idempotency_key: IdempotencyKey = None
) -> Response:
    """Answers the changed schema itself."""
    return await _waited(state, caller, *await _edit(request, state, caller, schema_id, idempotency_key))


async def _waited(state: AppState, caller: Principal, answer: Response, job_id: UUID | None) -> Response:
    # A repeat waits for the job of the first request.
    job_id = job_id or UUID(orjson.loads(bytes(answer.body))["job_id"])
    job = await get_job(state.db, caller.organization, job_id)
    job = await state.events.wait_for_end(job, seconds=SYNC_SECONDS)
    if not job.state.final:
        raise ModelTimeoutError(f"not finished within {SYNC_SECONDS:g} s; the job goes on: {job_id}")
    if job.state is not JobState.COMPLETED:
        raise ModelError(job.error_message or f"the job is {job.state}")
    return json_answer({"success": True, "job_id": str(job_id), **await job_result(state, job)})
