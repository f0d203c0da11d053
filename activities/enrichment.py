"""Enrichment: plan, check before spending, pages of entities."""

from __future__ import annotations

from collections import defaultdict
from uuid import UUID

import numpy as np
from temporalio import activity

from towpath.core.errors import ErrorCode, JobFaultError
from towpath.core.json_values import parse_json
from towpath.db.engine import Database
from towpath.documents.sources import cut_sources
from towpath.enrichment.domain.estimate import estimate
from towpath.enrichment.domain.prompts import note_of, source_share
from towpath.enrichment.expertise import Work
from towpath.enrichment.pipeline import EntityRun, all_of, tell
from towpath.enrichment.types import ClassificationStatus, HoldCheck, LlmEvent, Plan
from towpath.jobs.domain import Outcome
from towpath.jobs.faults import end_of_item
from towpath.jobs.store import jobs as job_store
from towpath.jobs.store.staging import Page, Retake, load_page, plan_pages
from towpath.jobs.store.warnings import add_warnings
from towpath.jobs.store.writer import JobWriter
from towpath.jobs.types import JobRef, JobWarning, NewEvent, PagePlan, PageTask
from towpath.llm.paid import Asker

CREDITS = "insufficient_credits"


class EnrichmentActivities:
    """The steps of enrichments.

    Args:
        database: Jobs, pages, records, paid answers.
        asker: The language models.
    """

    def __init__(self, database: Database, asker: Asker) -> None:
        self._database = database
        self._writer = JobWriter(database)
        self._asker = asker
        self._reserved: dict[UUID, float] = defaultdict(float)

    @activity.defn(name="plan_enrichment")
    async def plan_enrichment(self, ref: JobRef) -> PagePlan:
        """Find the pages with work left, and tell what was chosen for the caller."""
        async with self._database.transaction() as connection:
            await job_store.lock_job(connection, ref.organization, ref.job_id)
            await job_store.assert_active(connection, ref)
            retake = Retake.FAILED if ref.attempt > 1 else Retake.NONE
            pages = await plan_pages(connection, ref.job_id, retake=retake)
            plan = Plan.model_validate((await job_store.params_of(connection, ref))["plan"])
        texts, _ = await self._asker.sources(ref.organization, plan.attachment_ids)
        if cut := cut_sources(texts, source_share(len(texts))):
            async with self._database.transaction() as connection:
                await add_warnings(connection, ref, cut)
        await tell(self._writer, ref, _opening(plan))
        return PagePlan(pages=pages)

    @activity.defn(name="check_type")
    async def check_type(self, ref: JobRef) -> HoldCheck:
        """Whether the one entity is what the schema is for; `hold` asks for a person's word."""
        work = await self._work(ref)
        if work.plan.classification_model is None:
            return HoldCheck()
        async with self._database.transaction() as connection:
            page = await load_page(connection, ref.job_id, 0, lock=False)
        found = await _run(work, page, 0).classify()
        if found is None:
            return HoldCheck()
        async with self._database.transaction() as connection:
            await job_store.merge_params(connection, ref, {"classification": found.model_dump(mode="json")})
        return HoldCheck(hold=found.status is not ClassificationStatus.MATCH, classification=found)

    @activity.defn(name="enrich_page")
    async def enrich_page(self, task: PageTask) -> None:
        """Enrich a page's entities."""
        async with self._database.transaction() as connection:
            await job_store.assert_active(connection, task.ref)
            page = await load_page(connection, task.ref.job_id, task.page, lock=False)
        work = await self._work(task.ref)
        waiting = np.flatnonzero(page.outcomes == Outcome.WAITING).tolist()
        await all_of([self._whole_entity(work, _run(work, page, place)) for place in waiting])

    async def _whole_entity(self, work: Work, run: EntityRun) -> None:
        """An error that nobody foresaw ends the entity, not its neighbours."""
        try:
            await self._entity(work, run)
        except Exception as error:
            await run.fail(*end_of_item(error, f"entity {run.index} of job {work.ref.job_id}"))

    async def _entity(self, work: Work, run: EntityRun) -> None:
        cap = work.plan.max_cost_usd
        if cap is None:
            await run.run()
            return
        job, expected = work.ref.job_id, self._expected(work, run)
        async with self._database.transaction() as connection:
            spent = await job_store.cost_of(connection, work.ref)
        if spent + self._reserved[job] + expected > cap:
            message = f"{spent:.4f} of {cap:.4f} US dollars are spent, and this would take about {expected:.4f}"
            if work.plan.single:
                raise JobFaultError(message, code=ErrorCode.COST_LIMIT)
            left_out = f"max_cost_usd, {cap:g}, is reached; what it does not suffice for is left out"
            await run.skip(CREDITS, message, [JobWarning(code=ErrorCode.COST_LIMIT, message=left_out)])
            return
        self._reserved[job] += expected
        try:
            await run.run()
        finally:
            self._reserved[job] -= expected
            if not self._reserved[job] > 0:
                self._reserved.pop(job, None)

    def _expected(self, work: Work, run: EntityRun) -> float:
        found = estimate(work.plan, [run.entity], self._asker.catalog.price)
        return float(found["cost_usd"]["expected"])

    async def _work(self, ref: JobRef) -> Work:
        async with self._database.transaction() as connection:
            params = await job_store.params_of(connection, ref)
            total = await job_store.total_of(connection, ref)
        plan = Plan.model_validate(params["plan"])
        texts, images = await self._asker.sources(ref.organization, plan.attachment_ids)
        check = HoldCheck.model_validate({"classification": params.get("classification")}).classification
        answers = [one.get("text") for one in (params.get("answers") or {}).values()]
        note = note_of(check, "; ".join(text for text in answers if text) or None)
        return Work(self._database, self._writer, self._asker, ref, plan, texts, images, total, note)


def _run(work: Work, page: Page, place: int) -> EntityRun:
    item = parse_json(page.lines[place])
    return EntityRun(work=work, page=page.page, place=place, index=item["index"], entity=item["data"])


def _opening(plan: Plan) -> list[NewEvent]:
    events = [] if plan.single else [NewEvent(type=LlmEvent.BATCH_STARTED, key="batch_started")]
    if plan.auto_selected:
        chosen = {"model": plan.models[0], "task_type": "enrichment", "pinned": False}
        events.append(NewEvent(type=LlmEvent.MODEL_AUTO_SELECTED, key="auto", data=chosen))
    told = {"requested": plan.requested, "strategy": plan.strategy, "reason": plan.strategy_reason}
    events.append(NewEvent(type=LlmEvent.STRATEGY_SELECTED, key="strategy", data=told))
    return [
        event.model_copy(update={"data": {"total_models": len(plan.models), "completed_models": 0, **event.data}})
        for event in events
    ]
