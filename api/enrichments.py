"""Takes enrichments in: body, models, schema and entities are checked before anything is spent or kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar
from uuid import UUID, uuid4

from fastapi import Request, Response
from pydantic import BaseModel

from towpath.accounts.types import Principal
from towpath.api.http.deadlines import read_deadline
from towpath.api.http.idempotency import Slot
from towpath.api.http.responses import json_answer
from towpath.api.http.state import AppState
from towpath.api.webhook_targets import read_target
from towpath.core.errors import BadInputError, PaymentRequiredError, TooLargeError
from towpath.core.json_values import write_json
from towpath.db.tables import JobRow
from towpath.enrichment.domain.content import Content, check_entity
from towpath.enrichment.domain.estimate import estimate
from towpath.enrichment.domain.runs import choose_strategy
from towpath.enrichment.domain.schema import MAX_BYTES, check_keywords, read_content
from towpath.enrichment.store.schemas import get_schema
from towpath.enrichment.types import AUTO, EnrichmentOptions, Plan, Strategy
from towpath.jobs.store import jobs as job_store
from towpath.jobs.store.staging import StagedItem, stage_page
from towpath.jobs.types import JobKind
from towpath.llm import Catalog
from towpath.llm.store.attachments import get_attachments
from towpath.webhooks.store.endpoints import add_target
from towpath.webhooks.types import WebhookFields

Model = TypeVar("Model", bound=BaseModel)
Entities = Sequence[tuple[int, dict[str, Any]]]
"""Entities with their places in the request."""


async def find_content(
    state: AppState, organization: str, schema_id: UUID | None, target: dict[str, Any] | None
) -> tuple[Content, int | None]:
    """The schema's content, and the version of a saved one.

    Raises:
        NotFound: No such schema.
        BadInputError: The one in the request is not valid.
    """
    if schema_id is not None:
        _, version = await get_schema(state.db, organization, schema_id)
        await state.checks.run(organization, check_keywords, version.content)
        return version.content, version.version
    try:
        return await state.checks.run(organization, read_content, target), None
    except BadInputError as error:
        detail = error.detail.replace("schema_content", "target_schema", 1)
        raise BadInputError(detail, field=(error.field or "").replace("schema_content", "target_schema")) from error


async def make_plan(
    state: AppState, caller: Principal, body: EnrichmentOptions, *, origin: str | None, single: bool
) -> Plan:
    """What the body asks for, with everything chosen that it leaves open.

    Raises:
        BadInputError: A model cannot be asked, or the schema is not valid.
        NotFound: No such schema or attachment.
    """
    if body.enable_web_search:
        raise BadInputError("enable_web_search: no provider here searches the web", field="enable_web_search")
    content, version = await find_content(state, caller.organization, body.schema_id, body.target_schema)
    if len(write_json(content)) > MAX_BYTES:
        raise TooLargeError(f"the schema is larger than {MAX_BYTES} bytes")
    models, chosen = chosen_models(state.catalog, body.models)
    for name in ("arbitration_model", "classification_model"):
        if (model := getattr(body, name)) is not None:
            state.catalog.check(model, name)
    await get_attachments(state.db, caller.organization, body.attachment_ids)
    strategy, reason = choose_strategy(content, body.strategy)
    return Plan(
        content=content,
        schema_id=body.schema_id,
        schema_version=version,
        models=models,
        auto_selected=chosen,
        requested=body.strategy,
        strategy=strategy,
        strategy_reason=reason,
        arbitration_model=body.arbitration_model,
        classification_model=body.classification_model,
        languages=body.languages,
        attachment_ids=body.attachment_ids,
        strict=body.enable_strict_structured_output,
        response_schema=body.enable_response_schema,
        bypass_cache=body.bypass_cache,
        max_cost_usd=body.max_cost_usd,
        origin=origin,
        single=single,
    )


def chosen_models(catalog: Catalog, wanted: Sequence[str]) -> tuple[list[str], bool]:
    """The models to ask, each once, and whether the server chose.

    Raises:
        BadInputError: One cannot be asked, or none is available.
    """
    named = list(dict.fromkeys(wanted))
    if named == [AUTO]:
        return [catalog.automatic()], True
    for place, model in enumerate(named):
        if model == AUTO:
            raise BadInputError(f"models[{place}]: auto stands alone", field=f"models[{place}]")
        catalog.check(model, f"models[{place}]")
    return named, False


def check_entities(plan: Plan, entities: Entities, *, single: bool) -> None:
    """Refuse what the schema cannot work from, before any spend.

    Raises:
        BadInputError: The place is named.
    """
    for index, entity in entities:
        check_entity(plan.content, entity, "entity_data" if single else f"entities[{index}]")


def check_cap(state: AppState, plan: Plan, entities: Entities) -> None:
    """Refuse a cap that not even one entity fits under.

    Raises:
        PaymentRequiredError: It costs more.
    """
    if plan.max_cost_usd is None:
        return
    _, first = entities[0]
    expected = estimate(plan, [first], state.catalog.price)["cost_usd"]["expected"]
    if expected > plan.max_cost_usd:
        raise PaymentRequiredError(
            f"max_cost_usd is {plan.max_cost_usd:.6f}, but one entity takes about {expected:.6f} US dollars"
        )


async def start_enrichment(
    request: Request,
    state: AppState,
    caller: Principal,
    plan: Plan,
    entities: Entities,
    *,
    digest: bytes,
    webhook: WebhookFields,
    message: str,
    idempotency_key: str | None,
) -> tuple[Response, UUID | None]:
    """Keep the job with its entities, all in one transaction, and start it.

    Returns:
        The answer, and the job unless the answer is a repeated one.
    """
    kind = JobKind.SINGLE_ENRICHMENT if plan.single else JobKind.BATCH_ENRICHMENT
    params = {
        "schema": str(plan.schema_id or plan.content["root"].get("name", "")),
        "schema_name": plan.content["root"].get("name", ""),
        "plan": plan.model_dump(mode="json"),
    }
    extra = {} if plan.single else {"total": len(entities)}
    return await start_job(
        request,
        state,
        caller,
        kind,
        params,
        entities=entities,
        digest=digest,
        webhook=webhook,
        message=message,
        extra=extra,
        idempotency_key=idempotency_key,
    )


async def start_job(
    request: Request,
    state: AppState,
    caller: Principal,
    kind: JobKind,
    params: dict[str, Any],
    *,
    digest: bytes,
    webhook: WebhookFields,
    message: str,
    idempotency_key: str | None,
    entities: Entities = (),
    extra: dict[str, Any] | None = None,
) -> tuple[Response, UUID | None]:
    """Keep a job and start it; the answer is `{job_id, message}` and what `extra` adds.

    Returns:
        The answer, and the job unless the answer is a repeated one.
    """
    slot = Slot(caller.organization, f"{request.method} {request.url.path}", idempotency_key)
    job = JobRow(
        id=uuid4(),
        organization=caller.organization,
        kind=kind,
        params=params,
        total=len(entities),
        deadline=read_deadline(request),
        created_by=caller.key_id,
        window_size=state.settings.window,
    )
    answer = {"job_id": str(job.id), "message": message, **(extra or {})}
    target = await read_target(request, state, webhook)
    await state.limits.room_for_bytes(caller.organization)
    async with state.db.transaction() as connection:
        if known := await slot.open(connection):
            return known.replay(digest), None
        await job_store.create_job(connection, job, most=state.limits.most_jobs(caller.organization))
        if target is not None:
            await add_target(connection, job.id, target)
        size = state.settings.enrichment_chunk
        for page, start in enumerate(range(0, len(entities), size)):
            items = [
                StagedItem(raw=write_json({"index": index, "data": entity}), uid=index + 1)
                for index, entity in entities[start : start + size]
            ]
            await stage_page(connection, job.id, page, start, items)
        await slot.keep(connection, digest, 200, answer)
        stored = await job_store.lock_job(connection, caller.organization, job.id)
    state.gateway.start_soon(stored)
    return json_answer(answer), job.id


def retry_plan(record: Any, body: Any, content: Content, version: int | None, model: str) -> Plan:
    """The plan for a record's failed domains: as it was made, with what the body changes."""
    return Plan(
        content=content,
        schema_id=body.schema_id or record.schema_id,
        schema_version=version if version is not None else record.schema_version,
        models=[model],
        strategy=Strategy(record.strategy or Strategy.SINGLE_PASS),
        languages=body.languages or list(record.languages) or ["en"],
        origin=record.origin,
        single=True,
    )
