"""The chunks of a re-index: copy, train, match, resolve, swap. A tuning is a re-index with labels.

The next generation is built beside the live one, which stays readable and writable; what was written
meanwhile is caught up with before the two are swapped.
"""

from __future__ import annotations

import asyncio
from typing import Any

from towpath.core.errors import BadInputError, ErrorCode, JobFaultError, NotFoundError
from towpath.core.json_values import parse_json
from towpath.db.engine import Connection, Database
from towpath.entities.domain.matching import TuneReport, copy_key
from towpath.entities.domain.matching.calibration import MIN_ENTITIES
from towpath.entities.domain.parsing import Draft, bare_draft, make_draft
from towpath.entities.group_types import Cause
from towpath.entities.params import IndexParams, ReindexParams
from towpath.entities.service import training
from towpath.entities.service.candidates import find_candidates
from towpath.entities.service.changes import measure_changes
from towpath.entities.service.deciding import decide_all
from towpath.entities.service.dynamic import next_config
from towpath.entities.service.matching import Matcher, close_gaps, score_candidates, store_scores
from towpath.entities.service.naming import Reason, carry_names
from towpath.entities.service.quality import measure_quality
from towpath.entities.store.care import note_trained, read_changes
from towpath.entities.store.generations import (
    ShareRow,
    discard_building,
    find_building,
    find_removed,
    find_stale,
    read_bodies,
    read_share,
)
from towpath.entities.store.indexes import Index, add_entities, create_index, find_index, generation, swap_generation
from towpath.entities.store.records import delete_entity, read_stored, write_drafts
from towpath.entities.store.statistics import refresh_statistics
from towpath.entities.types import IndexConfig, Phase, ReindexPlan, ShareTask
from towpath.jobs.params import load_params, params_of
from towpath.jobs.store import jobs as job_store
from towpath.jobs.store.staging import add_failures
from towpath.jobs.types import FailedItem, JobRef, Progress

CATCH_UP = 2_000
# A round that finds fewer than this leaves little to do under the lock that keeps writers out.
FEW_BEHIND = 500


