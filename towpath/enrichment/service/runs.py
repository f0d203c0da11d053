"""Enrichments as they run: plan, check before spending, pages of entities."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from dataclasses import replace
from uuid import UUID

import numpy as np

from towpath.core.errors import AnswerAwaitedError, CostLimitError, ErrorCode, JobFaultError
from towpath.core.json_values import parse_json
from towpath.db.engine import Database
from towpath.enrichment.domain.estimate import estimate
from towpath.enrichment.domain.prompts import note_of
from towpath.enrichment.expertise_calls import EnrichmentContext
from towpath.enrichment.params import EnrichmentParams, TypeCheckParams
from towpath.enrichment.pipeline import EntityEnrichment, emit, run_all
from towpath.enrichment.service.inputs import InputCache, JobInputs
from towpath.enrichment.store.params import load_type_check
from towpath.enrichment.types import ClassificationStatus, EnrichmentPlan, HoldCheck, LlmEvent, Plan
from towpath.jobs.domain import Outcome
from towpath.jobs.faults import judge_item_failure
from towpath.jobs.params import load_params
from towpath.jobs.store import jobs as job_store
from towpath.jobs.store.staging import Page, Retake, load_page, plan_pages
from towpath.jobs.store.warnings import add_warnings
from towpath.jobs.types import JobRef, JobWarning, NewEvent, PageTask
from towpath.llm.batches.choice import tell_execution
from towpath.llm.batches.collecting import collecting
from towpath.llm.gateway import LlmGateway

CREDITS = "insufficient_credits"


class EnrichmentRuns:
    """The steps of enrichments.

    Args:
        database: Jobs, pages, records, paid answers.
        llm_gateway: The language models.
    """

    def __init__(self, database: Database, llm_gateway: LlmGateway) -> None:
        self._database = database
        self._writer = llm_gateway.writer
        self._llm_gateway = llm_gateway
        self._reserved: dict[UUID, float] = defaultdict(float)
        self._inputs = InputCache(self._load_inputs)

    async def plan(self, ref: JobRef) -> EnrichmentPlan:
        """Find the pages with work left, and emit what was chosen for the caller."""
        async with self._database.transaction() as connection:
            await job_store.lock_job(connection, ref.organization, ref.job_id)
            await job_store.assert_active(connection, ref)
            retake = Retake.FAILED if ref.attempt > 1 else Retake.NONE
            pages = await plan_pages(connection, ref.job_id, retake=retake)
        async with self._inputs.lend(ref) as inputs:
            context = self._context(ref, inputs)
            cut = [
                JobWarning(code=ErrorCode.SOURCE_TRUNCATED, message=message, item=name)
                for model in inputs.plan.models
                for name, message in context.sources_for(model).warnings
            ]
            if cut:
                async with self._database.transaction() as connection:
                    await add_warnings(connection, ref, cut)
            choice = inputs.plan.execution
            async with self._database.transaction() as connection:
                await tell_execution(connection, ref, choice)
            await emit(self._writer, ref, _opening(inputs.plan))
        return EnrichmentPlan(pages=pages, batch=self._llm_gateway.batch_plan if choice.is_batch else None)

    async def check_type(self, ref: JobRef, *, attempt: int) -> HoldCheck:
        """Check whether the one entity is what the schema is for; `hold` asks for a person's decision.

        Raises:
            ModelError: The model cannot answer now, and the call will be repeated.
        """
        async with self._inputs.lend(ref) as inputs:
            plan = inputs.plan
        if plan.classification_model is None:
            return HoldCheck()
        async with self._database.transaction() as connection:
            page = await load_page(connection, ref.job_id, 0, lock=False)
        context = EnrichmentContext(self._database, self._writer, self._llm_gateway, ref, plan, attempt=attempt)
        classification = await _entity_of(context, page, 0).classify()
        if classification is None:
            return HoldCheck()
        async with self._database.transaction() as connection:
            await job_store.merge_params(connection, ref, {"classification": classification.model_dump(mode="json")})
        return HoldCheck(hold=classification.status is not ClassificationStatus.MATCH, classification=classification)

    async def enrich_page(self, task: PageTask, *, attempt: int) -> None:
        """Enrich a page's entities.

        Raises:
            ModelError: A provider cannot answer now; what was answered is kept.
            JobNotActiveError: The job has ended.
            JobFaultError: The cap on the job's cost is reached.
        """
        ref = task.ref
        async with self._database.transaction() as connection:
            await job_store.assert_active(connection, ref)
            page = await load_page(connection, ref.job_id, task.page, lock=False)
            type_check = TypeCheckParams.model_validate(await load_type_check(connection, ref))
            total = await job_store.load_total(connection, ref)
        async with self._inputs.lend(ref) as inputs:
            context = replace(self._context(ref, inputs), total=total, note=_note_of(type_check), attempt=attempt)
            waiting = np.flatnonzero(page.outcomes == Outcome.WAITING).tolist()
            entities = [_entity_of(context, page, place) for place in waiting]
            # Those whose answers come with a batch stay as they are: the workflow runs the page again.
            with collecting(task.collects), suppress(AnswerAwaitedError):
                await run_all([self._enrich_or_fail(context, entity) for entity in entities])

    async def _enrich_or_fail(self, context: EnrichmentContext, entity: EntityEnrichment) -> None:
        """Enrich an entity; an error that nobody foresaw ends the entity, not its neighbours."""
        try:
            await self._enrich_within_cap(context, entity)
        except Exception as error:
            await entity.fail(*judge_item_failure(error, f"entity {entity.index} of job {context.ref.job_id}"))

    async def _enrich_within_cap(self, context: EnrichmentContext, entity: EntityEnrichment) -> None:
        cap = context.plan.max_cost_usd
        if cap is None:
            await entity.run()
            return
        job_id, expected = context.ref.job_id, self._expected_cost(context, entity)
        async with self._database.transaction() as connection:
            spent = await job_store.load_cost(connection, context.ref)
        # Entities run side by side: what the others are about to spend counts as spent.
        if spent + self._reserved[job_id] + expected > cap:
            message = f"{spent:.4f} of {cap:.4f} US dollars are spent, and this would take about {expected:.4f}"
            await _leave_out(context, entity, message)
            return
        self._reserved[job_id] += expected
        try:
            await entity.run()
        except CostLimitError as error:
            # Each request sets aside the most that it can cost, for all workers to see: that may be more than is left.
            await _leave_out(context, entity, error.detail)
        finally:
            self._reserved[job_id] -= expected
            if not self._reserved[job_id] > 0:
                self._reserved.pop(job_id, None)

    def _expected_cost(self, context: EnrichmentContext, entity: EntityEnrichment) -> float:
        sources = {model: context.sources_for(model).tokens for model in context.plan.models}
        expected = estimate(
            context.plan, [entity.entity], self._llm_gateway.catalog.price, sources=sources, images=len(context.images)
        )
        return float(expected["cost_usd"]["expected"])

    def _context(self, ref: JobRef, inputs: JobInputs) -> EnrichmentContext:
        return EnrichmentContext(
            self._database,
            self._writer,
            self._llm_gateway,
            ref,
            inputs.plan,
            inputs.texts,
            inputs.images,
            shown=inputs.shown,
            lead=inputs.lead,
        )

    async def _load_inputs(self, ref: JobRef) -> JobInputs:
        async with self._database.transaction() as connection:
            plan = (await load_params(connection, ref, EnrichmentParams)).plan
        texts, images = await self._llm_gateway.sources(ref.organization, plan.attachment_ids)
        return JobInputs(plan, texts, images)


async def _leave_out(context: EnrichmentContext, entity: EntityEnrichment, message: str) -> None:
    """Leave an entity out for which there is no money.

    Raises:
        JobFaultError: It is the only one.
    """
    if context.plan.single:
        raise JobFaultError(message, code=ErrorCode.COST_LIMIT)
    left_out = f"max_cost_usd, {context.plan.max_cost_usd:g}, is reached; what it does not suffice for is left out"
    await entity.skip(CREDITS, message, [JobWarning(code=ErrorCode.COST_LIMIT, message=left_out)])


def _note_of(type_check: TypeCheckParams) -> str | None:
    """Return the note for models on the entity's type: the check's result, and what a person has answered to it."""
    answers = [
        words
        for answer in (type_check.answers or {}).values()
        for words in (*(answer.get("option_ids") or []), answer.get("text"))
        if words
    ]
    return note_of(type_check.classification, "; ".join(answers) or None)


def _entity_of(context: EnrichmentContext, page: Page, place: int) -> EntityEnrichment:
    item = parse_json(page.lines[place])
    return EntityEnrichment(context=context, page=page.page, place=place, index=item["index"], entity=item["data"])


def _opening(plan: Plan) -> list[NewEvent]:
    events = [] if plan.single else [NewEvent(type=LlmEvent.BATCH_STARTED, key="batch_started")]
    if plan.auto_selected:
        chosen = {"model": plan.models[0], "task_type": "enrichment", "pinned": False}
        events.append(NewEvent(type=LlmEvent.MODEL_AUTO_SELECTED, key="auto", data=chosen))
    strategy = {"requested": plan.requested, "strategy": plan.strategy, "reason": plan.strategy_reason}
    events.append(NewEvent(type=LlmEvent.STRATEGY_SELECTED, key="strategy", data=strategy))
    return [
        event.model_copy(update={"data": {"total_models": len(plan.models), "completed_models": 0, **event.data}})
        for event in events
    ]
