"""The chunks of an entity batch: plan, index, train, match, resolve. Each is one transaction at its end.

A chunk may run twice: what it has done already, it finds by the page's steps or by the key of its event.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import numpy as np

from towpath.core.errors import BadInputError, ErrorCode, JobFaultError, NotFoundError
from towpath.db.engine import Connection, Database
from towpath.entities.domain.parsing import Draft, Entity, make_draft, number_batch, read_checked_entity
from towpath.entities.group_types import Cause
from towpath.entities.params import BatchParams
from towpath.entities.service import training
from towpath.entities.service.deciding import decide_all
from towpath.entities.service.matching import Matcher, close_gaps, store_scores
from towpath.entities.service.naming import Reason
from towpath.entities.service.quality import measure_quality
from towpath.entities.store.care import note_trained, read_changes
from towpath.entities.store.indexes import Index, add_entities, find_index
from towpath.entities.store.pairs import drop_stale_pairs
from towpath.entities.store.records import write_drafts
from towpath.entities.store.statistics import refresh_statistics
from towpath.entities.types import IndexConfig, Phase, TrainReport
from towpath.jobs.domain import Outcome, count_outcomes
from towpath.jobs.faults import judge_item_failure
from towpath.jobs.pages import record_page
from towpath.jobs.params import load_params, params_of
from towpath.jobs.store import jobs as job_store
from towpath.jobs.store.event_log import find_event
from towpath.jobs.store.staging import Page, Retake, add_failures, load_page, plan_pages, save_outcomes
from towpath.jobs.types import EventType, FailedItem, JobRef, PagePlan, PageTask, Progress

# Index and match each make up half of a batch, as far as its fraction done is concerned.
PHASES = 2
INDEX_MADE = "indexMade"
"""The parameter that tells the index of a plan from one that was made anew under its name; a re-index keeps it."""


@dataclass(slots=True)
class PreparedPage:
    """A page after the pure part of indexing: drafts by place, and what failed."""

    drafts: dict[int, Draft]
    failures: list[FailedItem]


class BatchIndexing:
    """Works through batches of entities.

    Args:
        database: Where entities and jobs are.
        matcher: This process's models and candidate index.
        share_size: Entities in one share when a whole index is matched anew.
    """

    def __init__(self, database: Database, matcher: Matcher, *, share_size: int) -> None:
        self._database = database
        self._matcher = matcher
        self._share_size = share_size

    async def plan(self, ref: JobRef) -> PagePlan:
        """Find the pages with work left; a later attempt takes failed items up again.

        It takes up all of them where the index was dropped and made again since: nothing of them is in it.
        """
        async with self._database.transaction() as connection:
            job = await job_store.lock_job(connection, ref.organization, ref.job_id)
            await job_store.assert_active(connection, ref)
            params = params_of(job, BatchParams)
            index = await _find_live(connection, ref, params.index)
            created = index.created_at.isoformat()
            retake = Retake.FAILED if ref.attempt > 1 else Retake.NONE
            if ref.attempt > 1 and ((params.index_made or created) != created or index.created_at > job.created_at):
                retake = Retake.ALL
            await job_store.merge_params(connection, ref, {INDEX_MADE: created})
            return PagePlan(pages=await plan_pages(connection, ref.job_id, retake=retake))

    async def index_page(self, task: PageTask) -> Progress:
        """Store a page's entities with their blocking keys."""
        while (change := await self._index_page(task)) is None:
            # Another writer has appended a field, or a re-index has swapped: both end.
            pass
        return change

    async def _index_page(self, task: PageTask) -> Progress | None:
        async with self._database.transaction() as connection:
            index = await self._live(connection, task.ref)
            page = await load_page(connection, task.ref.job_id, task.page, lock=False)
        prepared = await asyncio.to_thread(_prepare, page, index.config, number_batch(task.ref.job_id))
        async with self._database.transaction() as connection:
            return await self._store_page(connection, task, index, prepared)

    async def _store_page(
        self, connection: Connection, task: PageTask, prepared_for: Index, prepared: PreparedPage
    ) -> Progress | None:
        """Store what was prepared; None: the index changed meanwhile, and it must be prepared anew."""
        ref = task.ref
        page = await load_page(connection, ref.job_id, task.page, with_lines=False)
        if page.steps >= 1:
            return count_outcomes(page.outcomes)
        await job_store.assert_active(connection, ref)
        index = await self._live(connection, ref, lock=True)
        if (index.index_no, index.config) != (prepared_for.index_no, prepared_for.config):
            return None
        before = count_outcomes(page.outcomes)
        places = [place for place in prepared.drafts if page.outcomes[place] == Outcome.WAITING]
        written = await write_drafts(connection, index.index_no, [prepared.drafts[place] for place in places])
        if written.vacated:
            model = await self._matcher.models.get(connection, index)
            await close_gaps(connection, index, model, written.vacated)
        touched = written.created | written.changed
        for place in places:
            is_touched = prepared.drafts[place].uid in touched
            page.outcomes[place] = Outcome.INDEXED if is_touched else Outcome.UNCHANGED
        failed = [
            failure
            for failure in prepared.failures
            if page.outcomes[failure.index - page.first_index] == Outcome.WAITING
        ]
        for failure in failed:
            page.outcomes[failure.index - page.first_index] = Outcome.FAILED
        await add_failures(connection, ref.job_id, failed)
        await save_outcomes(connection, ref.job_id, page.page, page.outcomes, 1)
        await add_entities(connection, index.index_no, len(written.created), changes=len(touched))
        return await record_page(connection, task, Phase.INDEX, before, count_outcomes(page.outcomes), phases=PHASES)

    async def train(self, ref: JobRef) -> TrainReport:
        """Train the index's model when it has none or has doubled; then the whole index is matched anew."""
        key = f"{ref.attempt}:trained"
        async with self._database.transaction() as connection:
            index = await self._live(connection, ref)
            job = await job_store.lock_job(connection, ref.organization, ref.job_id)
            event = await find_event(connection, ref.job_id, key)
            if event is not None:
                return TrainReport.model_validate(event["report"])
            changes = await read_changes(connection, index.index_no)
        written = job.total - job.skipped
        report = TrainReport(trained=False, shares=0)
        is_due = training.is_due(index)
        # Loading reads every entity, by whatever plan: the statistics are for what comes after it.
        _, postings = await asyncio.gather(
            refresh_statistics(self._database, "entities", "entity_postings", entities=written),
            self._matcher.candidates.get(index, ref, queries=training.SAMPLE) if is_due else _nothing(),
        )
        if is_due:
            model, _ = await training.train_model(self._database, index, postings)
            older = index.model_version > 0 or job.total < index.entities
            shares = -(-index.entities // self._share_size) if older else 0
            report = TrainReport(trained=True, shares=shares)
            async with self._database.transaction() as connection:
                await job_store.assert_active(connection, ref)
                await training.save_trained_model(connection, index, model)
                await note_trained(connection, index.index_no, changes)
                await _report_trained(connection, ref, key, report)
            return report
        async with self._database.transaction() as connection:
            if index.model_version == 0 and changes == index.entities == written:
                # All that there is has come with this batch, so what it is matched by has seen all of it.
                await note_trained(connection, index.index_no, changes)
            await _report_trained(connection, ref, key, report)
        return report

    async def match_page(self, task: PageTask) -> Progress:
        """Find and score the candidates of a page's entities."""
        ref = task.ref
        async with self._database.transaction() as connection:
            page = await load_page(connection, ref.job_id, task.page, lock=False, with_lines=False)
            index = await self._live(connection, ref)
            total = await job_store.load_total(connection, ref)
        if page.steps >= PHASES:
            return count_outcomes(page.outcomes)
        open_uids = page.uids[page.outcomes == Outcome.INDEXED]
        pairs = await self._matcher.score(index, ref, open_uids, queries=total)
        async with self._database.transaction() as connection:
            page = await load_page(connection, ref.job_id, task.page, with_lines=False)
            if page.steps >= PHASES:
                return count_outcomes(page.outcomes)
            await job_store.assert_active(connection, ref)
            await store_scores(connection, index, pairs)
            before = count_outcomes(page.outcomes)
            page.outcomes[page.outcomes == Outcome.INDEXED] = Outcome.DONE
            await save_outcomes(connection, ref.job_id, page.page, page.outcomes, PHASES)
            return await record_page(
                connection, task, Phase.MATCH, before, count_outcomes(page.outcomes), phases=PHASES
            )

    async def resolve(self, ref: JobRef) -> dict[str, Any]:
        """Decide verdicts and groups of all that the batch touched.

        Returns:
            The job's result: how good the index is now.
        """
        await self._resolve(ref)
        async with self._database.transaction() as connection:
            index = await self._live(connection, ref)
            quality = await measure_quality(connection, index, await self._matcher.models.get(connection, index))
        return {"quality": quality.model_dump(mode="json", by_alias=True, exclude_none=True)}

    async def _resolve(self, ref: JobRef) -> int:
        self._matcher.candidates.release(ref)
        job = await job_store.get_job(self._database, ref.organization, ref.job_id)
        await refresh_statistics(self._database, "entity_pairs", entities=job.total - job.skipped)
        async with self._database.transaction() as connection:
            await job_store.assert_active(connection, ref)
            index = await self._live(connection, ref, lock=True)
            await drop_stale_pairs(connection, index.index_no, model_version=index.model_version)
            model = await self._matcher.models.get(connection, index)
            return await decide_all(connection, index, model, Reason(Cause.BATCH, ref.job_id))

    async def _live(self, connection: Connection, ref: JobRef, *, lock: bool = False) -> Index:
        params = await load_params(connection, ref, BatchParams)
        index = await _find_live(connection, ref, params.index, lock=lock)
        if params.index_made not in {None, index.created_at.isoformat()}:
            raise JobFaultError(f"the index {index.name} has been dropped and made again", code=ErrorCode.INDEX_DROPPED)
        return index


async def _find_live(connection: Connection, ref: JobRef, name: str, *, lock: bool = False) -> Index:
    try:
        return await find_index(connection, ref.organization, name, lock="share" if lock else "")
    except NotFoundError as error:
        raise JobFaultError(f"the index {name} has been dropped", code=ErrorCode.INDEX_DROPPED) from error


async def _nothing() -> None:
    """Wait for nothing."""


async def _report_trained(connection: Connection, ref: JobRef, key: str, report: TrainReport) -> None:
    data = {"phase": Phase.TRAIN, "report": report.model_dump()}
    await job_store.append_event(connection, ref.job_id, EventType.PROGRESS, data, key=key)


def _prepare(page: Page, config: IndexConfig, batch: int) -> PreparedPage:
    prepared = PreparedPage(drafts={}, failures=[])
    for place in np.flatnonzero(page.outcomes == Outcome.WAITING).tolist():
        raw = page.lines[place]
        index = page.first_index + place
        where = f"entities[{index}]"
        entity: Entity = {}
        try:
            entity = read_checked_entity(raw)
            prepared.drafts[place] = make_draft(entity, raw, config, where, batch=batch)
        except BadInputError as error:
            prepared.failures.append(_failure(index, entity, error.code, error.detail))
        except Exception as error:
            prepared.failures.append(_failure(index, entity, *judge_item_failure(error, where)))
    return prepared


def _failure(index: int, entity: Entity, code: ErrorCode, message: str) -> FailedItem:
    identity = entity.get("id")
    name = None if identity is None else str(identity)
    return FailedItem(index=index, id=name, stage=Phase.INDEX, code=code, message=message)