class Reindexing:
    """Works through re-indexes.

    Args:
        database: Where the generations are.
        matcher: This process's models and candidate index.
        share_size: Entities in one share.
    """

    def __init__(self, database: Database, matcher: Matcher, *, share_size: int) -> None:
        self._database = database
        self._matcher = matcher
        self._share_size = share_size

    async def plan(self, ref: JobRef) -> ReindexPlan:
        """Create the next generation, empty; an earlier attempt's is thrown away."""
        async with self._database.transaction() as connection:
            await job_store.assert_active(connection, ref)
            job = await job_store.lock_job(connection, ref.organization, ref.job_id)
            params = params_of(job, ReindexParams)
            live = await self._live(connection, ref)
            earlier = await find_building(connection, ref.organization, live.name)
            if earlier is not None and earlier.reindex_job == ref.job_id and params.attempt == ref.attempt:
                return ReindexPlan(shares=self._count_shares(live))
            if earlier is not None:
                await discard_building(connection, earlier)
            config = await next_config(connection, ref.organization, live.name, params)
            building = await create_index(
                connection, ref.organization, config, dynamic=live.dynamic, state="building", job_id=ref.job_id
            )
            if building is None:
                raise JobFaultError(f"another re-index of {live.name} is running", code=ErrorCode.CONFLICT)
            await job_store.reset_counts(connection, ref, total=live.entities, params={"attempt": ref.attempt})
            return ReindexPlan(shares=self._count_shares(live))

    def _count_shares(self, live: Index) -> int:
        return -(-max(live.entities, 1) // self._share_size)

    async def copy_share(self, task: ShareTask) -> Progress:
        """Store the entities of one share under the new configuration."""
        ref = task.ref
        async with self._database.transaction() as connection:
            live, building = await self._both(connection, ref)
            rows = await read_share(connection, live.index_no, task.share, task.shares)
            # After the rows: a field that one of them brought is known then.
            building = await generation(connection, building.index_no)
        drafts, failures = await asyncio.to_thread(_redraft, rows, building.config)
        async with self._database.transaction() as connection:
            await job_store.assert_active(connection, ref)
            written = await write_drafts(connection, building.index_no, drafts)
            await add_failures(connection, ref.job_id, failures)
            await add_entities(connection, building.index_no, len(written.created), changes=len(written.created))
            change = Progress(failed=len(failures), processed=len(failures))
            share = 0.5 / max(task.shares, 1)
            key = f"{Phase.COPY}:{task.share}"
            await job_store.record_chunk(connection, ref, key, change, fraction=share, phase=Phase.COPY)
            return change

    async def train(self, ref: JobRef) -> None:
        """Train the next generation's model, with the index's labels if there are enough."""
        async with self._database.transaction() as connection:
            _, building = await self._both(connection, ref)
            changes = await read_changes(connection, building.index_no)
        await refresh_statistics(self._database, "entities", "entity_postings", entities=building.entities)
        if building.model_version:
            return
        if building.entities < MIN_ENTITIES:
            async with self._database.transaction() as connection:
                await job_store.assert_active(connection, ref)
                await note_trained(connection, building.index_no, changes)
            return
        postings = await self._matcher.candidates.get(building, ref, queries=building.entities)
        model, report = await training.train_model(self._database, building, postings)
        async with self._database.transaction() as connection:
            await job_store.assert_active(connection, ref)
            await training.save_trained_model(connection, building, model)
            await note_trained(connection, building.index_no, changes)
            if report is not None:
                await training.save_report(connection, ref, report)

    async def match_share(self, task: ShareTask) -> Progress:
        """Find and score the candidates of one share: of the next generation, or of a retrained live one."""
        ref = task.ref
        async with self._database.transaction() as connection:
            index = await find_building(connection, ref.organization, await _name(connection, ref))
            if index is None or index.reindex_job != ref.job_id:
                index = await self._live(connection, ref)
                building = False
            else:
                building = True
            uids = [row.uid for row in await read_share(connection, index.index_no, task.share, task.shares)]
        pairs = await self._matcher.score(index, ref, uids)
        async with self._database.transaction() as connection:
            await job_store.assert_active(connection, ref)
            await store_scores(connection, index, pairs)
            event = len(uids) if building else 0
            change = Progress(processed=event, succeeded=event)
            share = 0.5 / max(task.shares, 1) if building else 0.0
            key = f"{Phase.MATCH}:share:{task.share}"
            await job_store.record_chunk(connection, ref, key, change, fraction=share, phase=Phase.MATCH)
            return change

    async def resolve(self, ref: JobRef) -> int:
        """Decide verdicts and groups of the next generation."""
        async with self._database.transaction() as connection:
            _, building = await self._both(connection, ref)
        await refresh_statistics(self._database, "entity_pairs", entities=building.entities)
        changed = await self._resolve(ref)
        async with self._database.transaction() as connection:
            await job_store.assert_active(connection, ref)
            live, building = await self._both(connection, ref)
            report = (await load_params(connection, ref, ReindexParams)).report
            changes = await measure_changes(
                connection, live, building, TuneReport.model_validate(report) if report else None
            )
            content = changes.model_dump(mode="json", by_alias=True, exclude_none=True)
            await job_store.merge_params(connection, ref, {"changes": content})
        return changed

    async def _resolve(self, ref: JobRef) -> int:
        async with self._database.transaction() as connection:
            await job_store.assert_active(connection, ref)
            _, building = await self._both(connection, ref)
            model = await self._matcher.models.get(connection, building)
            return await decide_all(connection, building, model, Reason(Cause.REINDEX, ref.job_id))

    async def swap(self, ref: JobRef) -> dict[str, Any]:
        """Catch up with what was written meanwhile, then put the next generation in the live one's place.

        Returns:
            The job's result: how many entities had to be caught up with, the report of a tuning, and how good the
            index is now.
        """
        result = await self._swap(ref)
        async with self._database.transaction() as connection:
            live = await self._live(connection, ref)
            quality = await measure_quality(connection, live, await self._matcher.models.get(connection, live))
        return result | {"quality": quality.model_dump(mode="json", by_alias=True, exclude_none=True)}

    async def _swap(self, ref: JobRef) -> dict[str, Any]:
        caught_up = 0
        while (step := await self._catch_up(ref)) >= FEW_BEHIND:
            caught_up += step
        async with self._database.transaction() as connection:
            await job_store.assert_active(connection, ref)
            name = await _name(connection, ref)
            live = await find_index(connection, ref.organization, name, lock="exclusive")
            building = await find_building(connection, ref.organization, name)
            if building is None or building.reindex_job != ref.job_id:
                # An earlier try of this activity has swapped already.
                return await _result(connection, ref, caught_up)
            while step := await self._catch_up_some(connection, live, building):
                caught_up += step
            await carry_names(connection, live, building, await _reason(connection, ref))
            await swap_generation(connection, live, building)
            return await _result(connection, ref, caught_up)

    async def _catch_up(self, ref: JobRef) -> int:
        async with self._database.transaction() as connection:
            await job_store.assert_active(connection, ref)
            name = await _name(connection, ref)
            building = await find_building(connection, ref.organization, name)
            if building is None or building.reindex_job != ref.job_id:
                return 0
            return await self._catch_up_some(connection, await self._live(connection, ref), building)

    async def _catch_up_some(self, connection: Connection, live: Index, building: Index) -> int:
        removed = await find_removed(connection, live.index_no, building.index_no, limit=CATCH_UP)
        vacated = {row.uid: copy_key(row.values) for row in await read_stored(connection, building, removed)}
        for uid in removed:
            await delete_entity(connection, building.index_no, uid)
        uids = await find_stale(connection, live.index_no, building.index_no, limit=CATCH_UP)
        rows = await read_bodies(connection, live.index_no, uids)
        building = await generation(connection, building.index_no)
        drafts, _ = _redraft(rows, building.config)
        written = await write_drafts(connection, building.index_no, drafts)
        changed = len(written.created) + len(written.changed) + len(removed)
        await add_entities(connection, building.index_no, len(written.created) - len(removed), changes=changed)
        model = await self._matcher.models.get(connection, building)
        stored = await read_stored(connection, building, [draft.uid for draft in drafts])
        candidates = await find_candidates(connection, building, stored)
        pairs = await score_candidates(connection, building, model, stored, candidates)
        await store_scores(connection, building, pairs)
        await close_gaps(connection, building, model, {**vacated, **written.vacated})
        await decide_all(connection, building, model, Reason(Cause.REINDEX))
        return len(uids) + len(removed)

    async def _live(self, connection: Connection, ref: JobRef) -> Index:
        name = await _name(connection, ref)
        try:
            return await find_index(connection, ref.organization, name)
        except NotFoundError as error:
            raise JobFaultError(f"the index {name} has been dropped", code=ErrorCode.INDEX_DROPPED) from error

    async def _both(self, connection: Connection, ref: JobRef) -> tuple[Index, Index]:
        live = await self._live(connection, ref)
        building = await find_building(connection, ref.organization, live.name)
        if building is None or building.reindex_job != ref.job_id:
            raise JobFaultError("the generation being built is gone", code=ErrorCode.INDEX_DROPPED)
        return live, building


async def _reason(connection: Connection, ref: JobRef) -> Reason:
    settles = (await load_params(connection, ref, ReindexParams)).settles
    return Reason(Cause.SETTLE if settles else Cause.REINDEX, ref.job_id)


async def _result(connection: Connection, ref: JobRef, caught_up: int) -> dict[str, Any]:
    params = await load_params(connection, ref, ReindexParams)
    result: dict[str, Any] = {"caughtUp": caught_up}
    if params.report:
        result["tuning"] = {name: value for name, value in params.report.items() if not name.endswith("_by_bin")}
    return result | ({"changes": params.changes} if params.changes else {})


async def _name(connection: Connection, ref: JobRef) -> str:
    """Return the name of the index; of a batch, too, whose retrained index is matched anew in shares."""
    return (await load_params(connection, ref, IndexParams)).index


def _redraft(rows: list[ShareRow], config: IndexConfig) -> tuple[list[Draft], list[FailedItem]]:
    drafts: list[Draft] = []
    failures: list[FailedItem] = []
    for row in rows:
        raw = row.body.encode()
        entity = parse_json(raw)
        try:
            drafts.append(make_draft(entity, raw, config, batch=row.batch))
        except BadInputError as error:
            # The entity stays stored, so that nothing is lost; it only has no candidates.
            drafts.append(bare_draft(entity, raw, config, batch=row.batch))
            failures.append(
                FailedItem(index=row.uid, id=str(entity["id"]), stage=Phase.COPY, code=error.code, message=error.detail)
            )
    return drafts, failures
