"""The activities of entity batches, of re-indexes and of the judge. What each does, `towpath.entities.service` says."""

from __future__ import annotations

from typing import Any

from temporalio import activity

from towpath.entities.judge_types import JudgePlan
from towpath.entities.service.care import IndexCare
from towpath.entities.service.indexing import BatchIndexing
from towpath.entities.service.judging import Judging
from towpath.entities.service.reindexing import Reindexing
from towpath.entities.types import ReindexPlan, ShareTask, TrainReport
from towpath.jobs.types import JobRef, PagePlan, PageTask, Progress, Tended


class EntityActivities:
    """The effects of entity batches.

    Args:
        indexing: Does the work.
    """

    def __init__(self, indexing: BatchIndexing) -> None:
        self._indexing = indexing

    @activity.defn(name="plan_batch")
    async def plan_batch(self, ref: JobRef) -> PagePlan:
        """Find the pages with work left."""
        return await self._indexing.plan(ref)

    @activity.defn(name="index_page")
    async def index_page(self, task: PageTask) -> Progress:
        """Store a page's entities with their candidate keys."""
        return await self._indexing.index_page(task)

    @activity.defn(name="train_index")
    async def train_index(self, ref: JobRef) -> TrainReport:
        """Train the index's model when it has none or has doubled."""
        return await self._indexing.train(ref)

    @activity.defn(name="match_page")
    async def match_page(self, task: PageTask) -> Progress:
        """Find and score the candidates of a page's entities."""
        return await self._indexing.match_page(task)

    @activity.defn(name="resolve_batch")
    async def resolve_batch(self, ref: JobRef) -> dict[str, Any] | int:
        """Decide verdicts and groups of all that the batch touched; histories of earlier versions hold a number."""
        return await self._indexing.resolve(ref)


class IndexCareActivities:
    """What the housekeeping does for indexes.

    Args:
        care: Does the work.
    """

    def __init__(self, care: IndexCare) -> None:
        self._care = care

    @activity.defn(name="tend_groups")
    async def tend_groups(self) -> Tended:
        """Decide what was left, accept jobs that settle indexes, and queue what endpoints are told of groups."""
        await self._care.decide_left_over()
        return Tended(deliveries=await self._care.announce(), starts=await self._care.settle_changed())


class ReindexActivities:
    """The effects of re-indexes and tunings.

    Args:
        reindexing: Does the work.
    """

    def __init__(self, reindexing: Reindexing) -> None:
        self._reindexing = reindexing

    @activity.defn(name="plan_reindex")
    async def plan_reindex(self, ref: JobRef) -> ReindexPlan:
        """Create the next generation, empty."""
        return await self._reindexing.plan(ref)

    @activity.defn(name="copy_share")
    async def copy_share(self, task: ShareTask) -> Progress:
        """Store the entities of one share under the new configuration."""
        return await self._reindexing.copy_share(task)

    @activity.defn(name="train_building")
    async def train_building(self, ref: JobRef) -> None:
        """Train the next generation's model."""
        await self._reindexing.train(ref)

    @activity.defn(name="match_share")
    async def match_share(self, task: ShareTask) -> Progress:
        """Find and score the candidates of one share."""
        return await self._reindexing.match_share(task)

    @activity.defn(name="resolve_building")
    async def resolve_building(self, ref: JobRef) -> int:
        """Decide verdicts and groups of the next generation."""
        return await self._reindexing.resolve(ref)

    @activity.defn(name="swap_index")
    async def swap_index(self, ref: JobRef) -> dict[str, Any]:
        """Catch up with what was written meanwhile, then put the next generation in the live one's place."""
        return await self._reindexing.swap(ref)


class JudgeActivities:
    """The effects of the judge of doubtful pairs.

    Args:
        judging: Does the work.
    """

    def __init__(self, judging: Judging) -> None:
        self._judging = judging

    @activity.defn(name="plan_judging")
    async def plan_judging(self, ref: JobRef) -> JudgePlan:
        """Pick the pairs."""
        return await self._judging.plan(ref)

    @activity.defn(name="judge_page")
    async def judge_page(self, task: PageTask) -> None:
        """Ask about the pairs of a page, and keep the answers."""
        await self._judging.judge_page(task)

    @activity.defn(name="settle_judging")
    async def settle_judging(self, ref: JobRef) -> dict[str, Any]:
        """Decide what is left, and sum up."""
        return await self._judging.settle(ref)
