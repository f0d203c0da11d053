"""Starts of jobs that ask language models: everything is checked before anything is spent or kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from towpath.accounts.types import Principal
from towpath.core.checks import Checks
from towpath.core.errors import BadInputError, ErrorCode, NotFoundError, TooLargeError
from towpath.core.json_values import write_json
from towpath.core.languages import LANGUAGES
from towpath.db.engine import Connection, Database
from towpath.enrichment.bodies import (
    AUTO,
    PROFILE_LIMITS,
    BatchBody,
    EnrichmentOptions,
    EstimateBody,
    GenerateBody,
    MergeBody,
    PromptBody,
    RetryBody,
    SingleBody,
)
from towpath.enrichment.domain.content import Content, check_entity
from towpath.enrichment.domain.drafts import draft_schema
from towpath.enrichment.domain.runs import calls_to_repeat, choose_strategy
from towpath.enrichment.domain.schema import MAX_BYTES, check_keywords, read_content
from towpath.enrichment.params import EnrichmentParams
from towpath.enrichment.records import result_of
from towpath.enrichment.service.pricing import check_cap, estimate_with_sources, load_sources, models_of
from towpath.enrichment.store.records import get_records
from towpath.enrichment.store.schemas import get_schema
from towpath.enrichment.store.tables import RecordRow
from towpath.enrichment.types import (
    BATCH_ENRICHMENT,
    EXPERTISE_RETRY,
    FUSION_MERGE,
    MODEL_STRATEGIES,
    SCHEMA_EDIT,
    SCHEMA_GENERATION,
    SINGLE_ENRICHMENT,
    STRATEGIES,
    ModelStrategy,
    Plan,
    Strategy,
)
from towpath.jobs.params import params_of
from towpath.jobs.patience import utc_now
from towpath.jobs.store.jobs import create_job as create_job_row
from towpath.jobs.store.jobs import get_job
from towpath.jobs.store.staging import StagedItem, stage_page
from towpath.jobs.store.tables import JobRow
from towpath.llm import Catalog
from towpath.llm.batches.choice import choose_execution
from towpath.llm.batches.types import Execution
from towpath.llm.store.attachments import assert_attachments

DEFAULT_MODEL_TASKS = ("enrichment", "schema_generation", "sample_generation")
"""What `auto` is chosen for, in the words of clients."""
Entities = Sequence[tuple[int, dict[str, Any]]]
"""Entities with their places in the request."""


@dataclass(frozen=True, slots=True)
class EnrichmentParts:
    """What the use cases before a job need.

    Attributes:
        database: Schemas, records, jobs.
        catalog: The language models.
        checks: Runs what keeps a processor busy beside the event loop.
    """

    database: Database
    catalog: Catalog
    checks: Checks


@dataclass(frozen=True, slots=True)
class JobDraft:
    """A job that has passed all checks and is not stored yet.

    Attributes:
        kind: The kind of job.
        params: What it was asked to do, as it is stored.
        message: What its start answers.
        entities: What it works through; none: its parameters hold everything.
        max_cost_usd: What it may cost; None: no cap.
    """

    kind: str
    params: dict[str, Any]
    message: str
    entities: Entities = ()
    max_cost_usd: float | None = None

    @property
    def answer(self) -> dict[str, Any]:
        """What its start answers besides the id."""
        total = {"total": len(self.entities)} if self.kind == BATCH_ENRICHMENT else {}
        return {"message": self.message, **total}


async def draft_single(parts: EnrichmentParts, organization: str, body: SingleBody, *, origin: str | None) -> JobDraft:
    """Draft the enrichment of one entity.

    Raises:
        BadInputError: A model cannot be asked, or the schema or the entity is not valid.
        NotFoundError: No such schema or attachment.
        PaymentRequiredError: The cap on its cost is too low.
    """
    if body.execution is Execution.BATCH:
        raise BadInputError("execution: batch is for many entities; one is asked live", field="execution")
    plan = await make_plan(parts, organization, body, origin=origin, single=True)
    return await _draft(parts, organization, plan, [(0, body.entity_data)])


async def draft_batch(
    parts: EnrichmentParts,
    organization: str,
    body: BatchBody,
    *,
    origin: str | None,
    deadline: datetime | None = None,
) -> JobDraft:
    """Draft the enrichment of many entities.

    Raises:
        BadInputError: A model cannot be asked, or the schema or an entity is not valid.
        NotFoundError: No such schema or attachment.
        PaymentRequiredError: The cap on its cost is too low for even one entity.
    """
    plan = await make_plan(parts, organization, body, origin=origin, single=False, deadline=deadline)
    selected = body.selected_indices
    places = range(len(body.entities)) if selected is None else sorted(set(selected))
    return await _draft(parts, organization, plan, [(place, body.entities[place]) for place in places])


async def _draft(parts: EnrichmentParts, organization: str, plan: Plan, entities: Entities) -> JobDraft:
    check_entities(plan, entities)
    await check_cap(parts, organization, plan, entities)
    name = plan.content["root"].get("name", "")
    params = {
        "schema": str(plan.schema_id or name),
        "schema_name": name,
        "plan": plan.model_dump(mode="json"),
    }
    if plan.single:
        return JobDraft(SINGLE_ENRICHMENT, params, "Enrichment started", entities, plan.max_cost_usd)
    return JobDraft(BATCH_ENRICHMENT, params, "Batch started", entities, plan.max_cost_usd)


async def draft_retry(parts: EnrichmentParts, organization: str, body: RetryBody) -> JobDraft:
    """Draft the repeat of a record's failed domains.

    Raises:
        BadInputError: The record is a fusion, none of its domains has failed, or a model, the schema or the entity is
            not valid.
        NotFoundError: No such record or schema, or a source of the record is gone.
    """
    record = (await get_records(parts.database, organization, [body.record_id]))[0]
    if record.type != "enrichment":
        raise BadInputError("record_id is a fusion; name one of its fusion_sources", field="record_id")
    content, version = record.schema_content, None
    if body.schema_id is not None or body.target_schema is not None:
        content, version = await find_content(parts, organization, body.schema_id, body.target_schema)
    model = body.model or record.model_composite_key or parts.catalog.automatic()
    parts.catalog.check(model, "model")
    made_by = await _find_plan(parts, organization, record.job_id)
    # As the record was made, with what the body changes.
    plan = Plan(
        content=content,
        schema_id=body.schema_id or record.schema_id,
        schema_version=version if version is not None else record.schema_version,
        models=[model],
        strategy=Strategy(record.strategy or Strategy.SINGLE_PASS),
        languages=body.languages or list(record.languages) or ["en"],
        attachment_ids=await _sources_of(parts, organization, body, record),
        arbitration_model=made_by and made_by.arbitration_model,
        strict=made_by is not None and made_by.strict,
        response_schema=made_by is None or made_by.response_schema,
        model_strategy=ModelStrategy.PARALLEL if made_by is None else made_by.model_strategy,
        origin=record.origin,
        single=True,
    )
    check_entities(plan, [(0, body.entity_data)])
    if not calls_to_repeat(plan, body.entity_data, result_of(record).expertises):
        raise BadInputError(
            "record_id: none of the record's domains has failed",
            code=ErrorCode.NO_FAILED_EXPERTISES,
            field="record_id",
        )
    params = {"record_id": str(record.id), "entity": body.entity_data, "plan": plan.model_dump(mode="json")}
    return JobDraft(EXPERTISE_RETRY, params, "Retry started")


async def _find_plan(parts: EnrichmentParts, organization: str, job_id: UUID | None) -> Plan | None:
    """Find what the job of a record was asked to do; None: it is gone, or was no enrichment."""
    if job_id is None:
        return None
    try:
        job = await get_job(parts.database, organization, job_id)
    except NotFoundError:
        return None
    return params_of(job, EnrichmentParams).plan if job.kind in {SINGLE_ENRICHMENT, BATCH_ENRICHMENT} else None


async def _sources_of(parts: EnrichmentParts, organization: str, body: RetryBody, record: RecordRow) -> list[UUID]:
    """Return the sources of a retry: those that it names, else those that the record was made with.

    Raises:
        NotFoundError: One is gone.
    """
    if body.attachment_ids is not None:
        await assert_attachments(parts.database, organization, body.attachment_ids)
        return body.attachment_ids
    try:
        await assert_attachments(parts.database, organization, record.attachment_ids)
    except NotFoundError as error:
        detail = f"a source of the record is gone ({error.detail}): name attachment_ids, or [] to go on without"
        raise NotFoundError(detail) from error
    return list(record.attachment_ids)


def draft_generation(parts: EnrichmentParts, body: GenerateBody) -> JobDraft:
    """Draft a job that makes a schema of samples.

    Raises:
        BadInputError: No schema can be made of the samples, or the model cannot be asked.
    """
    draft_schema(samples_of(body), threshold=body.sample_commonality_threshold)
    models, _ = choose_models(parts.catalog, [body.model])
    params = {"model": models[0], "body": body.model_dump(mode="json")}
    return JobDraft(SCHEMA_GENERATION, params, "Generation started")


def samples_of(body: GenerateBody) -> list[dict[str, Any]]:
    """Return the samples that a schema is made of, also where there is only one."""
    return body.entity_samples if isinstance(body.entity_samples, list) else [body.entity_samples]


async def draft_edit(parts: EnrichmentParts, organization: str, schema_id: UUID, body: PromptBody) -> JobDraft:
    """Draft a job that changes a saved schema by an instruction.

    Raises:
        BadInputError: The model cannot be asked.
        NotFoundError: No such schema or attachment.
    """
    row, _ = await get_schema(parts.database, organization, schema_id)
    await assert_attachments(parts.database, organization, body.attachment_ids or [])
    models, _ = choose_models(parts.catalog, [body.model])
    params = {
        "schema_id": str(schema_id),
        "schema_name": row.name,
        "version": row.version,
        "model": models[0],
        "body": body.model_dump(mode="json"),
    }
    return JobDraft(SCHEMA_EDIT, params, "Edit started")


async def draft_merge(parts: EnrichmentParts, organization: str, body: MergeBody) -> JobDraft:
    """Draft a job that fuses records.

    Raises:
        BadInputError: They are fewer than two, of different schemas, or one has no result.
        NotFoundError: No such record.
    """
    if len(set(body.result_ids)) < 2:
        raise BadInputError("result_ids must name two different records or more", field="result_ids")
    rows = await get_records(parts.database, organization, body.result_ids)
    for row in rows:
        if row.deleted_at is not None or row.structured_output is None:
            raise BadInputError(f"result_ids: the record {row.id} has no result", field="result_ids")
        if row.schema_content != rows[0].schema_content and row.schema_id != rows[0].schema_id:
            raise BadInputError("result_ids: the records are of different schemas", field="result_ids")
    if body.arbitration_model is not None:
        parts.catalog.check(body.arbitration_model, "arbitration_model")
    params = {
        "schema_id": str(rows[0].schema_id),
        "schema_name": rows[0].schema_content["root"].get("name", ""),
        "body": body.model_dump(mode="json"),
    }
    return JobDraft(FUSION_MERGE, params, "Merge started")


async def create_job(connection: Connection, job: JobRow, draft: JobDraft, *, page_size: int, most: int) -> None:
    """Store a job with its entities, in the transaction of its start.

    Args:
        connection: The transaction.
        job: The job's row.
        draft: What it is made of.
        page_size: How many entities one activity works through.
        most: How many jobs of the organization may be in flight; 0: any number.

    Raises:
        LimitReachedError: As many are in flight as may be.
    """
    job.max_cost_usd = draft.max_cost_usd
    await create_job_row(connection, job, most=most)
    for page, start in enumerate(range(0, len(draft.entities), page_size)):
        items = [
            StagedItem(raw=write_json({"index": index, "data": entity}), uid=index + 1)
            for index, entity in draft.entities[start : start + page_size]
        ]
        await stage_page(connection, job.id, page, start, items)


def list_options(catalog: Catalog, caller: Principal, *, key_name: str | None) -> dict[str, Any]:
    """Return what a start can name: models, those that can be asked first, languages and strategies.

    Args:
        catalog: The language models.
        caller: Who asks.
        key_name: The name of the caller's key; None: a signed-in person asks.
    """
    models = [info.model_dump(exclude_none=True) for info in catalog.models()]
    automatic = catalog.automatic()
    display_name = next((info.get("display_name") for info in models if info["key"] == automatic), None)
    default = {"key": automatic, "display_name": display_name or automatic, "pinned": False}
    key = {} if key_name is None else {"api_key_name": key_name, "api_key_role": caller.role}
    return {
        "models": sorted(models, key=lambda info: (not info["is_available"], info["key"])),
        "languages": LANGUAGES,
        "strategies": [{"name": name, "description": text} for name, text in STRATEGIES.items()],
        "model_strategies": [{"name": name, "description": text} for name, text in MODEL_STRATEGIES.items()],
        "default_models": dict.fromkeys(DEFAULT_MODEL_TASKS, default),
        "profile_limits": PROFILE_LIMITS,
        "organization_name": caller.organization,
        **key,
        "total_companies": 0,
    }


async def estimate_start(parts: EnrichmentParts, organization: str, body: EstimateBody) -> dict[str, Any]:
    """Estimate calls, tokens and dollars of a start.

    Raises:
        BadInputError: A model cannot be asked, or the schema is not valid.
        NotFoundError: No such schema or attachment.
    """
    plan = await make_plan(parts, organization, body, origin=None, single=body.entity_data is not None)
    entities = [body.entity_data] if body.entity_data is not None else body.entities or []
    if body.selected_indices is not None and body.entities is not None:
        selected = set(body.selected_indices)
        entities = [entity for place, entity in enumerate(entities) if place in selected]
    shown, images = await load_sources(parts, organization, plan)
    warnings = [
        {"code": ErrorCode.SOURCE_TRUNCATED, "message": message, "item": name}
        for sources in shown.values()
        for name, message in sources.warnings
    ]
    catalog = parts.catalog
    has_batches = all(catalog.has_batches(model) for model in models_of(plan))
    batch_price = partial(catalog.price, batch=True) if has_batches else None
    return {**estimate_with_sources(catalog, plan, entities, shown, images, batch_price), "warnings": warnings}


async def find_content(
    parts: EnrichmentParts, organization: str, schema_id: UUID | None, target: dict[str, Any] | None
) -> tuple[Content, int | None]:
    """Load a saved schema's content and version, or read the content of one that came along.

    Raises:
        NotFoundError: No such schema.
        BadInputError: The one in the request is not valid.
    """
    if schema_id is not None:
        _, version = await get_schema(parts.database, organization, schema_id)
        await parts.checks.run(organization, check_keywords, version.content)
        return version.content, version.version
    try:
        return await parts.checks.run(organization, read_content, target), None
    except BadInputError as error:
        detail = error.detail.replace("schema_content", "target_schema", 1)
        raise BadInputError(detail, field=(error.field or "").replace("schema_content", "target_schema")) from error


async def make_plan(
    parts: EnrichmentParts,
    organization: str,
    body: EnrichmentOptions,
    *,
    origin: str | None,
    single: bool,
    deadline: datetime | None = None,
) -> Plan:
    """Make the plan of what a body asks for, with everything chosen that it leaves open.

    Raises:
        BadInputError: A model cannot be asked, or the schema is not valid.
        NotFoundError: No such schema or attachment.
    """
    if body.enable_web_search:
        raise BadInputError("enable_web_search: no provider here searches the web", field="enable_web_search")
    content, version = await find_content(parts, organization, body.schema_id, body.target_schema)
    if len(write_json(content)) > MAX_BYTES:
        raise TooLargeError(f"the schema is larger than {MAX_BYTES} bytes")
    models, chosen = choose_models(parts.catalog, body.models)
    for name in ("arbitration_model", "classification_model"):
        if (model := getattr(body, name)) is not None:
            parts.catalog.check(model, name)
    await assert_attachments(parts.database, organization, body.attachment_ids)
    strategy, reason = choose_strategy(content, body.strategy)
    used = [*models, *filter(None, (body.arbitration_model, body.classification_model))]
    execution = choose_execution(parts.catalog, body.execution, used, deadline, utc_now())
    return Plan(
        content=content,
        schema_id=body.schema_id,
        schema_version=version,
        models=models,
        model_strategy=body.model_strategy,
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
        execution=execution,
    )


def choose_models(catalog: Catalog, requested: Sequence[str]) -> tuple[list[str], bool]:
    """Choose the models to ask, each once.

    Returns:
        The models, and whether the server chose.

    Raises:
        BadInputError: One cannot be asked, or none is available.
    """
    named = list(dict.fromkeys(requested))
    if named == [AUTO]:
        return [catalog.automatic()], True
    for place, model in enumerate(named):
        if model == AUTO:
            raise BadInputError(f"models[{place}]: auto stands alone", field=f"models[{place}]")
        catalog.check(model, f"models[{place}]")
    return named, False


def check_entities(plan: Plan, entities: Entities) -> None:
    """Refuse what the schema cannot work from, before any spend.

    Raises:
        BadInputError: The place is named.
    """
    for index, entity in entities:
        check_entity(plan.content, entity, "entity_data" if plan.single else f"entities[{index}]")
