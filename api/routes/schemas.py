"""Saved schemas: list, create, change, versions, and jobs that make or change one."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response

from towpath.accounts.types import Principal
from towpath.api.http.auth import Editor, Reader
from towpath.api.http.bodies import body_of, read_body
from towpath.api.http.idempotency import IdempotencyKey, respond_once, slot_of
from towpath.api.http.job_starts import StartedJob, start_job
from towpath.api.http.responses import json_answer
from towpath.api.http.routing import ApiRoute
from towpath.api.http.state import AppState, State
from towpath.api.http.webhook_fields import read_start
from towpath.enrichment.bodies import GenerateBody, PromptBody, SchemaCreate, SchemaPatch
from towpath.enrichment.service import schemas
from towpath.enrichment.service.starts import draft_edit, draft_generation
from towpath.enrichment.service.waiting import wait_for_task

router = APIRouter(prefix="/api/schema", tags=["schemas"], route_class=ApiRoute)

SYNC_SECONDS = 300.0


@router.get("/saved", summary="List schemas")
async def list_saved(state: State, caller: Reader) -> dict[str, Any]:
    """Pinned first, then by name."""
    return await schemas.list_schemas(state.enrichment, caller.organization)


@router.post("/saved", summary="Save a schema", openapi_extra=body_of(SchemaCreate))
async def create_saved(
    request: Request, state: State, caller: Editor, idempotency_key: IdempotencyKey = None
) -> Response:
    """Takes content of this API, or a plain JSON Schema of an object. A taken name gets a number."""
    body, digest = await read_body(request, state, SchemaCreate)
    content = await schemas.check_content(state.enrichment, caller.organization, body)

    async def create(inside: AppState) -> dict[str, Any]:
        return await schemas.create_schema(inside.enrichment, caller.organization, body, content)

    return await respond_once(state, slot_of(request, caller, idempotency_key), digest, create)


@router.get("/saved/{schema_id}", summary="One schema")
async def get_saved(state: State, caller: Reader, schema_id: UUID) -> dict[str, Any]:
    """With its content and what an entity must bring."""
    return await schemas.read_schema(state.enrichment, caller.organization, schema_id)


@router.get("/saved/{schema_id}/versions", summary="A schema's versions")
async def get_versions(state: State, caller: Reader, schema_id: UUID) -> dict[str, Any]:
    """Newest first."""
    return await schemas.list_versions(state.enrichment, caller.organization, schema_id)


@router.patch("/saved/{schema_id}", summary="Change a schema", openapi_extra=body_of(SchemaPatch))
async def patch_saved(request: Request, state: State, caller: Editor, schema_id: UUID) -> Response:
    """New content is a new version; jobs that run keep theirs."""
    body, _ = await read_body(request, state, SchemaPatch)
    return json_answer(await schemas.change_schema(state.enrichment, caller.organization, schema_id, body))


@router.delete("/saved/{schema_id}", summary="Delete a schema")
async def delete_saved(state: State, caller: Editor, schema_id: UUID) -> dict[str, Any]:
    """It can be restored; records keep what they were made with. One that a running job uses: 409."""
    return await schemas.delete_schema(state.enrichment, caller.organization, schema_id)


@router.post("/saved/{schema_id}/restore", summary="Restore a deleted schema")
async def restore_saved(state: State, caller: Editor, schema_id: UUID) -> dict[str, Any]:
    """With all of its versions."""
    return await schemas.restore_schema(state.enrichment, caller.organization, schema_id)


async def _generate(
    request: Request, state: AppState, caller: Principal, idempotency_key: str | None
) -> tuple[StartedJob, GenerateBody]:
    body, digest, webhook = await read_start(request, state, GenerateBody)
    draft = draft_generation(state.enrichment, body)
    started = await start_job(
        request, state, caller, draft, digest=digest, webhook=webhook, idempotency_key=idempotency_key
    )
    return started, body


@router.post("/generate/stream", summary="Make a schema from samples", openapi_extra=body_of(GenerateBody))
async def generate_stream(
    request: Request, state: State, caller: Editor, idempotency_key: IdempotencyKey = None
) -> Response:
    """The structure is read from the samples; the model words it. Events are at `/api/llm/stream/{job_id}`."""
    return (await _generate(request, state, caller, idempotency_key))[0].response


@router.post("/generate/sync", summary="Make a schema from samples and wait", openapi_extra=body_of(GenerateBody))
async def generate_sync(
    request: Request, state: State, caller: Editor, idempotency_key: IdempotencyKey = None
) -> Response:
    """Answers the schema itself."""
    started, body = await _generate(request, state, caller, idempotency_key)
    return await _wait(state, caller, started, seconds=body.timeout_seconds)


async def _edit(
    request: Request, state: AppState, caller: Principal, schema_id: UUID, idempotency_key: str | None
) -> StartedJob:
    body, digest, webhook = await read_start(request, state, PromptBody)
    draft = await draft_edit(state.enrichment, caller.organization, schema_id, body)
    return await start_job(
        request, state, caller, draft, digest=digest, webhook=webhook, idempotency_key=idempotency_key
    )


@router.post("/saved/{schema_id}/prompt/stream", summary="Change a schema by words", openapi_extra=body_of(PromptBody))
async def prompt_stream(
    request: Request, state: State, caller: Editor, schema_id: UUID, idempotency_key: IdempotencyKey = None
) -> Response:
    """Such as `add the head office city; make founded a date`. Saved in place at the end, as its next version."""
    return (await _edit(request, state, caller, schema_id, idempotency_key)).response


@router.post(
    "/saved/{schema_id}/prompt", summary="Change a schema by words and wait", openapi_extra=body_of(PromptBody)
)
async def prompt_sync(
    request: Request, state: State, caller: Editor, schema_id: UUID, idempotency_key: IdempotencyKey = None
) -> Response:
    """Answers the changed schema itself."""
    return await _wait(state, caller, await _edit(request, state, caller, schema_id, idempotency_key))


async def _wait(state: AppState, caller: Principal, started: StartedJob, *, seconds: float = SYNC_SECONDS) -> Response:
    result = await wait_for_task(state.db, state.events, caller.organization, started.id, seconds=seconds)
    return json_answer({"success": True, "job_id": str(started.id), **result})
